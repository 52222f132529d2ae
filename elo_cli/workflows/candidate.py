"""One candidate: a loss → a proxy trained with it → features → fitness.

A pure function of settings, loss, seed and data. All candidates of a search share the seed, so they
start from the same parameters and see the same segments, crops and looks: what differs is the loss, and where in
a segment a clip starts if a window less or more must find room beside it.
"""

import functools
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elo_cli.core.errors import DataError, TrainingError
from elo_cli.core.files import write_json
from elo_cli.core.settings import Settings
from elo_cli.core.train_settings import TrainSettings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import Objective
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import loader_workers, make_training
from elo_cli.engine.snapshots import resume, save
from elo_cli.executors import Report
from elo_cli.workflows.course import Measurement
from elo_cli.workflows.judging import judge
from elo_cli.workflows.material import Material, open_material

# Pixels of a batch times width times depth: with all terms about 3 GB of memory.
_LARGEST_TIMED = 25_000_000


@dataclass(frozen=True)
class Candidate:
    """A loss to be trained with and measured, as a worker process is told of it.

    Attributes:
        what: the measurement that is asked for.
        weights: of the terms, by their names.
        settings: all of them; the device and the threads are this worker's.
        data: the preprocessed set.
        folder: where the candidate keeps its checkpoints and what was measured; it outlives the worker.
        steps: how many steps of the proxy are done when it is measured.
    """

    what: Measurement
    weights: Mapping[str, float]
    settings: Settings
    data: Path
    folder: Path
    steps: int

    @property
    def measured(self) -> Path:
        """The file of what was found after these steps."""
        return self.folder / f"measured-{self.steps}.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / "checkpoints"


@dataclass(frozen=True)
class Evaluation:
    """What became of a candidate.

    Attributes:
        score: larger is better; None when it collapsed or diverged.
        value: the measure's own number; None when it has none.
        collapsed: why it counts as the worst, or None.
        details: what the measure told, and under `recorded` the values of the further measures; empty without features.
        failure: what broke it off before it could be measured, such as `divergence` or `crash`; None if nothing did.
    """

    score: float | None
    value: float | None
    collapsed: str | None
    details: dict[str, Any]
    failure: str | None = None


def evaluate(candidate: Candidate, report: Report) -> tuple[Measurement, Evaluation]:
    """Train a proxy with this loss, on from its newest checkpoint, and measure its fitness; the work of a worker.

    What was measured already is read back. What is killed goes on from its checkpoint.
    """
    if candidate.measured.exists():
        return candidate.what, Evaluation(**json.loads(candidate.measured.read_text()))
    evaluation = _evaluate(candidate, report)
    candidate.folder.mkdir(parents=True, exist_ok=True)
    write_json(candidate.measured, asdict(evaluation))
    return candidate.what, evaluation


def _evaluate(candidate: Candidate, report: Report) -> Evaluation:
    settings = candidate.settings
    weights = LossWeights({Term.parse(name): weight for name, weight in candidate.weights.items()})
    if not weights.active():  # grids hold such a point, and strategies may come to it
        return Evaluation(None, None, "every weight is 0: there is nothing to learn", {})
    report("preparing")
    material, precision = _opened(candidate.data), Precision.choose(settings.machine)
    training = make_training(
        weights, settings.proxy, settings.objective, material.videos, seed=settings.seed, precision=precision
    )
    try:
        resume(training, candidate.checkpoints)
    except DataError:  # all of them are damaged: a training from the start comes to the same
        shutil.rmtree(candidate.checkpoints)
    try:
        _train(training, candidate, report)
    except TrainingError as error:
        return Evaluation(None, None, f"diverged: {error.message}", {}, failure="divergence")
    report("measuring")
    judgement = judge(training.objective.encoders["rgb"], settings.proxy.clip, material, settings, precision)
    found = judgement.guide
    value = found.value if math.isfinite(found.value) else None
    score = found.score if math.isfinite(found.score) else None
    return Evaluation(score, value, found.collapsed, {**found.details, "recorded": judgement.recorded_values()})


@functools.lru_cache(maxsize=1)  # a worker measures many candidates on one set
def _opened(data: Path) -> Material:
    return open_material(data)


def _train(training: Training[Objective], candidate: Candidate, report: Report) -> None:
    """Train up to the candidate's steps, saving now and then, and at the end if there is more to come."""
    given = candidate.settings.proxy
    if training.done >= candidate.steps:
        return
    for record in training.run(loader_workers(candidate.settings.machine, training.precision)):
        report(f"step {training.done}")
        last = training.done == candidate.steps
        if training.done < given.steps and (last or training.done % given.checkpoint_every == 0):
            save(training, candidate.checkpoints, record)
        if last:
            return


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
