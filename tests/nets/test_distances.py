"""The distances of Eq. 2, 6 and 8, the cross-entropy of Eq. 7 and the masked mean, against plain NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from elo_cli.nets.distances import Form, binary_loss, distance, masked_mean

NUMBERS = st.floats(-100, 100, width=32)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = draw(nps.array_shapes(min_dims=2, max_dims=4, max_side=4))
    first, second = (draw(nps.arrays(np.float32, shape, elements=NUMBERS)) for _ in range(2))
    return first, second, draw(nps.arrays(np.bool_, shape[:1]))


def plain(first: np.ndarray, second: np.ndarray, form: Form) -> list[float]:
    distances = []
    for one, other in zip(first.astype(np.float64), second.astype(np.float64), strict=True):
        squares = [(a - b) ** 2 for a, b in zip(one.ravel(), other.ravel(), strict=True)]
        distances.append(math.sqrt(sum(squares)) if form == "l2" else sum(squares) / len(squares))
    return distances


@given(pairs(), st.sampled_from(["l2", "mean"]))
def test_distances_and_their_masked_mean(pair: tuple[np.ndarray, np.ndarray, np.ndarray], form: Form) -> None:
    first, second, valid = pair
    wanted = plain(first, second, form)
    got = distance(torch.from_numpy(first), torch.from_numpy(second), form)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=2e-6)
    kept = [value for value, there in zip(wanted, valid, strict=True) if there]
    mean = masked_mean(got, torch.from_numpy(valid))
    np.testing.assert_allclose(mean, sum(kept) / len(kept) if kept else 0.0, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("form", ["l2", "mean"])
def test_the_gradient_is_finite_where_nothing_differs(form: Form) -> None:
    first = torch.zeros(2, 3, requires_grad=True)
    distance(first, torch.zeros(2, 3), form).sum().backward()
    assert first.grad is not None and not first.grad.any()


def test_bfloat16_is_compared_in_float32() -> None:
    first, second = torch.full((1, 4096), 256.0, dtype=torch.bfloat16), torch.full((1, 4096), 255.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert distance(first, second, "l2").item() == 64 and distance(first, second, "mean").item() == 1


@pytest.mark.parametrize("valid", [[], [False], [False, False]])
def test_no_valid_clip_is_zero_with_a_zero_gradient(valid: list[bool]) -> None:
    losses = torch.full((len(valid),), torch.nan, requires_grad=True)
    mean = masked_mean(losses, torch.tensor(valid, dtype=torch.bool))
    mean.backward()
    assert mean.item() == 0 and losses.grad is not None and not losses.grad.any()


def test_a_masked_nan_stays_out_of_value_and_gradient() -> None:
    losses = torch.tensor([1.0, torch.nan, 3.0, torch.inf], requires_grad=True)
    mean = masked_mean(losses, torch.tensor([True, False, True, False]))
    mean.backward()
    assert mean.item() == 2 and losses.grad is not None and losses.grad.tolist() == [0.5, 0, 0.5, 0]


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
