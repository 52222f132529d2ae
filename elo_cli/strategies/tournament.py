"""Tournament selection (Goldberg and Deb 1991, the paper's [13]; 3.2.3).

The best of a few losses that are drawn from a pool has one weight, picked at random, replaced by a
number uniform in [0, 1]. The paper makes 2000 losses in this way; it is silent on the size of the
pool, on how many compete, and on who leaves the pool. Here the oldest leaves (ageing, Real et al. 2019),
so that a loss that was lucky once must have good children to last; or the worst.

No point waits for others of its round: that of number i is bred from the scores of points 0 … i - n,
whichever others are known by then. So a slow point holds the search up only when it is n behind.
"""

from collections.abc import Sequence

import numpy as np

from elo_cli.core.errors import UsageError
from elo_cli.core.seeds import numpy_generator
from elo_cli.strategies import Ledger, population_size, starting_point


class Strategy:
    """A pool of losses, and their mutated children.

    Args:
        dimensions: d.
        seed: decides every draw.
        population: how many points may be under way at a time, n; by default 4 + ⌊3 ln d⌋. With 1 each child
            knows of all points before it, as in the textbook.
        pool: losses that parents are drawn from; as many points are drawn at random first. At least 2.
        contestants: how many are drawn from the pool to compete for being the parent; 1 is no selection.
        ageing: whether the oldest leaves the pool when a new one comes, or else the worst.
        start: the first point of all, d weights in [0, 1]; None for none but random ones.

    Raises:
        UsageError: a setting is out of its range.
    """

    def __init__(
        self,
        dimensions: int,
        *,
        seed: int,
        population: int | None = None,
        pool: int = 20,
        contestants: int = 5,
        ageing: bool = True,
        start: Sequence[float] | None = None,
    ) -> None:
        if not 1 <= contestants <= pool or pool < 2:
            raise UsageError(
                f"A tournament of {contestants} of a pool of {pool} is not possible.",
                hint="Set search.pool to 2 or more, and search.contestants from 1 to the size of the pool.",
            )
        self.population = population_size(dimensions, population)
        self.dimensions, self.pool, self.contestants, self.ageing = dimensions, pool, contestants, ageing
        self._seed = seed
        self._first = None if start is None else starting_point(dimensions, start)
        self._points: list[np.ndarray] = []
        self._ledger = Ledger()

    def ask(self) -> np.ndarray | None:
        """Return the next point, (d,) in [0, 1]; None while its parents' scores are not known."""
        number = self._ledger.asked
        known = max(0, number - self.population + 1)
        if len(self._ledger.scores) < known:
            return None
        random = numpy_generator(self._seed, "strategy", "tournament", number)
        if number == 0 and self._first is not None:
            point_D = self._first.copy()
        elif number < self.pool or not known:
            point_D = random.random(self.dimensions)
        else:
            point_D = self._points[self._parent(known, random)].copy()
            point_D[random.integers(self.dimensions)] = random.random()
        self._ledger.asked += 1
        self._points.append(point_D)
        return point_D.copy()

    def tell(self, score: float) -> None:
        """Take a score.

        Raises:
            ValueError: as the shelf's contract says; nothing has changed then.
        """
        self._ledger.take(score)

    def state(self) -> dict[str, float]:
        """Return how many points have been scored."""
        return {"points": float(len(self._ledger.scores))}

    def mean(self) -> np.ndarray | None:
        """Return the mean of the pool, (d,); None before the first score."""
        known = len(self._ledger.scores)
        if not known:
            return None
        mean_D: np.ndarray = np.mean([self._points[number] for number in self._living(known)], axis=0)
        return mean_D

    def _living(self, known: int) -> list[int]:
        """Return the numbers of the points in the pool once the scores of the first `known` points are told."""
        if self.ageing:
            return list(range(max(0, known - self.pool), known))
        best = sorted(range(known), key=lambda number: (-self._ledger.scores[number], number))
        return best[: self.pool]

    def _parent(self, known: int, random: np.random.Generator) -> int:
        """Return the best of some that are drawn from the pool; of equals, the oldest."""
        living = self._living(known)
        drawn = random.choice(len(living), min(self.contestants, len(living)), replace=False)
        return max((living[int(place)] for place in drawn), key=lambda number: (self._ledger.scores[number], -number))
