"""A few real steps on clips of noise: what a step costs in time and memory, without a data set.

`try_step` is the work of a worker process. Each trial needs a process of its own: what one took before would hide in the
peak of the next, and one that is too large ends its process and nothing else.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch

from elo_cli.core.clip import ClipBatch, Source
from elo_cli.core.settings import MachineSettings, ObjectiveSettings
from elo_cli.core.train_settings import TrainSettings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.data.loader import TrainingClips, source_shapes
from elo_cli.data.video_set import StoredRates
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import Objective
from elo_cli.engine.precision import Precision
from elo_cli.executors import Report
from elo_cli.run.memory import peak_memory

FEWEST_STEPS, MOST_STEPS = 2, 6  # the optimiser's state is there from the second on


@dataclass(frozen=True)
class Trial:
    """What is tried, as a worker process is told of it.

    Attributes:
        weights: of the terms, by their names.
        train: clips, encoders, batch and optimiser.
        objective: the form of the losses.
        machine: device, number format, layout, threads.
        rates: of the frames and spectrograms.
        videos: how many there would be; the banks of pseudo-labels grow with them.
        seconds: no further step is begun after so many.
    """

    weights: Mapping[str, float]
    train: TrainSettings
    objective: ObjectiveSettings
    machine: MachineSettings
    rates: StoredRates
    videos: int
    seconds: float


@dataclass(frozen=True)
class TrialCost:
    """What a step took.

    Attributes:
        seconds: of the quickest step after the first.
        peak_bytes: the most memory that the process had: on a processor all of it, on a GPU what torch reserved there.
        free_bytes: what was free on the GPU before the networks were built; None on a processor.
        parameters: of all networks.
        clip_bytes: of one clip with everything that the loader must bring.
    """

    seconds: float
    peak_bytes: int
    free_bytes: int | None
    parameters: int
    clip_bytes: int


def try_step(trial: Trial, report: Report) -> TrialCost:
    """Build the networks and take steps on noise.

    Raises:
        UsageError, MachineError: as `Objective`, `Precision.choose` and `Training` do.
        RuntimeError: there is too little memory.
    """
    report("building the networks")
    precision = Precision.choose(trial.machine)
    free = torch.cuda.mem_get_info(precision.device)[0] if precision.device.type == "cuda" else None
    shapes = source_shapes(trial.train.clip, trial.rates)
    weights = LossWeights({Term.parse(name): weight for name, weight in trial.weights.items()})
    objective = Objective(weights, trial.objective, trial.train.encoder, shapes, trial.videos, seed=0)
    # So small a rate that no step can leave the finite numbers, whatever the loss.
    training = Training(objective, cast(TrainingClips, _Nameless()), trial.train.model_copy(update={"lr": 1e-9}), precision)
    batch = training.send(
        noise({source: shapes[source] for source in sorted(objective.sources)}, trial.train.batch, trial.videos)
    )
    objective.train()
    begun, seconds = time.monotonic(), []
    for step in range(MOST_STEPS):
        report(f"step {step + 1}")
        before = time.monotonic()
        training.step(batch, step)
        if free is not None:
            torch.cuda.synchronize(precision.device)
        seconds.append(time.monotonic() - before)
        if step + 1 >= FEWEST_STEPS and time.monotonic() - begun > trial.seconds:
            break
    peak = peak_memory() if free is None else torch.cuda.max_memory_reserved(precision.device)
    clip_bytes = sum(tensor[0].numel() * tensor.element_size() for tensor in batch.inputs.values())
    parameters = sum(parameter.numel() for parameter in objective.parameters())
    return TrialCost(min(seconds[1:]), peak, free, parameters, clip_bytes)


def noise(shapes: Mapping[Source, tuple[int, ...]], clips: int, videos: int) -> ClipBatch:
    """Make a batch of clips of noise, each of another video as far as there are any, that have everything."""
    random = torch.Generator().manual_seed(0)
    return ClipBatch(
        {source: torch.randn(clips, *shape, generator=random) for source, shape in shapes.items()},
        {source: torch.ones(clips, dtype=torch.bool) for source in shapes},
        ("noise",) * clips,
        torch.arange(clips) % videos,
    )


class _Nameless:
    """In place of the clips of a set: nobody reads these, and their videos have no names."""

    def videos(self, step: int) -> tuple[str, ...]:
        """Name no video."""
        return ()
