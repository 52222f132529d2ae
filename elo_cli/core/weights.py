"""A term of the loss, and a loss: one weight in [0, 1] for every term (the λ of Eq. 1).

A term is written `<modalities>.<task>[.<site>]`: `rgb.reverse`, `rgb-audio.align`,
`flow-to-rgb.distill.3`. A loss on disk is `loss.yaml`, a flat mapping from term to weight.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from elo_cli.core.errors import UsageError
from elo_cli.core.shelf import suggest

_TERM = re.compile(r"(?P<modalities>[a-z0-9]+(?:(?:-to-|-)[a-z0-9]+)?)\.(?P<task>[a-z][a-z0-9_]*)(?:\.(?P<site>0|[1-9][0-9]*))?")


@dataclass(frozen=True, order=True)
class Term:
    """One summand of the loss.

    Attributes:
        task: the task's key on the tasks shelf.
        modalities: the one or two modalities that it reads, in order.
        directed: whether information goes from the first modality to the second.
        site: the network stage it acts on, 1 to 4, where the task has several.
    """

    task: str
    modalities: tuple[str, ...]
    directed: bool = False
    site: int | None = None

    def __str__(self) -> str:
        text = ("-to-" if self.directed else "-").join(self.modalities) + "." + self.task
        return text if self.site is None else f"{text}.{self.site}"

    @classmethod
    def parse(cls, text: str) -> "Term":
        """Read a term as it is written.

        Raises:
            UsageError: the text has not the form of a term.
        """
        match = _TERM.fullmatch(text)
        if match is None:
            raise UsageError(
                f"'{text}' is not the name of a term.",
                hint="A term looks like rgb.reverse, rgb-audio.align or flow-to-rgb.distill.3.",
            )
        directed = "-to-" in match["modalities"]
        modalities = tuple(match["modalities"].split("-to-" if directed else "-"))
        return cls(match["task"], modalities, directed, int(match["site"]) if match["site"] else None)


class LossWeights(Mapping[Term, float]):
    """Terms in a fixed order, each with its weight in [0, 1].

    Args:
        weights: the weight of each term; the order is kept.

    Raises:
        UsageError: a weight is not a number in [0, 1].
    """

    def __init__(self, weights: Mapping[Term, float]) -> None:
        for term, weight in weights.items():
            whole = isinstance(weight, int) and not isinstance(weight, bool)  # of any size: a float may be too small for it
            if not whole and not (isinstance(weight, float) and math.isfinite(weight)):
                raise UsageError(f"The weight of {term} is {weight!r}, which is not a number.", hint="Weights lie in [0, 1].")
            if not 0 <= weight <= 1:
                raise UsageError(f"The weight of {term} is {weight}.", hint="Weights lie in [0, 1].")
        self._weights = {term: float(weight) for term, weight in weights.items()}

    def __getitem__(self, term: Term) -> float:
        return self._weights[term]

    def __iter__(self) -> Iterator[Term]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    @classmethod
    def uniform(cls, terms: Iterable[Term], weight: float = 1.0) -> "LossWeights":
        """Give every term the same weight."""
        return cls(dict.fromkeys(terms, weight))

    @classmethod
    def from_vector(cls, terms: Iterable[Term], vector: Iterable[float]) -> "LossWeights":
        """Pair terms with the coordinates of a search, in order."""
        return cls(dict(zip(terms, (float(value) for value in vector), strict=True)))

    @classmethod
    def from_names(cls, named: Mapping[str, object], terms: Iterable[Term]) -> "LossWeights":
        """Read a flat mapping from term to weight, as `loss.yaml` holds it.

        Args:
            named: the mapping; terms that it does not name have weight 0, and one that does not exist may have it: a loss
                found with sound serves where there is none.
            terms: the terms that exist under the settings in force, in order.

        Raises:
            UsageError: a term with a weight does not exist (the nearest is named), or a weight is not in [0, 1].
        """
        known = {str(term): term for term in terms}
        for name, weight in named.items():
            if name not in known and weight != 0:
                raise UsageError(
                    f"There is no term '{name}' under these settings and for these videos.",
                    hint=f"objective.modalities and objective.terms say which terms exist. {suggest(str(name), known)}",
                )
        return cls({term: named.get(name, 0.0) for name, term in known.items()})  # type: ignore[misc]

    def to_names(self) -> dict[str, float]:
        """Return the flat mapping that `loss.yaml` holds."""
        return {str(term): weight for term, weight in self.items()}

    def to_vector(self) -> list[float]:
        """Return the weights alone, in order."""
        return list(self._weights.values())

    def active(self) -> tuple[Term, ...]:
        """Return the terms whose weight is positive: the only ones that cost anything."""
        return tuple(term for term, weight in self.items() if weight > 0)

    def digest(self) -> str:
        """Return 16 hexadecimal digits that name these weights; terms of weight 0 do not count."""
        text = json.dumps({str(term): self[term] for term in sorted(self.active(), key=str)})
        return hashlib.sha256(text.encode()).hexdigest()[:16]
