"""Tell clips that run forwards from clips that run backwards (Eq. 7; Pickup et al. 2014)."""

from collections.abc import Sequence

from elo_cli.core.clip import View, modality_names
from elo_cli.core.weights import Term
from elo_cli.nets.telling import Telling
from elo_cli.nets.term import Parts, TermLoss


def terms(modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Offer one term for each modality."""
    return [Term("reverse", (name,)) for name in modalities]


def build(term: Term, parts: Parts) -> TermLoss:
    """Build the classifier: clean against time reversed; for flow, the flow of the reversed video."""
    (name,) = modality_names(term)
    return Telling(View(name), View(name, "reversed"), parts)
