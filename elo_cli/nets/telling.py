"""What shuffle and reverse share: tell a clip from a changed form of it (Eq. 7)."""

from collections.abc import Mapping

from torch import Tensor

from elo_cli.core.clip import ClipBatch, View
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.heads import BinaryHead
from elo_cli.nets.term import Parts, TermLoss


class Telling(TermLoss):
    """One linear layer on x_m tells the clean view from the changed one: binary cross-entropy."""

    def __init__(self, clean: View, changed: View, parts: Parts) -> None:
        super().__init__([clean, changed])
        self.clean, self.changed = clean, changed
        self.head = BinaryHead(parts.dimension(clean.modality))

    def forward(self, encoded: Mapping[View, Encoding], batch: ClipBatch) -> Tensor:
        valid_B = batch.present[self.clean.source] & batch.present[self.changed.source]
        value: Tensor = self.head(encoded[self.clean].vector_BD, encoded[self.changed].vector_BD, valid_B)
        return value
