"""Random search (Table 4's baseline): every round draws new points, whatever the scores were."""

import numpy as np
from scipy.stats import qmc

from elo_cli.core.errors import UsageError
from elo_cli.core.seeds import numpy_generator
from elo_cli.core.shelf import suggest
from elo_cli.strategies import check_told, population_size

SAMPLERS = ("uniform", "sobol")


class Strategy:
    """Points drawn from the unit cube.

    Args:
        dimensions: d.
        seed: decides every draw.
        population: points of a round; by default 4 + ⌊3 ln d⌋, as for cma-es.
        sampler: `uniform` (independent draws, as in the paper's Random Loss) or `sobol` (a scrambled
            Sobol sequence, which covers the cube more evenly; it ends after 2³⁰ points).

    Raises:
        UsageError: a setting is out of its range.
    """

    def __init__(self, dimensions: int, *, seed: int, population: int | None = None, sampler: str = "uniform") -> None:
        if sampler not in SAMPLERS:
            raise UsageError(f"There is no sampler called '{sampler}'.", hint=suggest(sampler, SAMPLERS))
        self.population = population_size(dimensions, population)
        self.dimensions = dimensions
        self._generator = numpy_generator(seed, "strategy", "random")
        self._sobol = qmc.Sobol(dimensions, scramble=True, seed=self._generator) if sampler == "sobol" else None
        self._asked: np.ndarray | None = None
        self._rounds = 0

    def ask(self) -> np.ndarray:
        """Return the points of this round, (n, d) in [0, 1]; the same ones until `tell`."""
        if self._asked is None:
            if self._sobol is None:
                self._asked = self._generator.random((self.population, self.dimensions))
            else:
                # One by one: SciPy warns of a first draw that is not a power of two.
                self._asked = np.vstack([self._sobol.random(1) for _ in range(self.population)])
        return self._asked.copy()

    def tell(self, points: np.ndarray, scores: np.ndarray) -> None:
        """Go on to the next round.

        Raises:
            ValueError: as the shelf's contract says; nothing has changed then.
        """
        check_told(self._asked, points, scores)
        self._asked = None
        self._rounds += 1

    def state(self) -> dict[str, float]:
        """Return how many points have been scored."""
        return {"points": float(self._rounds * self.population)}

    def mean(self) -> None:
        """Return None: nothing is learned."""
        return None
