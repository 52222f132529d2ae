"""Random search (Table 4's baseline): every point is drawn anew, whatever the scores were."""

import numpy as np
from scipy.stats import qmc

from elo_cli.core.errors import UsageError
from elo_cli.core.seeds import numpy_generator
from elo_cli.core.shelf import suggest
from elo_cli.strategies import Unlearned, population_size

SAMPLERS = ("uniform", "sobol")


class Strategy(Unlearned):
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
        super().__init__()
        self.population = population_size(dimensions, population)
        self.dimensions = dimensions
        self._generator = numpy_generator(seed, "strategy", "random")
        self._sobol = qmc.Sobol(dimensions, scramble=True, seed=self._generator) if sampler == "sobol" else None

    def ask(self) -> np.ndarray:
        """Return the next point, (d,) in [0, 1]; scores are never needed for it."""
        self._ledger.asked += 1
        if self._sobol is None:
            return self._generator.random(self.dimensions)
        point_D: np.ndarray = self._sobol.random(1)[0]
        return point_D
