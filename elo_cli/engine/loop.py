"""The training loop: a generator of step records. Nothing here prints, saves or decides when to stop."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from elo_cli import dist
from elo_cli.core.clip import ClipBatch
from elo_cli.core.errors import TrainingError, UsageError
from elo_cli.core.train_settings import TrainSettings
from elo_cli.data.loader import TrainingClips
from elo_cli.engine.optim import learning_rate, load_optimizer, make_optimizer, optimizer_tensors, peak_rate
from elo_cli.engine.precision import Precision
from elo_cli.engine.trainee import LossReport, Trainee
from elo_cli.nets.recompute import recompute

_MEND = (
    "Allow more with a higher max_skipped and go on; or begin anew (--fresh) with a lower lr, lower weights of these terms,"
    " or objective.distance=mean and objective.scale=initial."
)


Trained = TypeVar("Trained", bound=Trainee)


@dataclass(frozen=True)
class StepRecord:
    """What one step did.

    Attributes:
        step: counted from 0.
        loss: Σ λ L, over the terms that are finite.
        parts: the loss of each term that is finite.
        lr: the learning rate used.
        skipped: the terms (or "the gradient") that were no finite numbers and so were left out of it.
        clips: ids of the batch's videos, where anything was left out.
        seconds: the step's time; `waiting` is the part of it spent waiting for data.
    """

    step: int
    loss: float
    parts: dict[str, float]
    lr: float
    skipped: tuple[str, ...] = ()
    clips: tuple[str, ...] = ()
    seconds: float = 0.0
    waiting: float = 0.0


class Training(Generic[Trained]):
    """Networks being trained; its state is tensors by name and the number of steps done.

    A term whose loss is no finite number is left out of its step, and a step whose gradient is not
    finite is not made; the running statistics of batch norm are then put back. Each such step is counted.
    Where several processes train together all do the same: each has its part of the batch, and gradients are averaged.
    A process may send its clips through the networks in several parts (`accumulate`), whose gradients are averaged likewise;
    what looks at a whole batch, such as batch norm and contrast, then sees one part at a time, of all ranks, and where a
    term is not finite in one part, the whole step is not made.

    Args:
        objective: the networks and the loss, such as an `Objective`.
        clips: the batch of each step.
        settings: optimiser and length.
        precision: where and how it is computed.

    Raises:
        UsageError: the clips of a process cannot be divided into so many parts, or not computed again.
        MachineError: there is no compiler, and one is needed.
    """

    def __init__(self, objective: Trained, clips: TrainingClips, settings: TrainSettings, precision: Precision) -> None:
        self.objective, self.clips, self.settings, self.precision = objective, clips, settings, precision
        _check_parts(settings)
        if settings.recompute and precision.compiled:
            raise UsageError("recompute and machine.compile do not go together.", hint="Set one of them to false.")
        precision.place(objective)
        for name, encoder in objective.encoders.items():
            if settings.recompute:
                recompute(encoder, name)
            precision.compile(encoder)
        self.optimizer = make_optimizer(objective, settings)
        self.done = self.skipped = 0
        norms = [module for module in objective.modules() if isinstance(module, _BatchNorm)]
        self._running = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var) if buffer is not None]

    def extent(self) -> dict[str, float]:
        """Return how long it is and how large its steps are: clips of a step on all ranks, epochs, videos drawn, peak rate."""
        given, videos = self.settings, self.clips.sampler.drawn
        return {
            "batch": given.batch,
            "epochs": round(given.steps * given.batch / videos, 3),
            "videos": videos,
            "lr": peak_rate(given),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return everything a checkpoint must hold, by name."""
        model = {f"model:{name}": value for name, value in self.objective.state_dict().items()}
        state = {f"optimizer:{name}": value for name, value in optimizer_tensors(self.objective, self.optimizer).items()}
        return model | state | {"loop:skipped": torch.tensor(self.skipped)}

    def load(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Put back the state after `step` steps."""
        split: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "loop": {}}
        for key, value in tensors.items():
            kind, name = key.split(":", 1)
            split[kind][name] = value
        self.objective.load_state_dict(split["model"])
        load_optimizer(self.objective, self.optimizer, split["optimizer"])
        self.done, self.skipped = step, int(split["loop"]["skipped"])

    def run(self, workers: int) -> Iterator[StepRecord]:
        """Train to the end, yielding after each step; leaving the loop early loses nothing.

        Raises:
            TrainingError: more steps than `max_skipped` had something that was no finite number.
        """
        self.objective.train()
        batches = self.clips.batches(self.done, self.settings.steps, workers)
        for step in range(self.done, self.settings.steps):
            begun = time.monotonic()
            batch = self.send(next(batches))
            loaded = time.monotonic()
            record = self.step(batch, step)
            self.done = step + 1
            yield replace(record, seconds=time.monotonic() - begun, waiting=loaded - begun)
            if record.skipped and self.skipped > self.settings.max_skipped:
                raise TrainingError(
                    f"{', '.join(record.skipped[:5])} is no finite number at step {step + 1}"
                    f" (clips of {', '.join(record.clips[:3])}, …); that makes {self.skipped} such steps,"
                    f" and {self.settings.max_skipped} may be.",
                    hint=_MEND,
                )

    def step(self, batch: ClipBatch, step: int) -> StepRecord:
        """Take one step on this rank's clips, which are where training is; its number decides the learning rate."""
        lr = learning_rate(step, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        statistics = [buffer.clone() for buffer in self._running]
        self.optimizer.zero_grad(set_to_none=True)
        passes = [self._pass(part, step) for part in batch.parts(self.settings.accumulate)]
        values = {name: sum(found[name] for _, found in passes) / len(passes) for name in passes[0][1]}
        parts = {name: value for name, value in values.items() if math.isfinite(value)}
        skipped = [name for name in values if name not in parts]
        if skipped and len(passes) > 1:  # what is none in one part has left its gradient in another: the step is not made
            self.optimizer.zero_grad(set_to_none=True)
        dist.average_gradients(self.objective.parameters())
        # A loss whose terms all lack valid clips in this batch may have no gradient at all; no encoder has one.
        if any(parameter.grad is not None for parameter in self.objective.parameters()):
            norm = torch.nn.utils.clip_grad_norm_(self.objective.parameters(), self.settings.clip_norm or math.inf)
            if torch.isfinite(norm):
                self.optimizer.step()
                self.objective.after_step()
            else:
                skipped.append("the gradient")
        if skipped:
            # What a number that is none did to the running statistics is undone.
            for buffer, before in zip(self._running, statistics, strict=True):
                buffer.copy_(before)
            self.skipped += 1
        finite = [number for number, name in enumerate(values) if name in parts]
        loss = float(dist.mean(torch.stack([summands_T for summands_T, _ in passes]).mean(0)[finite].sum()))
        return StepRecord(step, loss, parts, lr, tuple(skipped), self.clips.videos(step) if skipped else ())

    def _pass(self, batch: ClipBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        """Add up the gradients of one part of the clips, of what is finite; return λ L and L of each term."""
        with self.precision.autocast():
            report: LossReport = self.objective(batch, step)
        values = dict(zip(report.parts, torch.stack(list(report.parts.values())).tolist(), strict=True))
        total = report.without([name for name, value in values.items() if not math.isfinite(value)]).total
        if total.requires_grad:
            torch.autograd.backward(total / self.settings.accumulate)
        return torch.stack([summand.detach() for summand in report.summands.values()]), values

    def send(self, batch: ClipBatch) -> ClipBatch:
        """Put a batch where training is."""
        return replace(
            batch,
            inputs={source: self.precision.send(tensor) for source, tensor in batch.inputs.items()},
            present={source: tensor.to(self.precision.device) for source, tensor in batch.present.items()},
            video_B=batch.video_B.to(self.precision.device),
        )


def _check_parts(settings: TrainSettings) -> None:
    own = settings.batch // dist.world()
    if own % settings.accumulate or settings.batch // settings.accumulate < 2:
        raise UsageError(
            f"accumulate is {settings.accumulate}, but {own} clips of each process cannot be divided into so many parts, with two"
            " clips in each at least, of all processes together.",
            hint="Lower accumulate, or raise batch; batch norm needs two clips.",
        )
