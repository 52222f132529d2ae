"""The training loop: a generator of step records. Nothing here prints, saves or decides when to stop."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from elo_cli.core.clip import ClipBatch
from elo_cli.core.errors import TrainingError
from elo_cli.core.settings import TrainSettings
from elo_cli.data.loader import TrainingClips
from elo_cli.engine.objective import Objective
from elo_cli.engine.optim import learning_rate, load_optimizer, make_optimizer, optimizer_tensors
from elo_cli.engine.precision import Precision

_MEND = "Lower lr, or the weights of these terms, or set objective.distance=mean and objective.scale=initial."


@dataclass(frozen=True)
class StepRecord:
    """What one step did.

    Attributes:
        step: counted from 0.
        loss: Σ λ L.
        parts: each term's loss.
        lr: the learning rate used.
        seconds: the step's time; `waiting` is the part of it spent waiting for data.
    """

    step: int
    loss: float
    parts: dict[str, float]
    lr: float
    seconds: float
    waiting: float


class Training:
    """An objective being trained; its state is tensors by name and the number of steps done.

    Args:
        objective: the networks and the loss.
        clips: the batch of each step.
        settings: optimiser and length.
        precision: where and how it is computed.
    """

    def __init__(self, objective: Objective, clips: TrainingClips, settings: TrainSettings, precision: Precision) -> None:
        self.objective, self.clips, self.settings, self.precision = objective, clips, settings, precision
        precision.place(objective)
        self.optimizer = make_optimizer(objective, settings)
        self.done = 0

    def tensors(self) -> dict[str, Tensor]:
        """Return everything a checkpoint must hold, by name."""
        model = {f"model:{name}": value for name, value in self.objective.state_dict().items()}
        return model | {f"optimizer:{name}": value for name, value in optimizer_tensors(self.objective, self.optimizer).items()}

    def load(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Put back the state after `step` steps."""
        split: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}}
        for key, value in tensors.items():
            kind, name = key.split(":", 1)
            split[kind][name] = value
        self.objective.load_state_dict(split["model"])
        load_optimizer(self.objective, self.optimizer, split["optimizer"])
        self.done = step

    def run(self, workers: int) -> Iterator[StepRecord]:
        """Train to the end, yielding after each step; leaving the loop early loses nothing.

        Raises:
            TrainingError: the loss is no longer a finite number.
        """
        self.objective.train()
        batches = self.clips.batches(self.done, self.settings.steps, workers)
        for step in range(self.done, self.settings.steps):
            begun = time.monotonic()
            batch = self._send(next(batches))
            loaded = time.monotonic()
            loss, parts, lr = self._step(batch, step)
            self.done = step + 1
            yield StepRecord(step, loss, parts, lr, time.monotonic() - begun, loaded - begun)

    def _step(self, batch: ClipBatch, step: int) -> tuple[float, dict[str, float], float]:
        lr = learning_rate(step, self.settings)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        with self.precision.autocast():
            report = self.objective(batch, step)
        loss = float(report.total.detach())
        parts = {name: float(value) for name, value in report.parts.items()}
        if not math.isfinite(loss):
            bad = [name for name, value in parts.items() if not math.isfinite(value)] or list(parts)
            raise TrainingError(
                f"The loss is {loss} at step {step}: {', '.join(bad[:5])} (clips of {', '.join(batch.ids[:3])}, …).",
                hint=_MEND,
            )
        self.optimizer.zero_grad(set_to_none=True)
        # A loss whose terms all lack valid clips in this batch may have no gradient at all; no encoder has one.
        if report.total.requires_grad:
            report.total.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.objective.parameters(), self.settings.clip_norm or math.inf)
            if not torch.isfinite(norm):
                raise TrainingError(f"The gradient is no longer finite at step {step}, of loss {loss:g}.", hint=_MEND)
            self.optimizer.step()
        return loss, parts, lr

    def _send(self, batch: ClipBatch) -> ClipBatch:
        return replace(
            batch,
            inputs={source: self.precision.send(tensor) for source, tensor in batch.inputs.items()},
            present={source: tensor.to(self.precision.device) for source, tensor in batch.present.items()},
            video_B=batch.video_B.to(self.precision.device),
        )
