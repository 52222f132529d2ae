"""What the training loop trains: networks that turn a batch into a loss made of parts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LossReport:
    """The loss of one step.

    Attributes:
        summands: λ L of each term, with its gradient, of this rank.
        parts: each term's own loss L, before its weight and scale, without gradient; the mean over ranks.
    """

    summands: Mapping[str, Tensor]
    parts: Mapping[str, Tensor]

    @property
    def total(self) -> Tensor:
        """Σ λ L, with its gradient; 0 of no term at all."""
        return torch.stack(list(self.summands.values()) or [torch.zeros(())]).sum()

    def without(self, names: Collection[str]) -> "LossReport":
        """Leave terms out."""
        kept = [name for name in self.summands if name not in names]
        return LossReport({name: self.summands[name] for name in kept}, {name: self.parts[name] for name in kept})


class Trainee(nn.Module):
    """Networks with a loss: called with a `ClipBatch` and the number of the step they return a `LossReport`.

    Attributes:
        encoders: by modality; the loop may compile them, or compute them twice to save memory.
    """

    encoders: nn.ModuleDict

    def after_step(self) -> None:
        """Do what follows each step of the optimiser; nothing, unless networks follow others."""
