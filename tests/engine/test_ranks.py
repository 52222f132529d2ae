"""Several processes with a batch between them train as one process with all of it does."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from elo_cli import dist
from elo_cli.core.clip import ClipBatch
from elo_cli.core.errors import AbandonedError, UsageError
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.weights import LossWeights
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.loop import StepRecord, Training
from elo_cli.engine.objective import Objective
from elo_cli.tasks import all_terms
from tests.support.ranks import together
from tests.support.shards import CONTRAST, OBJECTIVE, make_clips, make_objective, make_training, same, write_set

FORMS = {
    "paper": OBJECTIVE,
    "other": OBJECTIVE.model_copy(
        update={"embed_form": "infonce", "align_form": "match", "scale": "initial", "teacher_gradient": True}
    ),
    "contrast": CONTRAST.model_copy(update={"contrast": CONTRAST.contrast.model_copy(update={"batch_negatives": True})}),
}
BATCH = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set") / "set", deaf=(1, 2, 4)).root


def training(place: Path, form: str) -> Training[Objective]:
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


def halves(place: Path, form: str) -> tuple[list[StepRecord], dict[str, Tensor], dict[str, Tensor]]:
    """Train for four steps, and again with a new start after two; the records, and what checkpoints of both would hold."""
    straight = training(place, form)
    records = list(straight.run(0))
    begun = training(place, form)
    for record in begun.run(0):
        if record.step == 1:
            break
    resumed = training(place, form)
    resumed.load(begun.done, {name: value.detach().clone() for name, value in begun.tensors().items()})
    list(resumed.run(0))
    return records, copies(straight), copies(resumed)


def poisoned(place: Path) -> tuple[list[StepRecord], dict[str, Tensor]]:
    """Train for three steps, with a flow that is no number in the second on the last rank alone."""
    trained = training(place, "paper")
    send = trained.send

    def poison(batch: ClipBatch) -> ClipBatch:
        batch = send(batch)
        if trained.done == 1 and dist.rank() == dist.world() - 1:
            for source, tensor in batch.inputs.items():
                if source.modality == "flow":
                    tensor[batch.present[source]] = math.nan
        return batch

    trained.send = poison  # type: ignore[method-assign]
    return [record for record, _ in zip(trained.run(0), range(3), strict=False)], copies(trained)


def refusal(place: Path) -> str:
    """Ask for what cannot be done together."""
    weights, videos = LossWeights.uniform(all_terms(OBJECTIVE), 0.5), VideoSet(place)
    with pytest.raises(UsageError) as caught:
        make_clips(videos, make_objective(videos, weights), batch=5)
    return caught.value.message


def waited(late: float, leave: float) -> tuple[float, float]:
    """Rank 0 comes late and leaves at once; the others leave later. When each came to the place, and when it went on."""
    came = time.time()
    if dist.rank() == 0:
        time.sleep(late)
    dist.after_first("something")
    went = time.time()
    if dist.rank():
        time.sleep(leave)
    return came + (late if dist.rank() == 0 else 0), went


def abandoned(told: Path) -> None:
    """Rank 0 fails before it comes to the place; write down what the others learn of it."""
    if dist.rank() == 0:
        raise UsageError("rank 0 has failed")
    with pytest.raises(AbandonedError) as caught:
        dist.after_first("something")
    told.write_text(caught.value.message)


def copies(trained: Training[Objective]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in trained.tensors().items()}


def near(first: Tensor, second: Tensor, name: str) -> None:
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5, msg=lambda text: f"{name}: {text}")


def near_in_all(first: Tensor, second: Tensor, name: str) -> None:
    """Compare what rounding reaches more: contrast at a low temperature, of edges that are cut off almost everywhere."""
    difference = float((first - second).norm())
    assert difference <= 3e-3 * float(second.norm()) + 1e-5, f"{name}: {difference} of {float(second.norm())}"


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
                (near_in_all if form == "contrast" else near)(each["gradients"][name], gradient, name)
        for name, buffer in alone["buffers"].items():
            near(each["buffers"][name].double(), buffer.double(), name)


@pytest.mark.parametrize("form", ["other", "contrast"])
def test_all_ranks_go_the_same_way_and_go_on_from_where_they_were(place: Path, form: str) -> None:
    (records, straight, resumed), *others = together(2, halves, place, form)
    same(straight, resumed)
    for other, own, again in others:
        assert [record.parts for record in other] == [record.parts for record in records]
        same(straight, own)
        same(straight, again)


def test_what_is_no_number_on_one_rank_is_left_out_on_all(place: Path) -> None:
    (records, tensors), *others = together(2, poisoned, place)
    assert [bool(record.skipped) for record in records] == [False, True, False]
    assert {"flow.reconstruct", "rgb-flow.embed"} <= set(records[1].skipped)
    assert not {"rgb.reverse", "grey-audio.embed"} & set(records[1].skipped)
    assert len(records[1].clips) == BATCH == len(set(records[1].clips))
    assert all(torch.isfinite(value).all() for value in tensors.values())
    for other, found in others:
        assert [record.skipped for record in other] == [record.skipped for record in records]
        assert other[1].clips == records[1].clips
        same(tensors, found)


def test_a_batch_must_be_shared_evenly(place: Path) -> None:
    for said in together(2, refusal, place):
        assert said == "A batch of 5 clips cannot be divided among 2 processes."


def test_nobody_goes_on_before_rank_0_and_rank_0_not_without_being_heard() -> None:
    (came, _), *others = together(2, waited, 0.7, 0.3)
    assert all(went >= came for _, went in others)


def test_who_waits_for_a_rank_0_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rank 0 has failed"):
        together(2, abandoned, tmp_path / "told")
    assert "Rank 1 of 2 has lost the others" in (tmp_path / "told").read_text()


def test_alone_there_is_nobody_to_wait_for() -> None:
    dist.after_first("something")
    dist.after_first("something")
