"""Eq. 7 against plain NumPy, and the pairing of clips with those of other videos."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from elo_cli.nets.heads import binary_loss, other_video

LOGITS = st.floats(-30, 30, width=32)


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(*[nps.arrays(np.float32, n, elements=LOGITS)] * 2, nps.arrays(np.bool_, n))))
def test_binary_cross_entropy(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    positive, negative, valid = case

    def cross_entropy(logit: float, label: int) -> float:
        probability = 1 / (1 + math.exp(-logit))
        return -math.log(max(probability if label else 1 / (1 + math.exp(logit)), 1e-300))

    rows = [
        cross_entropy(a, 1) / 2 + cross_entropy(b, 0) / 2
        for a, b, there in zip(*map(np.ndarray.tolist, case), strict=True)
        if there
    ]
    got = binary_loss(torch.from_numpy(positive), torch.from_numpy(negative), torch.from_numpy(valid))
    np.testing.assert_allclose(got, sum(rows) / len(rows) if rows else 0.0, rtol=1e-4, atol=1e-6)


def test_equal_forms_cannot_be_told_apart_and_huge_logits_stay_finite() -> None:
    same, there = torch.randn(3), torch.ones(3, dtype=torch.bool)
    assert binary_loss(same, same, there).item() >= math.log(2) - 1e-6
    huge = torch.full((3,), 1e30)
    assert torch.isfinite(binary_loss(huge, -huge, there)) and torch.isfinite(binary_loss(-huge, huge, there))


@given(
    st.integers(0, 9).flatmap(lambda n: st.tuples(nps.arrays(np.int64, n, elements=st.integers(0, 3)), nps.arrays(np.bool_, n)))
)
def test_the_other_video_is_the_next_valid_one_of_another_video(case: tuple[np.ndarray, np.ndarray]) -> None:
    video, valid = case
    if not len(video):
        return
    index, found = other_video(torch.from_numpy(video), torch.from_numpy(valid))
    for row in range(len(video)):
        ahead = [(row + step) % len(video) for step in range(len(video))]
        wanted = [other for other in ahead if video[other] != video[row] and valid[other]]
        assert bool(found[row]) == bool(wanted)
        if wanted:
            assert index[row] == wanted[0]
