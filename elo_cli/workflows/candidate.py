"""One candidate: a loss → a proxy trained with it → features → fitness.

A pure function of settings, loss, seed and data. All candidates of a search share the seed, so they
start from the same parameters and see the same segments, crops and looks: what differs is the loss, and where in
a segment a clip starts if a window less or more must find room beside it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from elo_cli.core.errors import TrainingError
from elo_cli.core.settings import Settings, TrainSettings
from elo_cli.core.weights import LossWeights
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import loader_workers, make_training
from elo_cli.workflows.judging import judge
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
        details: what the measure told, and under `recorded` the values of the further measures; empty without features.
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
    judgement = judge(training.objective.encoders["rgb"], settings.proxy.clip, material, settings, precision)
    report = judgement.guide
    value = report.value if math.isfinite(report.value) else None
    return Evaluation(report.score, value, report.collapsed, {**report.details, "recorded": judgement.recorded_values()})


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
