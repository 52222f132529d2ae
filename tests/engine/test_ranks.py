"""Several processes with a batch between them train as one process with all of it does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.weights import LossWeights
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.loop import Training
from elo_cli.tasks import all_terms
from tests.support.ranks import together
from tests.support.shards import OBJECTIVE, make_training, write_set

FORMS = {
    "paper": OBJECTIVE,
    "other": OBJECTIVE.model_copy(
        update={"embed_form": "infonce", "align_form": "match", "scale": "initial", "teacher_gradient": True}
    ),
}
BATCH = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set") / "set", deaf=(1, 2, 4)).root


def training(place: Path, form: str) -> Training:
    settings: ObjectiveSettings = FORMS[form]
    weights = LossWeights.uniform(all_terms(settings), 0.5)
    return make_training(VideoSet(place), weights, steps=4, settings=settings)


def gradients(place: Path, form: str) -> dict[str, Any]:
    """The parts of the loss and every gradient after one step, and the running statistics."""
    trained = training(place, form)
    (record,) = [record for record, _ in zip(trained.run(0), range(1), strict=False)]
    objective = trained.objective
    found = {name: value.grad for name, value in objective.named_parameters()}
    return {"loss": record.loss, "parts": record.parts, "gradients": found, "buffers": dict(objective.named_buffers())}


def curve(place: Path, form: str) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """The parts of the loss in four steps, and all that a checkpoint would hold."""
    trained = training(place, form)
    return [record.parts for record in trained.run(0)], trained.tensors()


def near(first: Tensor, second: Tensor, name: str) -> None:
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5, msg=lambda text: f"{name}: {text}")


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_one_process(place: Path, form: str, world: int) -> None:
    alone = gradients(place, form)
    assert len(alone["parts"]) == len(all_terms(FORMS[form]))
    for each in together(world, gradients, place, form):
        assert each["loss"] == pytest.approx(alone["loss"], rel=1e-5)
        assert each["parts"] == pytest.approx(alone["parts"], rel=1e-4, abs=1e-6)
        for name, gradient in alone["gradients"].items():
            assert (gradient is None) == (each["gradients"][name] is None), name
            if gradient is not None:
                near(each["gradients"][name], gradient, name)
        for name, buffer in alone["buffers"].items():
            near(each["buffers"][name].double(), buffer.double(), name)
