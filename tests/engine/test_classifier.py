"""A network trained on labels: its loss, its dropout, which videos it draws, and that ranks train as one process."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from elo_cli.core.benchmark_settings import FinetuneSettings
from elo_cli.core.clip import ClipBatch, Source
from elo_cli.core.errors import DataError
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.classifier import Classifier, class_shares, make_finetuning, train_settings
from elo_cli.engine.export import load_encoder
from elo_cli.engine.loop import Training
from tests.support.encoders import some_clips, write_encoder
from tests.support.ranks import together
from tests.support.shards import PLAIN, same, write_set

GIVEN = FinetuneSettings(batch=4, epochs=4, lr=0.05, dropout=0.5)  # type: ignore[call-arg]
LABELS = (0, 1, -1, 1, 0, 1, 0, -1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a preprocessed `set` and an encoder."""
    folder = tmp_path_factory.mktemp("place")
    write_set(folder / "set", deaf=(), flow=False)
    write_encoder(folder / "one")
    return folder


def training(place: Path, given: FinetuneSettings = GIVEN, **more: Any) -> Training[Classifier]:
    return make_finetuning(
        load_encoder(place / "one"), given, VideoSet(place / "set"), LABELS, 2, seed=3, precision=PLAIN, **more
    )


def batch_of(clips: int, *, first: int = 0, whole: int | None = None) -> ClipBatch:
    inputs = {Source("rgb"): some_clips(clips)}
    present = {Source("rgb"): torch.ones(clips, dtype=torch.bool)}
    numbers = torch.tensor([0, 1, 3, 4])[:clips]
    return ClipBatch(inputs, present, tuple(f"v{number}" for number in range(clips)), numbers, first, whole)


def gradients(place: Path) -> dict[str, Any]:
    """The loss and every gradient after one step on all ranks."""
    trained = training(place)
    (record,) = [record for record, _ in zip(trained.run(0), range(1), strict=False)]
    found = {name: value.grad for name, value in trained.objective.named_parameters()}
    return {"loss": record.loss, "gradients": found, "buffers": dict(trained.objective.named_buffers())}


def test_the_loss_is_the_cross_entropy_of_the_labels(place: Path) -> None:
    model = training(place).objective.eval()  # no dropout
    batch = batch_of(4)
    report = model(batch, 0)
    logits_BK = model.layer(model.encoders["rgb"](batch.inputs[Source("rgb")]).vector_BD)
    expected = functional.cross_entropy(logits_BK, torch.tensor([0, 1, 1, 0]))
    torch.testing.assert_close(report.total, expected)
    assert report.parts["label"].item() == pytest.approx(expected.item()) and not report.parts["label"].requires_grad
    assert report.total.item() == pytest.approx(math.log(2), abs=0.1), "it begins without a preference"


def test_dropout_follows_from_seed_and_step_for_the_whole_batch(place: Path) -> None:
    model = training(place).objective.train()
    vector_BD = torch.ones(4, 32)
    batch = batch_of(4)
    kept_BD = model._kept(batch, 5, vector_BD)
    assert torch.equal(kept_BD, model._kept(batch, 5, vector_BD))
    assert not torch.equal(kept_BD, model._kept(batch, 6, vector_BD))
    other = training(place).objective
    other.seed = 4
    assert not torch.equal(kept_BD, other._kept(batch, 5, vector_BD))
    assert set(kept_BD.unique().tolist()) == {0.0, 1.0} and 0.3 < kept_BD.mean() < 0.7
    parts = [model._kept(part, 5, vector_BD[:2]) for part in batch.parts(2)]
    assert torch.equal(torch.cat(parts), kept_BD), "however the batch is divided"
    halves = [model._kept(replace(batch_of(2), first=2 * rank, whole=4), 5, vector_BD[:2]) for rank in (0, 1)]
    assert torch.equal(torch.cat(halves), kept_BD)


def test_nothing_else_draws_otherwise_because_of_it(place: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = training(place).objective.layer.weight
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(2)
    assert torch.equal(training(place).objective.layer.weight, first), "the layer follows from the seed alone"


def test_videos_without_a_class_and_held_out_ones_are_never_drawn(place: Path) -> None:
    drawn = set()
    trained = training(place, without=(0, 5))
    for step in range(30):
        drawn |= set(trained.clips.videos(step))
    assert drawn == {"v01.mp4", "v03.mp4", "v04.mp4", "v06.mp4"}
    assert trained.settings.steps == 4, "4 epochs of 4 videos, 4 at a time"
    with pytest.raises(DataError, match="held out"):
        training(place, without=(0, 1, 3, 4, 5, 6))


def test_an_epoch_is_each_video_once(place: Path) -> None:
    loaded = load_encoder(place / "one")
    steps = [train_settings(GIVEN.model_copy(update={"epochs": epochs}), loaded, videos).steps
             for epochs, videos in ((1.0, 4), (1.0, 5), (0.1, 4), (2.5, 8))]  # fmt: skip
    assert steps == [1, 2, 1, 5]
    settings = train_settings(GIVEN, loaded, 6)
    assert (settings.clip.frames, settings.clip.size, settings.clip.flip) == (4, 16, 0.5)
    assert settings.clip.crop_area == GIVEN.crop_area and settings.lr == GIVEN.lr


def test_a_resumed_fine_tuning_is_the_one(place: Path) -> None:
    straight = training(place)
    list(straight.run(0))
    begun = training(place)
    for record in begun.run(0):
        if record.step == 2:
            break
    resumed = training(place)
    resumed.load(begun.done, {name: value.detach().clone() for name, value in begun.tensors().items()})
    list(resumed.run(0))
    assert straight.done == resumed.done == 6
    same(straight.tensors(), resumed.tensors())


def test_two_ranks_have_the_gradient_of_one_process(place: Path) -> None:
    alone = gradients(place)
    for each in together(2, gradients, place):
        assert each["loss"] == pytest.approx(alone["loss"], rel=1e-5)
        for kind in ("gradients", "buffers"):
            assert set(each[kind]) == set(alone[kind])
            for name, value in alone[kind].items():
                torch.testing.assert_close(each[kind][name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_shares_of_views_are_a_softmax(place: Path) -> None:
    model = training(place).objective
    views_NVD = torch.randn(3, 2, model.layer.in_features, generator=torch.Generator().manual_seed(0))
    shares_NVK = class_shares(model, views_NVD)
    assert shares_NVK.shape == (3, 2, 2) and not shares_NVK.requires_grad
    torch.testing.assert_close(shares_NVK[1, 1], model.layer(views_NVD[1, 1]).softmax(-1).detach())
