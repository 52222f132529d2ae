"""Make the clip of one modality from the representation of another (Eq. 6); grey-to-rgb colorizes."""

from collections.abc import Sequence

from elo_cli.core.clip import Source, View, modality_names
from elo_cli.core.weights import Term
from elo_cli.nets.decoding import Decoding
from elo_cli.nets.term import Parts, TermLoss


def terms(modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Offer every direction but rgb to grey, which is a weighted sum of the channels."""
    pairs = [(source, target) for source in modalities for target in modalities if source != target]
    return [Term("transfer", pair, directed=True) for pair in pairs if pair != ("rgb", "grey")]


def build(term: Term, parts: Parts) -> TermLoss:
    """Build the decoder and its loss."""
    source, target = modality_names(term)
    return Decoding(View(source), Source(target), parts)
