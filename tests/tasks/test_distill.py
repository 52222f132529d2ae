"""Eq. 2 against plain NumPy, where maps are alike and where they are not."""

import numpy as np
import pytest

from elo_cli.core.clip import View
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.weights import Term
from elo_cli.tasks.distill import build, terms
from tests.support.encodings import gradients, make_case, make_parts, reach


def compare(first: np.ndarray, second: np.ndarray, form: str) -> float:
    difference = (first.astype(np.float64) - second).reshape(len(first), -1)
    return float(np.mean(np.linalg.norm(difference, axis=1) if form == "l2" else (difference**2).mean(1)))


@pytest.mark.parametrize("form", ["l2", "mean"])
@pytest.mark.parametrize("site", [1, 2, 3, 4])
@pytest.mark.parametrize("teacher", ["flow", "grey"])
def test_maps_of_one_shape_are_compared_as_they_are(teacher: str, site: int, form: str) -> None:
    parts = make_parts(ObjectiveSettings.model_validate({"distance": form}))
    loss = build(Term("distill", (teacher, "rgb"), True, site), parts)
    assert not list(loss.parameters())
    encoded, batch = make_case(loss, parts, 3)
    maps = {view.modality: encoding.stages[site - 1].detach().numpy() for view, encoding in encoded.items()}
    assert loss(encoded, batch).item() == pytest.approx(compare(maps["rgb"], maps[teacher], form), rel=1e-5)


@pytest.mark.parametrize("form", ["l2", "mean"])
@pytest.mark.parametrize("site", [1, 2, 3, 4])
def test_sound_is_compared_over_time(site: int, form: str) -> None:
    parts = make_parts(ObjectiveSettings.model_validate({"distance": form}))
    loss = build(Term("distill", ("audio", "rgb"), True, site), parts)
    encoded, batch = make_case(loss, parts, 3)
    maps = {view.modality: encoding.stages[site - 1].detach().numpy() for view, encoding in encoded.items()}
    student, teacher = maps["rgb"].mean((3, 4)), maps["audio"].mean(2)
    steps, length = student.shape[2], teacher.shape[2]
    # Step i of RGB meets the mean of the spectrogram's columns that overlap it.
    spans = [(i * length // steps, -(-(i + 1) * length // steps)) for i in range(steps)]
    teacher = np.stack([teacher[:, :, start:stop].mean(2) for start, stop in spans], 2)
    if site == 2:  # here alone sound has more channels
        weight, bias = (parameter.detach().numpy() for parameter in loss.parameters())
        assert weight.shape == (6, 3, 1)
        student = np.einsum("oc,bct->bot", weight[:, :, 0], student) + bias[None, :, None]
    else:
        assert not list(loss.parameters())
    assert loss(encoded, batch).item() == pytest.approx(compare(student, teacher, form), rel=1e-4)


@pytest.mark.parametrize("teacher", ["flow", "audio"])
def test_the_gradient_reaches_the_teacher_only_on_request(teacher: str) -> None:
    for asked in (False, True):
        parts = make_parts(ObjectiveSettings(teacher_gradient=asked))
        loss = build(Term("distill", (teacher, "rgb"), True, 1), parts)
        encoded, batch = make_case(loss, parts, 3)
        loss(encoded, batch).backward()
        assert reach(encoded, gradients(encoded)) == (loss.views if asked else {View("rgb")})


def test_without_rgb_there_is_nothing_to_teach() -> None:
    assert terms(["flow", "audio"], (1,)) == []
    assert [str(term) for term in terms(["rgb", "flow"], (1, 4))] == ["flow-to-rgb.distill.1", "flow-to-rgb.distill.4"]
