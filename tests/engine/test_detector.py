"""A detector: trained alike by one process and by several, in one go and after a stop; and what it tells of boxes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from elo_cli.core.benchmark_settings import DetectionSettings
from elo_cli.core.clip import ClipBatch, Source
from elo_cli.core.seeds import numpy_generator
from elo_cli.data import transforms
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.detector import BoxesToLearn, Detector, make_detection, tell
from elo_cli.engine.export import load_encoder
from elo_cli.engine.loop import Training
from elo_cli.nets.regions import RegionHead, region_loss
from tests.support.encoders import some_clips, write_encoder
from tests.support.ranks import together
from tests.support.shards import PLAIN, same, write_set

COUNTS = (1, 4, 2, 0, 3, 1, 5, 2)  # boxes of each video: ranks have different numbers of them
CLASSES = 3


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a preprocessed set and an encoder."""
    folder = tmp_path_factory.mktemp("place")
    write_set(folder / "set", segments=1, frames=6, flow=False)
    write_encoder(folder / "encoder", size=32)
    return folder


def boxes(counts: tuple[int, ...] = COUNTS) -> tuple[list[np.ndarray], list[np.ndarray]]:
    random = numpy_generator(0, "boxes")
    corners = [np.sort(random.uniform(0, 1, (count, 2, 2)), axis=1).reshape(count, 4) for count in counts]
    return corners, [random.integers(0, 2, (count, CLASSES)).astype(np.float32) for count in counts]


def training(place: Path, **changes: Any) -> Training[Detector]:
    given = DetectionSettings(**({"epochs": 2.0, "batch": 4, "lr": 0.05} | changes))
    loaded = load_encoder(place / "encoder")
    return make_detection(loaded, given, VideoSet(place / "set"), BoxesToLearn(*boxes()), seed=3, precision=PLAIN)


def copies(trained: Training[Detector]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in trained.tensors().items()}


def gradients(place: Path, frozen: bool) -> dict[str, Any]:
    """The loss and every gradient after one step, and the running statistics."""
    trained = training(place, frozen=frozen)
    (record,) = [record for record, _ in zip(trained.run(0), range(1), strict=False)]
    found = {name: value.grad for name, value in trained.objective.named_parameters()}
    return {"loss": record.loss, "gradients": found, "buffers": dict(trained.objective.named_buffers())}


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_over_ranks_with_different_numbers_of_boxes_are_those_of_one_process(place: Path, frozen: bool) -> None:
    alone, sampler = gradients(place, frozen), training(place).clips.sampler
    (first, second) = (sum(COUNTS[choice.video] for choice in half) for half in (sampler.draw(0)[:2], sampler.draw(0)[2:]))
    assert first != second, "else the mean of the ranks' means would do"
    assert any(name.startswith("encoders") and gradient is not None for name, gradient in alone["gradients"].items()) != frozen
    for each in together(2, gradients, place, frozen):
        assert each["loss"] == pytest.approx(alone["loss"], rel=1e-5)
        for name, gradient in alone["gradients"].items():
            assert (gradient is None) == (each["gradients"][name] is None), name
            if gradient is not None:
                torch.testing.assert_close(each["gradients"][name], gradient, rtol=1e-4, atol=1e-6)
        for name, buffer in alone["buffers"].items():
            torch.testing.assert_close(each["buffers"][name].double(), buffer.double(), rtol=1e-4, atol=1e-5)


def test_a_training_that_goes_on_is_the_same_to_the_bit(place: Path) -> None:
    straight, begun, resumed = (training(place) for _ in range(3))
    assert straight.settings.steps == 4
    list(straight.run(0))
    for record in begun.run(0):
        if record.step == 1:
            break
    torch.manual_seed(99)  # nothing may follow from what was drawn before
    resumed.load(begun.done, copies(begun))
    list(resumed.run(0))
    same(copies(straight), copies(resumed))


def test_what_is_built_is_whole_frames_without_mirroring_and_draws_no_number_of_others(place: Path) -> None:
    torch.manual_seed(5)
    trained, loaded = training(place), load_encoder(place / "encoder")
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))
    clip = trained.settings.clip
    assert (clip.frame, clip.flip) == ("whole", 0.0)
    assert (clip.frames, clip.stride, clip.size) == (loaded.clip.frames, loaded.clip.stride, loaded.clip.size)
    batch = trained.clips[0]
    for choice, seen in zip(trained.clips.sampler.draw(0), batch.inputs[Source("rgb")], strict=True):
        shard, start = trained.clips._clips.reader.shards[choice.shot.segment.shard], choice.shot.starts["clip"]
        frames = shard.read(choice.shot.segment.index, "rgb", start, start + 4)
        assert torch.equal(seen, transforms.rgb(frames, transforms.Place(0, 0, 20, 26, False), 32))


