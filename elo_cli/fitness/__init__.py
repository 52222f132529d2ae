"""Fitness: the number that features get, by which a search judges the loss that made them.

An entry is a module with a function `measure`; see `Fitness`.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from elo_cli.core.shelf import Shelf

if TYPE_CHECKING:  # listing the shelf must not import NumPy
    from elo_cli.core.features import Features

SHELF = Shelf("elo_cli.fitness", "fitness")


@dataclass(frozen=True)
class FitnessReport:
    """What a fitness says of one set of features.

    Attributes:
        value: the number in the fitness's own direction; the worst there is when collapsed.
        larger_is_better: which direction is better.
        collapsed: why the features count as collapsed, in words; None when they do not.
        details: the settings that were used, and the parts of the number; fit for JSON unless collapsed.
    """

    value: float
    larger_is_better: bool
    collapsed: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The value as searches see it: larger is better everywhere, minus infinity when collapsed."""
        if self.collapsed is not None or math.isnan(self.value):
            return -math.inf
        return self.value if self.larger_is_better else -self.value


class Fitness(Protocol):
    """The contract of an entry: a module-level function `measure`.

    An entry that looks at labels has a constant `NEEDS_LABELS = True` besides: it is given features of the
    labelled set, and the others those of the unlabelled videos.
    """

    def measure(self, features: "Features", *, seed: int, **settings: Any) -> FitnessReport:
        """Measure features; a pure function of them, the seed and the settings.

        Args:
            features: N videos × D features, float32; nothing is assumed of their scale.
            seed: decides every random draw.
            settings: the entry's own, by keyword, each with a default. Those that are called like a setting of
                `fitness` get its value.

        Raises:
            UsageError: a setting is out of its range, or does not fit the number of videos.
            DataError: the entry needs labels, and there are none or they do not serve.
        """
        ...
