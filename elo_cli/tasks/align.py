"""Tell whether two modalities show the same moment (Eq. 7, Fig. 4).

The negative is the second modality of another stretch of the SAME segment that does not overlap.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from elo_cli.core.clip import ClipBatch, View, modality_names
from elo_cli.core.weights import Term
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.heads import binary_loss
from elo_cli.nets.term import Parts, TermLoss


def terms(modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Offer one term for each pair of modalities."""
    return [Term("align", pair) for pair in combinations(modalities, 2)]


def build(term: Term, parts: Parts) -> TermLoss:
    """Build the classifier of pairs."""
    first, second = modality_names(term)
    return Alignment(View(first), View(second), View(second, "shifted"), parts)


class Alignment(TermLoss):
    """A small network on both representations says aligned or not; one hidden layer, for a linear
    layer on two vectors side by side cannot compare them."""

    def __init__(self, first: View, second: View, moved: View, parts: Parts) -> None:
        super().__init__([first, second, moved])
        self.first, self.second, self.moved = first, second, moved
        both = parts.dimension(first.modality) + parts.dimension(second.modality)
        self.head = nn.Sequential(nn.Linear(both, 128), nn.ReLU(), nn.Linear(128, 1))

    def forward(self, encoded: Mapping[View, Encoding], batch: ClipBatch) -> Tensor:
        first_BD = encoded[self.first].vector_BD
        aligned_B, apart_B = (
            self.head(torch.cat([first_BD, encoded[view].vector_BD], 1))[:, 0] for view in (self.second, self.moved)
        )
        valid_B = batch.present[self.first.source] & batch.present[self.second.source] & batch.present[self.moved.source]
        return binary_loss(aligned_B, apart_B, valid_B)
