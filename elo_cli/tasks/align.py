"""Tell whether two modalities show the same moment (Eq. 7, Fig. 4).

The other moment is another stretch of the SAME segment that does not overlap. Two forms:

    pair    Eq. 7: one pair of the same moment, and one whose second modality is of the other; is it aligned?
    match   both moments of both modalities; which of the second's goes with which of the first's?
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional

from elo_cli.core.clip import ClipBatch, Modality, View, modality_names
from elo_cli.core.weights import Term
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.distances import binary_loss, masked_mean
from elo_cli.nets.term import Parts, TermLoss

COMMON = 64  # dimensions of the space in which moments are matched

Encoded = Mapping[View, Encoding]


def terms(modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Offer one term for each pair of modalities."""
    return [Term("align", pair) for pair in combinations(modalities, 2)]


def build(term: Term, parts: Parts) -> TermLoss:
    """Build what tells moments apart."""
    first, second = modality_names(term)
    return Matching(first, second, parts) if parts.settings.align_form == "match" else Alignment(first, second, parts)


class Alignment(TermLoss):
    """A small network on both representations says aligned or not; one hidden layer, for a linear
    layer on two vectors side by side cannot compare them."""

    def __init__(self, first: Modality, second: Modality, parts: Parts) -> None:
        self.first, self.second, self.moved = View(first), View(second), View(second, "shifted")
        super().__init__([self.first, self.second, self.moved])
        self.head = nn.Sequential(nn.Linear(parts.dimension(first) + parts.dimension(second), 128), nn.ReLU(), nn.Linear(128, 1))

    def forward(self, encoded: Encoded, batch: ClipBatch) -> Tensor:
        return binary_loss(*self.decide(encoded), self.valid(batch))

    def decide(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Return the logits (B,) of the pair of the same moment and of the pair of two moments."""
        first_BD = encoded[self.first].vector_BD
        aligned_B, apart_B = (
            self.head(torch.cat([first_BD, encoded[view].vector_BD], 1))[:, 0] for view in (self.second, self.moved)
        )
        return aligned_B, apart_B


class Matching(TermLoss):
    """With s(a, b) = (A a)·(B b) / √K for one linear layer each, and moments 1 and 2, the logit of the right
    match is s(a₁, b₁) + s(a₂, b₂) − s(a₁, b₂) − s(a₂, b₁) = s(a₁ − a₂, b₁ − b₂).

    What both moments of a video have in common, its looks, cancels out, which in the form `pair` the
    encoders must first learn to look past. It costs the first modality's encoder a view more.
    """

    def __init__(self, first: Modality, second: Modality, parts: Parts) -> None:
        self.first, self.second = ((View(name), View(name, "shifted")) for name in (first, second))
        super().__init__([*self.first, *self.second])
        self.into_first = nn.Linear(parts.dimension(first), COMMON, bias=False)
        self.into_second = nn.Linear(parts.dimension(second), COMMON, bias=False)

    def forward(self, encoded: Encoded, batch: ClipBatch) -> Tensor:
        return masked_mean(functional.softplus(-self.decide(encoded).float()), self.valid(batch))

    def decide(self, encoded: Encoded) -> Tensor:
        """Return the logits (B,) of the right match."""
        (a1_BD, a2_BD), (b1_BD, b2_BD) = ((encoded[view].vector_BD for view in pair) for pair in (self.first, self.second))
        product_BK: Tensor = self.into_first(a1_BD - a2_BD) * self.into_second(b1_BD - b2_BD)
        return product_BK.sum(1) / math.sqrt(COMMON)
