"""Foretell the N frames that follow a clip from its representation (Eq. 6; Table 1 uses N = 4)."""

from collections.abc import Sequence

from elo_cli.core.clip import Source, View, modality_names
from elo_cli.core.weights import Term
from elo_cli.nets.decoding import Decoding
from elo_cli.nets.term import Parts, TermLoss


def terms(modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Offer one term for each modality."""
    return [Term("predict", (name,)) for name in modalities]


def build(term: Term, parts: Parts) -> TermLoss:
    """Build the decoder and its loss; clips at the end of their segment have no future and are masked."""
    (name,) = modality_names(term)
    return Decoding(View(name), Source(name, "future"), parts)
