"""Eq. 8 and InfoNCE against plain NumPy."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from elo_cli.core.clip import ClipBatch, Source, View
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.weights import Term
from elo_cli.nets.blocks import Encoding
from elo_cli.tasks.embed import build, other_video
from tests.support.encodings import make_case, make_parts

TERM = Term("embed", ("rgb", "audio"))


@dataclasses.dataclass(frozen=True)
class Case:
    """Two sets of vectors, which clips have both, and of which video they are."""

    first: np.ndarray
    second: np.ndarray
    valid: np.ndarray
    video: np.ndarray


@st.composite
def cases(draw: st.DrawFn) -> Case:
    clips = draw(st.integers(1, 6))
    numbers = st.floats(-3, 3, width=32)
    first, second = (draw(nps.arrays(np.float32, (clips, 5), elements=numbers)) for _ in range(2))
    video = draw(nps.arrays(np.int64, clips, elements=st.integers(0, 3)))
    return Case(first, second, draw(nps.arrays(np.bool_, clips)), video)


def value(case: Case, settings: ObjectiveSettings) -> torch.Tensor:
    loss = build(TERM, make_parts(settings))
    rgb, audio = (Encoding((torch.zeros(0),) * 4, torch.from_numpy(vectors)) for vectors in (case.first, case.second))
    there = torch.ones(len(case.valid), dtype=torch.bool)
    present = {Source("rgb"): there, Source("audio"): torch.from_numpy(case.valid)}
    batch = ClipBatch({}, present, ("x",) * len(there), torch.from_numpy(case.video))
    result: torch.Tensor = loss({View("rgb"): rgb, View("audio"): audio}, batch)
    return result


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


@given(cases(), st.sampled_from(["l2", "mean"]), st.floats(0.1, 10))
def test_equation_8(case: Case, form: str, margin: float) -> None:
    def apart(one: np.ndarray, other: np.ndarray) -> float:
        squares = (one.astype(np.float64) - other) ** 2
        return math.sqrt(squares.sum()) if form == "l2" else float(squares.mean())

    clips, losses = len(case.valid), []
    for row in np.flatnonzero(case.valid):
        order = [(row + step) % clips for step in range(1, clips)]
        others = [other for other in order if case.valid[other] and case.video[other] != case.video[row]]
        if others:
            near, far = apart(case.first[row], case.second[row]), apart(case.first[row], case.second[others[0]])
            losses.append(near + max(0.0, margin - far))
    settings = ObjectiveSettings.model_validate({"distance": form, "margin": margin})
    assert value(case, settings).item() == pytest.approx(mean(losses), rel=1e-4, abs=1e-5)


@given(cases(), st.floats(0.05, 2))
def test_infonce(case: Case, temperature: float) -> None:
    def unit(vectors: np.ndarray) -> np.ndarray:
        wide = vectors.astype(np.float64)
        return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)

    first, second, losses = unit(case.first), unit(case.second), []
    for row in np.flatnonzero(case.valid):
        others = [other for other in np.flatnonzero(case.valid) if case.video[other] != case.video[row]]
        if not others:
            continue
        both = 0.0
        for query, keys in ((first[row], second), (second[row], first)):
            logits = np.array([query @ keys[key] for key in (row, *others)]) / temperature
            both += np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[0]
        losses.append(both / 2)
    settings = ObjectiveSettings(embed_form="infonce", temperature=temperature)
    assert value(case, settings).item() == pytest.approx(mean(losses), rel=1e-4, abs=1e-4)


def test_similarities_are_not_rounded_to_bfloat16() -> None:
    random = np.random.default_rng(0)
    first = random.normal(size=(6, 5)).astype(np.float32)
    case = Case(first, first + random.normal(size=(6, 5)).astype(np.float32) / 10, np.ones(6, bool), np.arange(6))
    settings = ObjectiveSettings(embed_form="infonce", temperature=0.05)
    exact = value(case, settings)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(value(case, settings), exact)


def test_collapsed_vectors_pay_the_margin() -> None:
    loss, parts = build(TERM, make_parts()), make_parts()
    encoded, batch = make_case(loss, parts, 3)
    same = {view: encoding._replace(vector_BD=torch.zeros_like(encoding.vector_BD)) for view, encoding in encoded.items()}
    assert loss(same, batch).item() == pytest.approx(1.0, abs=1e-5)


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
