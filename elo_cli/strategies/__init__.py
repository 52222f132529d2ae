"""Strategies: what proposes the next losses to try, given the scores of those before (3.2.3).

An entry is a module with a class `Strategy`; see the protocol of that name. No strategy touches
torch, and none draws from a global random generator. An entry whose points depend on the version of a library names its
distribution as `LIBRARY`: a search is bound to that version.

Points are numbered 0, 1, 2, … in the order in which they are asked for, and scores are told in that order,
however many points are scored side by side. So a search is the same with one worker and with eight.

An entry whose module has `LEARNS_WEIGHTS = True` asks for points that were learned from the networks themselves, before
it is asked for any: it takes them as the keyword `points`, has one round of them, and None after the last.

Shape legend: n points of one round, d coordinates (the weights of a loss).
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from elo_cli.core.errors import UsageError
from elo_cli.core.shelf import Shelf

if TYPE_CHECKING:  # listing the shelf must not import NumPy
    import numpy as np

SHELF = Shelf("elo_cli.strategies", "strategy")


class Strategy(Protocol):
    """The contract of an entry's class `Strategy`.

    A strategy is a function of its seed, its settings and what it was told: asking and telling a fresh
    one in the same way brings it bit for bit to where the first one was. Which points it gives does not
    depend on how far ahead of the scores they are asked for.

    Args:
        dimensions: d, the number of coordinates, at least 1.
        seed: decides every random draw.
        population: n, the points of a round; None for the entry's own default.
        settings: the entry's own, by keyword, each with a default.

    Raises:
        UsageError: a setting is out of its range.
    """

    population: int

    def __init__(self, dimensions: int, *, seed: int, population: int | None = None, **settings: Any) -> None: ...

    def ask(self) -> "np.ndarray | None":
        """Return the next point, (d,) in [0, 1]; None if more scores must be told first."""
        ...

    def tell(self, score: float) -> None:
        """Take the score of the oldest point that has none yet.

        Args:
            score: larger is better; minus infinity for a point that failed or collapsed.

        Raises:
            ValueError: every point that was asked for has its score, or this one is NaN or plus infinity.
                The strategy is left as it was.
        """
        ...

    def state(self) -> dict[str, float]:
        """Return numbers that say where the strategy stands, for logs."""
        ...

    def mean(self) -> "np.ndarray | None":
        """Return the mean of the distribution that is drawn from, (d,) in [0, 1]; None without one."""
        ...


class Ledger:
    """Counts the points that were asked for, and keeps the scores that were told, in order.

    Attributes:
        asked: how many points have been asked for.
        scores: those told so far; that of point i at place i.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.scores: list[float] = []

    def take(self, score: float) -> None:
        """Take a score.

        Raises:
            ValueError: as `Strategy.tell` says.
        """
        if len(self.scores) == self.asked:
            raise ValueError("there is no point that this score could belong to: ask comes before tell")
        if math.isnan(score) or score == math.inf:
            raise ValueError(f"a score is {score}; a point that failed has minus infinity")
        self.scores.append(float(score))


class Unlearned:
    """What strategies share that learn nothing: they count scores.

    Attributes:
        _ledger: counts what is asked for; `ask` belongs to the heir.
    """

    def __init__(self) -> None:
        self._ledger = Ledger()

    def tell(self, score: float) -> None:
        """Count a score.

        Raises:
            ValueError: as the shelf's contract says.
        """
        self._ledger.take(score)

    def state(self) -> dict[str, float]:
        """Return how many points have been scored."""
        return {"points": float(len(self._ledger.scores))}

    def mean(self) -> None:
        """Return None: nothing is learned."""
        return None


class Listed(Unlearned):
    """A strategy that asks for the points of a list, each once.

    Args:
        dimensions: d.
        points: (n, d) in [0, 1]; None as long as they are not known: nothing can be asked for then.

    Raises:
        UsageError: a point is not in [0, 1]^d.
    """

    def __init__(self, dimensions: int, points: "Sequence[Sequence[float]] | None") -> None:
        super().__init__()
        self._points = None if points is None else [starting_point(dimensions, point) for point in points]
        self.population = len(points or ())

    def ask(self) -> "np.ndarray | None":
        """Return the next point, (d,) in [0, 1]; None after the last."""
        if self._points is None or self._ledger.asked == len(self._points):
            return None
        self._ledger.asked += 1
        return self._points[self._ledger.asked - 1].copy()


def population_size(dimensions: int, population: int | None, *, least: int = 1) -> int:
    """Return how many points a round has: what was asked for, or 4 + ⌊3 ln d⌋ as in CMA-ES.

    All entries share this default, so that a round costs the same under each of them.

    Raises:
        UsageError: there are no dimensions, or fewer points than `least`.
    """
    if dimensions < 1:
        raise UsageError("There is nothing to search: no term is left.", hint="Give at least one task and one modality.")
    if population is None:
        return max(least, 4 + int(3 * math.log(dimensions)))
    if population < least:
        raise UsageError(f"A population of {population} is too small.", hint=f"Set population to {least} or more.")
    return population


def starting_point(dimensions: int, start: "Sequence[float] | None") -> "np.ndarray":
    """Return the point that a search begins from, (d,) in [0, 1]: the one given, or the middle.

    Raises:
        UsageError: it has not d coordinates, or one outside [0, 1].
    """
    import numpy as np

    if start is None:
        return np.full(dimensions, 0.5)
    point_D = np.asarray(start, np.float64)
    if point_D.shape != (dimensions,) or not ((point_D >= 0) & (point_D <= 1)).all():
        raise UsageError(f"The search cannot begin from {start}.", hint=f"It needs {dimensions} weights in [0, 1].")
    return point_D
