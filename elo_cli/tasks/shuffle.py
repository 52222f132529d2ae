"""Tell clips whose frames are in order from clips whose frames are shuffled (Eq. 7; Misra et al. 2016)."""

from collections.abc import Sequence

from elo_cli.core.clip import View, modality_names
from elo_cli.core.weights import Term
from elo_cli.nets.telling import Telling
from elo_cli.nets.term import Parts, TermLoss


def terms(modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Offer one term for each modality."""
    return [Term("shuffle", (name,)) for name in modalities]


def build(term: Term, parts: Parts) -> TermLoss:
    """Build the classifier: clean against frames in a random order."""
    (name,) = modality_names(term)
    return Telling(View(name), View(name, "shuffled"), parts)
