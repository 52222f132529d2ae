"""The module of one term of the loss, and what it is built from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elo_cli.core.clip import ClipBatch, Source, View
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.nets.blocks import Encoding


@dataclass(frozen=True)
class Parts:
    """What a term may need to know of the networks and clips around it.

    Attributes:
        stages: for each modality the shapes of its encoder's four stages, without the batch.
        shapes: the shape of each source's tensor, without the batch.
        settings: the form of the losses.
        videos: how many videos there are; `ClipBatch.video_B` numbers them.
        drawn: how many of them training ever draws: the others are too short, or held out.
        seed: of what a term draws while it is built or trained.
    """

    stages: Mapping[str, tuple[tuple[int, ...], ...]]
    shapes: Mapping[Source, tuple[int, ...]]
    settings: ObjectiveSettings
    videos: int
    drawn: int
    seed: int

    def dimension(self, modality: str) -> int:
        """The dimension D of x_m."""
        return self.stages[modality][-1][0]

    def vector(self, view: View) -> int:
        """The dimension of what is encoded of a view: that of x_m, or of what contrast projects it to."""
        return self.settings.contrast.dimension if view.form in ("query", "key") else self.dimension(view.modality)


class TermLoss(nn.Module):
    """The loss of one term.

    Attributes:
        views: what must be encoded for it.
        targets: what else the loader must bring.
        sources: all that it reads.
    """

    def __init__(self, views: Sequence[View], targets: Sequence[Source] = ()) -> None:
        super().__init__()
        self.views = frozenset(views)
        self.targets = frozenset(targets)
        self.sources = frozenset(view.source for view in self.views) | self.targets

    def valid(self, batch: ClipBatch) -> Tensor:
        """Return which clips (B,) have everything that the term reads."""
        return torch.stack([batch.present[source] for source in self.sources]).all(0)

    def forward(self, encoded: Mapping[View, Encoding], batch: ClipBatch) -> Tensor:
        """Return the mean loss over the clips that have everything the term reads; 0 if none has."""
        raise TypeError(f"{type(self).__name__} must define forward")  # pragma: no cover
