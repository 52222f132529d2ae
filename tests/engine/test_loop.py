"""Training: repeatable to the bit, resumable at any step, and loud when the loss is no number."""

import functools
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from elo_cli.core.clip import ClipBatch
from elo_cli.core.errors import TrainingError, UsageError
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.weights import LossWeights
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.loop import StepRecord, Training
from elo_cli.engine.objective import Objective
from elo_cli.engine.optim import learning_rate
from elo_cli.engine.precision import Precision
from elo_cli.tasks import all_terms
from tests.support.shards import BF16, CONTRAST, OBJECTIVE, PLAIN, loss, make_training, same, write_set

WEIGHTS = loss(
    rgb__reverse=0.5,
    rgb__predict=1.0,
    flow__reverse=0.3,
    rgb_audio__align=0.7,
    rgb_audio__embed=0.2,
    audio_to_rgb__distill__3=0.1,
)
HAS_BF16 = bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
WANTED = pytest.mark.skipif(not HAS_BF16, reason="no bfloat16 instructions")
FORMATS = [pytest.param(PLAIN, id="float32"), pytest.param(BF16, id="bf16", marks=WANTED)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    return write_set(tmp_path_factory.mktemp("set"))


def new(videos: VideoSet, precision: Precision, settings: ObjectiveSettings = OBJECTIVE) -> Training[Objective]:
    weights = LossWeights.uniform(all_terms(settings)) if settings is CONTRAST else WEIGHTS
    return make_training(videos, weights, steps=5, precision=precision, settings=settings)


def finish(training: Training[Objective]) -> tuple[list[StepRecord], dict[str, Tensor]]:
    return list(training.run(0)), {name: value.clone() for name, value in training.tensors().items()}


@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize("settings", [OBJECTIVE.model_copy(update={"scale": "initial"}), CONTRAST], ids=["elo", "contrast"])
def test_a_resumed_run_is_the_run(videos: VideoSet, precision: Precision, settings: ObjectiveSettings) -> None:
    records, straight = finish(new(videos, precision, settings))
    again, repeated = finish(new(videos, precision, settings))
    same(straight, repeated)
    assert [record.parts for record in records] == [record.parts for record in again]
    for stop in (1, 3):
        begun = new(videos, precision, settings)
        for record in begun.run(0):
            if record.step + 1 == stop:
                break
        assert begun.done == stop
        # As a file would hold them: contiguous, and no longer shared with the networks.
        saved = {name: value.detach().clone().contiguous() for name, value in begun.tensors().items()}
        resumed = new(videos, precision, settings)
        resumed.load(stop, saved)
        rest, tensors = finish(resumed)
        assert [record.step for record in rest] == list(range(stop, 5))
        assert [record.parts for record in rest] == [record.parts for record in records[stop:]]
        same(straight, tensors)


def test_records_say_what_was_done(videos: VideoSet) -> None:
    training = new(videos, PLAIN)
    records, _ = finish(training)
    assert training.done == 5 and [record.step for record in records] == [0, 1, 2, 3, 4]
    for record in records:
        assert record.lr == learning_rate(record.step, training.settings)
        assert record.loss == pytest.approx(sum(w * record.parts[str(t)] for t, w in WEIGHTS.items()), rel=1e-5)
        assert 0 <= record.waiting <= record.seconds
    assert list(training.run(0)) == []


def test_a_checkpoint_holds_networks_momenta_and_scales(videos: VideoSet) -> None:
    training = new(videos, PLAIN)
    finish(training)
    names = set(training.tensors())
    assert "model:initial" in names and "model:encoders.rgb.stem.0.weight" in names
    assert "model:encoders.rgb.stem.1.running_mean" in names
    assert "optimizer:encoders.rgb.stem.0.weight:momentum_buffer" in names
    stored = {name.split(":")[1] for name in names if name.startswith("optimizer:")}
    assert stored == {name for name, _ in training.objective.named_parameters()}


def test_training_learns(tmp_path: Path) -> None:
    videos = write_set(tmp_path / "set", fading=True)  # all its films grow brighter: the direction of time is plain
    training = make_training(videos, loss(rgb__reverse=1.0), steps=80, lr=0.1)
    losses = [record.loss for record in training.run(0)]
    assert sum(losses[-20:]) / 20 < 0.6 * sum(losses[:5]) / 5


@pytest.mark.parametrize("damage", [float("nan"), float("inf")])
def test_a_term_that_is_no_number_is_named_and_left_out(videos: VideoSet, damage: float) -> None:
    weights = loss(rgb__predict=0.5, rgb__reverse=0.5)
    training, without = make_training(videos, weights, steps=1), make_training(videos, weights, steps=1)
    with torch.no_grad():
        next(training.objective.losses["rgb/predict"].parameters()).fill_(damage)
    [record], _ = finish(training)
    assert record.skipped == ("rgb.predict",) and set(record.clips) <= {video.id for video in videos.videos}
    assert len(record.clips) == 4 and math.isfinite(record.loss) and training.skipped == 1
    # The step is that of the other terms; running statistics stay as they were.
    fresh = make_training(videos, weights, steps=1)
    for name, value in training.objective.encoders["rgb"].state_dict().items():
        assert torch.isfinite(value).all(), name
        if "running" in name:
            assert torch.equal(value, fresh.objective.encoders["rgb"].state_dict()[name]), name
    assert not torch.equal(
        training.objective.losses["rgb/reverse"].head.weight, fresh.objective.losses["rgb/reverse"].head.weight
    )
    assert finish(without)[0][0].skipped == ()


def test_a_step_whose_gradient_is_no_number_is_not_made(videos: VideoSet) -> None:
    training = make_training(videos, loss(rgb__reverse=1.0), steps=1)
    training.objective.losses["rgb/reverse"].head.weight.register_hook(lambda gradient: gradient * math.nan)
    before = {name: value.clone() for name, value in training.tensors().items() if "tracked" not in name}
    [record], _ = finish(training)
    assert record.skipped == ("the gradient",)
    after = training.tensors()
    assert int(after.pop("loop:skipped")) == 1 and int(before.pop("loop:skipped")) == 0
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_an_encoder_without_batch_norm_trains(videos: VideoSet) -> None:
    training = make_training(videos, loss(rgb__reverse=1.0), steps=2)
    encoder = training.objective.encoders["rgb"]
    for name, part in list(encoder.named_modules()):
        if isinstance(part, torch.nn.BatchNorm3d):
            encoder.get_submodule(name.rpartition(".")[0]).register_module(name.rpartition(".")[2], torch.nn.Identity())
    again = Training(training.objective, training.clips, training.settings, PLAIN)
    assert [record.skipped for record in again.run(0)] == [(), ()]


def test_too_many_such_steps_end_the_run(videos: VideoSet) -> None:
    training = make_training(videos, loss(rgb__predict=0.5, rgb__reverse=0.5), steps=6, max_skipped=2)
    with torch.no_grad():
        next(training.objective.losses["rgb/predict"].parameters()).fill_(math.nan)
    steps = []
    with pytest.raises(
        TrainingError, match=r"rgb\.predict is no finite number at step 3 \(clips of v\d\d\.mp4.* 3 such steps"
    ) as caught:
        steps.extend(record.step for record in training.run(0))
    assert "a lower lr" in caught.value.hint and "rgb.reverse" not in caught.value.message
    assert steps == [0, 1, 2], "the step that ends it is told too"
    for most, more in ((2, 1), (4, 2)):  # it goes on where it ended, and ends again with the step that is one too many
        resumed = make_training(videos, loss(rgb__predict=0.5, rgb__reverse=0.5), steps=6, max_skipped=most)
        resumed.load(training.done, training.tensors())
        assert resumed.skipped == 3 and resumed.done == 3
        taken: list[int] = []
        with pytest.raises(TrainingError):
            taken.extend(record.step for record in resumed.run(0))
        assert taken == [3, 4][:more]


def test_a_batch_without_any_valid_clip_changes_no_encoder(tmp_path: Path) -> None:
    deaf = write_set(tmp_path / "set", videos=4, deaf=(0, 1, 2, 3))
    for weights in (loss(audio__reverse=1.0), loss(rgb_audio__embed=1.0, audio_to_rgb__distill__3=1.0)):
        training = make_training(deaf, weights, steps=2)
        before = {name: value.clone() for name, value in training.objective.encoders["audio"].state_dict().items()}
        records, _ = finish(training)
        assert [record.loss for record in records] == [0, 0]
        same(before, training.objective.encoders["audio"].state_dict())


def test_the_gradient_is_bounded(videos: VideoSet) -> None:
    training = make_training(
        videos, loss(rgb__reconstruct=1.0), steps=1, settings=OBJECTIVE.model_copy(update={"distance": "l2"})
    )
    before = [parameter.detach().clone() for parameter in training.objective.parameters()]
    finish(training)
    norm = sum(float(p.grad.square().sum()) for p in training.objective.parameters() if p.grad is not None) ** 0.5
    assert norm == pytest.approx(1.0, rel=1e-4)
    moved = [float((one - other.detach()).norm()) for one, other in zip(before, training.objective.parameters(), strict=True)]
    assert 0 < max(moved) <= training.settings.lr * 1.1


def test_a_checkpoint_of_another_loss_is_refused(videos: VideoSet) -> None:
    one, other = new(videos, PLAIN), make_training(videos, LossWeights({**WEIGHTS, **loss(rgb__shuffle=1.0)}))
    with pytest.raises(RuntimeError, match="rgb/shuffle"):
        other.load(0, one.tensors())


EVERY = LossWeights.uniform(all_terms(OBJECTIVE), 0.5)


def gradients(training: Training[Objective], batch: ClipBatch) -> tuple[StepRecord, dict[str, Tensor]]:
    """Take the first step on a batch; return its record and all gradients, before they are cut to a norm."""
    training.objective.train()
    record = training.step(training.send(batch), 0)
    named = training.objective.named_parameters()
    return record, {name: value.grad.clone() for name, value in named if value.grad is not None}


def test_parts_of_a_batch_add_up_to_the_mean_of_their_gradients(videos: VideoSet) -> None:
    # What remembers the first part, such as a bank of pseudo-labels, would tell the second one.
    weights = LossWeights({term: weight for term, weight in EVERY.items() if term.task not in ("cluster", "aggregate")})
    make = functools.partial(make_training, videos, weights, clip_norm=0.0)
    whole = make(batch=8, accumulate=2)
    batch = whole.clips[0]
    record, found = gradients(whole, batch)
    halves = [gradients(make(), half) for half in batch.parts(2)]
    assert record.loss == pytest.approx(sum(half.loss for half, _ in halves) / 2, rel=1e-5)
    assert record.parts == pytest.approx({name: sum(half.parts[name] for half, _ in halves) / 2 for name in record.parts})
    assert found.keys() == halves[0][1].keys()
    for name, gradient in found.items():
        mean = (halves[0][1][name] + halves[1][1][name]) / 2
        torch.testing.assert_close(gradient, mean, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_parts_see_what_the_whole_batch_would(videos: VideoSet) -> None:
    """Where nothing looks across clips, accumulation is the step of the whole batch, shuffled orders included."""
    weights = loss(rgb__reconstruct=1.0, flow__shuffle=0.5, rgb_to_flow__transfer=0.5)
    found = []
    for accumulate in (1, 2, 4):
        training = make_training(videos, weights, batch=8, accumulate=accumulate, clip_norm=0.0)
        for module in training.objective.modules():
            if isinstance(module, _BatchNorm):
                module.momentum, module.train = 0.0, lambda mode=True, module=module: module  # type: ignore[method-assign]
                module.training = False
        found.append(gradients(training, training.clips[0]))
    for record, each in found[1:]:
        assert record.parts == pytest.approx(found[0][0].parts, rel=1e-5)
        for name, gradient in found[0][1].items():
            torch.testing.assert_close(each[name], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", FORMATS)
def test_what_is_computed_again_is_the_same(videos: VideoSet, precision: Precision) -> None:
    trained = []
    for again in (False, True):
        training = make_training(videos, EVERY, steps=2, recompute=again, precision=precision)
        records, tensors = finish(training)
        trained.append(([record.parts for record in records], tensors))
    assert trained[0][0] == trained[1][0]
    same(trained[0][1], trained[1][1])


@pytest.mark.parametrize("kind", ["adamw", "lars"])
@pytest.mark.parametrize("precision", FORMATS)
def test_every_optimiser_goes_on_as_it_was(videos: VideoSet, precision: Precision, kind: str) -> None:
    make = functools.partial(
        make_training, videos, WEIGHTS, precision=precision, optimizer=kind, batch=8, accumulate=2, recompute=True
    )
    _, straight = finish(make())
    begun = make()
    next(begun.run(0))
    resumed = make()
    resumed.load(1, {name: value.detach().clone().contiguous() for name, value in begun.tensors().items()})
    same(straight, finish(resumed)[1])


@pytest.mark.parametrize("precision", FORMATS)
def test_gradients_lie_in_memory_as_their_parameters(videos: VideoSet, precision: Precision) -> None:
    training = make_training(videos, EVERY, batch=8, accumulate=2, recompute=True, precision=precision)
    next(training.run(0))
    for parameter in training.objective.parameters():
        assert parameter.grad is None or parameter.grad.stride() == parameter.stride()


@pytest.mark.parametrize(("batch", "accumulate"), [(8, 3), (4, 4), (2, 2)])
def test_parts_that_cannot_be_are_refused(videos: VideoSet, batch: int, accumulate: int) -> None:
    with pytest.raises(UsageError, match=f"accumulate is {accumulate}, but {batch} clips"):
        make_training(videos, WEIGHTS, batch=batch, accumulate=accumulate)


def test_how_long_it_is(videos: VideoSet) -> None:
    training = make_training(videos, WEIGHTS, steps=9, batch=4, lr=0.1, lr_scaling="linear", lr_batch=2)
    assert training.extent() == {
        "batch": 4,
        "epochs": pytest.approx(36 / len(videos.videos), abs=1e-3),
        "videos": len(videos.videos),
        "lr": 0.2,
    }


@pytest.mark.parametrize("accumulate", [2, 4])
def test_what_is_no_number_in_one_part_leaves_nothing_of_its_step(videos: VideoSet, accumulate: int) -> None:
    training = make_training(videos, loss(rgb__predict=0.5, rgb__reverse=0.5, grey__reverse=0.5), batch=8, accumulate=accumulate)
    before = {name: value.clone() for name, value in training.tensors().items() if "tracked" not in name}
    batch = training.clips[0]
    for source, tensor in batch.inputs.items():
        if source.modality == "rgb":
            tensor[-1] = math.nan
    record, _ = gradients(training, batch)
    assert set(record.skipped) == {"rgb.predict", "rgb.reverse"} and set(record.parts) == {"grey.reverse"}
    assert record.loss == pytest.approx(0.5 * record.parts["grey.reverse"], rel=1e-5) and training.skipped == 1
    before["loop:skipped"] += 1
    after = training.tensors()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
