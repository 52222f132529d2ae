"""What reconstruct, predict and transfer share: decode a target from a view, and compare (Eq. 6)."""

from collections.abc import Mapping

from torch import Tensor

from elo_cli.core.clip import ClipBatch, Source, View
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.decoders import Decoder
from elo_cli.nets.distances import distance, masked_mean
from elo_cli.nets.term import Parts, TermLoss


class Decoding(TermLoss):
    """Decode a target from the last stage of a view's encoding: Eq. 6, ‖Î − I‖₂."""

    def __init__(self, view: View, target: Source, parts: Parts) -> None:
        super().__init__([view], [target])
        self.view, self.target, self.form = view, target, parts.settings.distance
        self.decoder = Decoder(parts.stages[view.modality][-1], parts.shapes[target])

    def decode(self, encoded: Mapping[View, Encoding]) -> Tensor:
        """Return what is decoded, of the target's shape (B, …)."""
        decoded: Tensor = self.decoder(encoded[self.view].stages[-1])
        return decoded

    def forward(self, encoded: Mapping[View, Encoding], batch: ClipBatch) -> Tensor:
        decoded, valid_B = self.decode(encoded), self.valid(batch)
        return masked_mean(distance(decoded, batch.inputs[self.target], self.form), valid_B)