def test_a_frozen_encoder_stays_as_it_is(place: Path) -> None:
    trained, before = training(place, frozen=True), load_encoder(place / "encoder").network.state_dict()
    head = trained.objective.head.linear.weight.detach().clone()
    list(trained.run(0))
    same(dict(before), dict(trained.objective.encoders["rgb"].state_dict()))
    assert not torch.equal(head, trained.objective.head.linear.weight)


def test_dropout_follows_from_the_step_and_the_place_in_the_batch(place: Path) -> None:
    trained = training(place, frozen=True)
    model, batch = trained.objective.train(), trained.clips[0]

    def loss(clips: ClipBatch, step: int) -> float:
        return float(model(clips, step).total.detach())

    with torch.no_grad():
        model.head.linear.weight.mul_(100)  # so that what is dropped matters
    assert loss(batch, 0) == loss(batch, 0) != loss(batch, 1)
    region_BK4, target_KL = model.boxes.of(batch.video_B)
    whole_KC, halves = model._kept(batch, 0, region_BK4), list(batch.parts(2))
    assert whole_KC is not None and whole_KC.shape == (len(target_KL), 32) and 0.3 < whole_KC.float().mean() < 0.7
    parts = [model._kept(half, 0, model.boxes.of(half.video_B)[0]) for half in halves]
    assert torch.equal(torch.cat([part for part in parts if part is not None]), whole_KC)
    plain, dropped = training(place, frozen=True, dropout=0.0).objective.train(), loss(batch, 0)
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        told = region_loss(model.eval().logits(batch.inputs[Source("rgb")], region_BK4), target_KL)
    assert float(told) == float(plain(batch, 0).total.detach()) != dropped


def test_kept_features_are_scaled_so_that_their_mean_stays(place: Path) -> None:
    model = training(place).objective.train()
    model._dropout.kept_KC = torch.tensor([[True, False, True]])
    assert model._dropout(torch.ones(1, 3)).tolist() == [[2.0, 0.0, 2.0]]
    assert isinstance(model.head, RegionHead) and model.eval()._dropout(torch.ones(1, 3)).tolist() == [[1.0, 1.0, 1.0]]


def test_boxes_of_videos_are_found_by_number() -> None:
    corners, targets = boxes()
    found, target_KL = BoxesToLearn(corners, targets).of(torch.tensor([6, 3, 1]))
    assert [len(each) for each in found] == [5, 0, 4] and target_KL.shape == (9, CLASSES) and target_KL.dtype == torch.float32
    assert np.array_equal(torch.cat(found).numpy(), np.concatenate([corners[6], corners[1]]).astype(np.float32))
    assert np.array_equal(target_KL.numpy(), np.concatenate([targets[6], targets[1]]))


def test_what_is_told_is_the_sigmoids_of_each_box_whatever_the_batch(place: Path) -> None:
    trained = training(place, frozen=True)
    model, videos, clip = trained.objective, VideoSet(place / "set"), trained.settings.clip
    with torch.no_grad():
        model.head.linear.weight.mul_(100)
    chosen, given = list(videos.videos)[2:7], boxes()[0][2:7]
    done: list[int] = []
    scores = {
        batch: tell(model, clip, videos, chosen, given, batch=batch, precision=PLAIN, progress=done.append) for batch in (1, 3)
    }
    assert done == [1, 2, 3, 4, 5, 3, 5]
    assert [each.shape for each in scores[1]] == [(len(box_K4), CLASSES) for box_K4 in given]
    for one, three in zip(*scores.values(), strict=True):
        np.testing.assert_allclose(one, three, rtol=1e-4)
    # Frames 1 to 4 of six are the middle.
    frames = videos.shards[chosen[0].segments[0].shard].read(chosen[0].segments[0].index, "rgb", 1, 5)
    seen = transforms.rgb(frames, transforms.whole_place(20, 26), 32)[None]
    with torch.no_grad():
        wanted = model.logits(seen, [torch.tensor(given[0], dtype=torch.float32)]).double().sigmoid()
    np.testing.assert_allclose(scores[1][0], wanted.numpy(), rtol=1e-5)
    assert len(np.unique(np.round(np.concatenate(scores[1]), 6))) > 20, "or else nothing was compared"


def test_boxes_of_one_clip_are_told_apart(place: Path) -> None:
    model = training(place).objective.eval()
    halves = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]])
    with torch.no_grad():
        model.head.linear.weight.mul_(100)
        both = model.logits(some_clips(1, 32), [halves])
        other = model.logits(some_clips(1, 32), [halves.flip(0)])
    assert torch.equal(both.flip(0), other) and not torch.allclose(both[0], both[1])
