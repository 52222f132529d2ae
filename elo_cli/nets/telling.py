"""What shuffle and reverse share: tell a clip from a changed form of it (Eq. 7)."""

from collections.abc import Mapping

from torch import Tensor, nn

from elo_cli.core.clip import ClipBatch, View
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.distances import binary_loss
from elo_cli.nets.term import Parts, TermLoss


class Telling(TermLoss):
    """One linear layer on x_m tells the clean view from the changed one: binary cross-entropy."""

    def __init__(self, clean: View, changed: View, parts: Parts) -> None:
        super().__init__([clean, changed])
        self.clean, self.changed = clean, changed
        self.head = nn.Linear(parts.dimension(clean.modality), 1)

    def forward(self, encoded: Mapping[View, Encoding], batch: ClipBatch) -> Tensor:
        return binary_loss(*self.decide(encoded), self.valid(batch))

    def decide(self, encoded: Mapping[View, Encoding]) -> tuple[Tensor, Tensor]:
        """Return the logits (B,) of both views; above 0 says clean."""
        clean_B, changed_B = (self.head(encoded[view].vector_BD)[:, 0] for view in (self.clean, self.changed))
        return clean_B, changed_B
