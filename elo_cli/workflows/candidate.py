"""One candidate: a loss → a proxy trained with it → features → fitness.

A pure function of settings, loss, seed and data. All candidates of a search share the seed, so they
start from the same parameters and see the same segments, crops and looks: what differs is the loss, and where in
a segment a clip starts if a window less or more must find room beside it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from elo_cli.core.errors import TrainingError, UsageError
from elo_cli.core.seeds import derive, numpy_generator
from elo_cli.core.settings import ClipSettings, Settings, TrainSettings
from elo_cli.core.weights import LossWeights
from elo_cli.data.loader import ClipReader
from elo_cli.data.video_set import Video, VideoSet
from elo_cli.engine.extract import extract
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import loader_workers, make_training
from elo_cli.fitness import SHELF as FITNESS
from elo_cli.fitness import FitnessReport
from elo_cli.workflows.material import Material

# Pixels of a batch times width times depth: with all terms about 3 GB of memory.
_LARGEST_TIMED = 25_000_000


@dataclass(frozen=True)
class Evaluation:
    """What became of a candidate.

    Attributes:
        score: larger is better; minus infinity when it collapsed or diverged.
        value: the measure's own number; None when it has none.
        collapsed: why it counts as the worst, or None.
        details: what the measure recorded.
    """

    score: float
    value: float | None
    collapsed: str | None
    details: dict[str, Any]


def evaluate(
    weights: LossWeights, settings: Settings, material: Material, precision: Precision, progress: Callable[[int], None]
) -> Evaluation:
    """Train a proxy with this loss and measure its fitness.

    Args:
        progress: is told how many steps are done; may raise to stop.
    """
    if not weights.active():  # grids hold such a point, and strategies may come to it
        return Evaluation(-math.inf, None, "every weight is 0: there is nothing to learn", {})
    training = make_training(
        weights, settings.proxy, settings.objective, material.videos, seed=settings.seed, precision=precision
    )
    try:
        for record in training.run(loader_workers(settings.machine, precision)):
            progress(record.step + 1)
    except TrainingError as error:
        return Evaluation(-math.inf, None, f"diverged: {error.message}", {})
    report = encoder_fitness(training.objective.encoders["rgb"], settings.proxy.clip, material, settings, precision)
    value = report.value if math.isfinite(report.value) else None
    return Evaluation(report.score, value, report.collapsed, dict(report.details))


def encoder_fitness(
    encoder: nn.Module, clip: ClipSettings, material: Material, settings: Settings, precision: Precision
) -> FitnessReport:
    """Measure an RGB encoder by the fitness that the settings name, on one clip of each of the shared videos."""
    features = extract(
        encoder,
        ClipReader(material.videos, clip),
        fitness_videos(material.videos, settings),
        clips=1,
        batch=settings.extract.batch,
        precision=precision,
        progress=lambda done: None,
    )
    given = settings.fitness
    report: FitnessReport = FITNESS.take(given.measure).measure(
        features,
        seed=derive(settings.seed, "fitness"),
        clusters=given.clusters,
        exponent=given.exponent,
        runs=given.runs,
        two_sigma_squared=given.two_sigma_squared,
        scaling=given.scaling,
    )
    return report


def check_fitness(settings: Settings, material: Material) -> None:
    """Find out before any training whether the fitness can be measured.

    Raises:
        UsageError: there is no such measure, or there are more clusters than videos.
    """
    FITNESS.take(settings.fitness.measure)
    videos = len(fitness_videos(material.videos, settings))
    if settings.fitness.clusters > videos:
        raise UsageError(
            f"fitness.clusters is {settings.fitness.clusters}, but there are only {videos} videos to cluster.",
            hint=f"Preprocess more videos, or lower it: --set fitness.clusters={max(2, videos // 4)}",
        )


def fitness_videos(videos: VideoSet, settings: Settings) -> list[Video]:
    """The videos that are clustered: all, or a random subset that every candidate shares."""
    if len(videos.videos) <= settings.fitness.videos:
        return list(videos.videos)
    chosen = numpy_generator(settings.seed, "fitness-videos").permutation(len(videos.videos))[: settings.fitness.videos]
    return [videos.videos[int(index)] for index in np.sort(chosen)]


def step_seconds(weights: LossWeights, given: TrainSettings, settings: Settings, material: Material) -> float | None:
    """Time a training step on this machine, with few clips and scaled up, for the estimates of `--dry-run`.

    Returns:
        Seconds; None where clips are so large that even a few of them might not fit into memory.
    """
    load = given.clip.frames * given.clip.size**2 * given.encoder.width * given.encoder.depth
    batch = min(given.batch, _LARGEST_TIMED // load)
    if batch < 2:
        return None
    few = given.model_copy(update={"batch": batch, "steps": 5})
    precision = Precision.choose(settings.machine)
    training = make_training(weights, few, settings.objective, material.videos, seed=settings.seed, precision=precision)
    return min(record.seconds for record in training.run(0)) * given.batch / few.batch
