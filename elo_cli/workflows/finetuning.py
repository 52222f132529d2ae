"""The protocol finetune: an encoder and a linear layer are trained on a split's labels, by the engine of pretraining.

Each split of each encoder has a folder of its own in the run's directory, with checkpoints: a stop loses nothing. Where
several processes train together, all call `finetune_split`; rank 0 alone reads results, extracts and writes.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elo_cli import dist
from elo_cli.core.benchmark_settings import FinetuneSettings
from elo_cli.core.errors import DataError
from elo_cli.core.files import write_json
from elo_cli.core.seeds import derive
from elo_cli.core.settings import Settings
from elo_cli.data.loader import ClipReader
from elo_cli.data.video_set import Video
from elo_cli.datasets import LabelledSet, Split
from elo_cli.engine.classifier import Classifier, class_shares, make_finetuning
from elo_cli.engine.export import LoadedEncoder
from elo_cli.engine.extract import extract
from elo_cli.engine.loop import Training
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import loader_workers
from elo_cli.protocols import Scores
from elo_cli.protocols.finetune import score_shares
from elo_cli.run.directory import RunDirectory
from elo_cli.vectors.folds import parted
from elo_cli.workflows.events import Watch
from elo_cli.workflows.labelled_features import LabelledFeatures
from elo_cli.workflows.labelled_training import bind, train_on
from elo_cli.workflows.material import Material
from elo_cli.workflows.representations import Representation
from elo_cli.workflows.scoring import SplitScores, check_sides, counted

_CHOICE_PARTS = 5  # a fifth of the training side is what a learning rate is chosen by


@dataclass(frozen=True)
class _Job:
    """One encoder on one split: what is trained on, and what is seen of it."""

    one: Representation
    split: Split
    labelled: LabelledSet
    training_set: Material
    evaluation_set: Material
    features: LabelledFeatures
    settings: Settings
    watch: Watch

    @property
    def loaded(self) -> LoadedEncoder:
        """A copy of the encoder, as it was before any fine-tuning."""
        found = self.one.encoder
        assert found is not None
        return LoadedEncoder(found.path, copy.deepcopy(found.network), found.card)

    @property
    def classes(self) -> tuple[str, ...]:
        """Those of the training side, sorted."""
        return tuple(sorted({self.labelled.by_id[name].label for name in self.split.train}))


def finetune_split(
    one: Representation,
    split: Split,
    labelled: LabelledSet,
    features: LabelledFeatures,
    settings: Settings,
    run: RunDirectory,
    watch: Watch,
) -> SplitScores | None:
    """Fine-tune an encoder on the training side of a split and score it on the test side; go on where that was begun.

    Returns:
        The scores; None on other ranks than rank 0.

    Raises:
        DataError: a side has no readable video.
        TrainingError: too often something was no finite number; the state is saved.
        Stopped: somebody asked for it; the state is saved.
    """
    folder = run.root / "finetune" / one.name / f"split-{split.name}"
    result = folder / "result.json"
    precision = Precision.choose(settings.machine)
    name = f"{one.name}, split {split.name}"
    found = one.encoder
    assert found is not None
    training_set, evaluation_set = features.training_set(found), features.evaluation_set(found)
    bind(folder, trains=training_set.fingerprint, tests=evaluation_set.fingerprint, encoder=one.digest)
    if dist.first_text("done" if result.exists() else "", precision.device):
        return None if dist.rank() else _read(result, split, labelled)
    job = _Job(one, split, labelled, training_set, evaluation_set, features, settings, watch)
    rate = _chosen_rate(job, folder, precision, name)
    training = _trained(job, folder / "training", rate, (), precision, f"fine-tuning {name}")
    scores = None
    if not dist.rank():
        test = _readable(evaluation_set, split.test)
        shares_NVK = _shares(job, training, test, precision, f"testing {name}")
        scored = score_shares(shares_NVK, [str(video.label) for video in test], job.classes)
        drawn = len(_readable(training_set, split.train))
        told = {"metrics": {**scored.metrics, "lr": rate}, "predicted": scored.predicted, "ids": [video.id for video in test]}
        write_json(result, told | {"unread_train": len(split.train) - drawn, "steps": training.settings.steps})
        scores = _read(result, split, labelled)
    dist.after_first(f"finetune {name}")
    return scores


def mirrored(labelled: LabelledSet, given: FinetuneSettings) -> float:
    """Return how often training clips are mirrored: where that is not said, never if classes tell left from right."""
    if given.flip is not None:
        return given.flip
    return 0.0 if labelled.sides_matter else 0.5


def _read(path: Path, split: Split, labelled: LabelledSet) -> SplitScores:
    """Read what was written when the split was done.

    Raises:
        DataError: the file is damaged.
    """
    try:
        told = json.loads(path.read_text())
        scores = Scores(told["metrics"], tuple(told["predicted"]))
        return counted(scores, told["ids"], split, labelled, unread_train=told["unread_train"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read: {error!r}.", hint="Delete it: the same command tests the network again."
        ) from error


def _readable(material: Material, ids: Sequence[str]) -> list[Video]:
    wanted = set(ids)
    return [video for video in material.videos.videos if video.id in wanted]


def _chosen_rate(job: _Job, folder: Path, precision: Precision, name: str) -> float:
    """Return the learning rate, chosen by videos of the training side that did not train; the smallest of several best."""
    given = job.settings.benchmark.finetune
    if not given.rates:
        return given.lr
    if len(given.rates) == 1:
        return given.rates[0]
    videos = list(job.training_set.videos.videos)
    held = _held_out(job, videos)
    if not held:
        job.watch.warn(f"{name}: a class has a single training video, so no rate can be chosen: it is lr, {given.lr:g}.")
        return given.lr
    seen = _readable(job.evaluation_set, [videos[number].id for number in held])
    right: dict[float, float] = {}
    for rate in sorted(given.rates):
        place = folder / f"rate-{rate!r}"
        training = _trained(job, place, rate, held, precision, f"trying rate {rate:g}, {name}")
        if not dist.rank():
            shares_NVK = _shares(job, training, seen, precision, f"looking at rate {rate:g}, {name}")
            right[rate] = score_shares(shares_NVK, [str(video.label) for video in seen], job.classes).metrics["accuracy"]
            write_json(place / "accuracy.json", {"rate": rate, "videos": len(seen), "accuracy": right[rate]})
        dist.after_first(f"rate {rate:g} {name}")  # the others wait here, and not in a step of the next, which has a time limit
    best = max(right, key=lambda rate: (right[rate], -rate)) if right else 0.0
    return float(dist.first_text(repr(best), precision.device))


def _held_out(job: _Job, videos: Sequence[Video]) -> list[int]:
    """Name the videos of the training side, by their numbers, that a rate is chosen by: a fifth of them, whole groups.

    There are none where a class has a single video.
    """
    train = set(job.split.train)
    index = {label: number for number, label in enumerate(job.classes)}
    numbers = [number for number, video in enumerate(videos) if video.id in train]
    drawn = [job.labelled.by_id[videos[number].id] for number in numbers]
    label_N = np.array([index[video.label] for video in drawn])
    seed = derive(job.settings.seed, "finetune") % 2**32
    folds = parted(label_N, [video.group for video in drawn], _CHOICE_PARTS, seed)
    if folds is None:
        return []
    return [numbers[position] for position in folds.parts[0][1]]


def _trained(
    job: _Job, folder: Path, rate: float, without: Sequence[int], precision: Precision, stage: str
) -> Training[Classifier]:
    """Train to the end, from the newest checkpoint if there is one."""
    given = job.settings.benchmark.finetune
    given = given.model_copy(update={"lr": rate, "flip": mirrored(job.labelled, given)})
    index = {label: number for number, label in enumerate(job.classes)}
    train, known = set(job.split.train), job.labelled.by_id
    class_N = [index[known[video.id].label] if video.id in train else -1 for video in job.training_set.videos.videos]
    check_sides(sum(label >= 0 for label in class_N), len(_readable(job.evaluation_set, job.split.test)), job.split)
    training = make_finetuning(
        job.loaded,
        given,
        job.training_set.videos,
        class_N,
        len(job.classes),
        seed=derive(job.settings.seed, "finetune", job.split.name),
        precision=precision,
        without=without,
    )
    train_on(training, folder, job.settings, stage, job.watch)
    return training


def _shares(job: _Job, training: Training[Classifier], videos: Sequence[Video], precision: Precision, stage: str) -> np.ndarray:
    """Return what the network says of each view of each video: (N, V, K), softmax over the classes."""
    found = job.one.encoder
    assert found is not None
    job.watch.start(stage, len(videos), "video")

    def progress(done: int) -> None:
        job.watch.advance(stage, done)
        job.watch.check()

    seen: Any = extract(
        training.objective.encoders["rgb"],
        ClipReader(job.evaluation_set.videos, found.clip),
        videos,
        views=job.features.views,
        batch=job.settings.extract.batch,
        precision=precision,
        progress=progress,
        workers=loader_workers(job.settings.machine, precision),
    )
    job.watch.finish(stage)
    views_NVD = seen.views if job.settings.benchmark.average == "softmax" else seen.matrix_ND[:, None]
    shares: np.ndarray = class_shares(training.objective, torch.from_numpy(views_NVD)).numpy()
    return shares
