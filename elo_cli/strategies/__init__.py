"""Strategies: what proposes the next losses to try, given the scores of those before (3.2.3).

An entry is a module with a class `Strategy`; see the protocol of that name. No strategy touches
torch, and none draws from a global random generator.

Shape legend: n points of one round, d coordinates (the weights of a loss).
"""

import math
from typing import TYPE_CHECKING, Any, Protocol

from elo_cli.core.errors import UsageError
from elo_cli.core.shelf import Shelf

if TYPE_CHECKING:  # listing the shelf must not import NumPy
    import numpy as np

SHELF = Shelf("elo_cli.strategies", "strategy")


class Strategy(Protocol):
    """The contract of an entry's class `Strategy`.

    A strategy is a function of its seed, its settings and what it was told: telling a fresh one the
    recorded scores, round by round, brings it bit for bit to where the first one was.

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

    def ask(self) -> "np.ndarray":
        """Return the points of this round, (n, d) in [0, 1]; the same ones until `tell`."""
        ...

    def tell(self, points: "np.ndarray", scores: "np.ndarray") -> None:
        """Take the scores of this round and go on to the next.

        Args:
            points: what `ask` returned.
            scores: (n,), larger is better; minus infinity for a point that failed or collapsed.

        Raises:
            ValueError: nothing was asked, the points are others, or a score is NaN or plus infinity.
                The strategy is left as it was.
        """
        ...

    def state(self) -> dict[str, float]:
        """Return numbers that say where the strategy stands, for logs."""
        ...

    def mean(self) -> "np.ndarray | None":
        """Return the mean of the distribution that is drawn from, (d,) in [0, 1]; None without one."""
        ...


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


def check_told(asked: "np.ndarray | None", points: "np.ndarray", scores: "np.ndarray") -> "np.ndarray":
    """Check what a strategy is told against what it asked.

    Args:
        asked: the points of this round, or None when nothing was asked.
        points: what is told.
        scores: their scores.

    Returns:
        The scores, float64 (n,).

    Raises:
        ValueError: as `Strategy.tell` says.
    """
    import numpy as np

    scores = np.asarray(scores, dtype=np.float64)
    if asked is None:
        raise ValueError("tell came before ask: there are no points that these scores could belong to")
    if not np.array_equal(asked, np.asarray(points)):
        raise ValueError("these are not the points that were asked for")
    if scores.shape != (len(asked),):
        raise ValueError(f"{len(asked)} points have scores of shape {scores.shape}")
    if np.isnan(scores).any() or np.isposinf(scores).any():
        raise ValueError("a score is NaN or plus infinity; a point that failed has minus infinity")
    return scores
