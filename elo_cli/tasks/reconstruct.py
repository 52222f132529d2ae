"""Reconstruct a clip from the representation of its own modality (Eq. 6)."""

from collections.abc import Sequence

from elo_cli.core.clip import Source, View, modality_names
from elo_cli.core.weights import Term
from elo_cli.nets.decoding import Decoding
from elo_cli.nets.term import Parts, TermLoss


def terms(modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Offer one term for each modality."""
    return [Term("reconstruct", (name,)) for name in modalities]


def build(term: Term, parts: Parts) -> TermLoss:
    """Build the decoder and its loss."""
    (name,) = modality_names(term)
    return Decoding(View(name), Source(name), parts)
