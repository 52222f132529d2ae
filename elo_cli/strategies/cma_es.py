"""CMA-ES (Hansen et al. 2003, the paper's [15]; 3.2.3), by pycma.

A normal distribution over the weights, in [0, 1] by pycma's smooth BoundTransform, is moved and
shaped by the ranks of its samples' scores. The paper runs 250 rounds; it is silent on the
population and the first step size.
"""

import math
from collections.abc import Callable, Sequence

import cma
import numpy as np

from elo_cli.core.errors import UsageError
from elo_cli.core.seeds import numpy_generator
from elo_cli.strategies import Ledger, population_size, starting_point

LIBRARY = "cma"  # another version may propose other points
NEVER = 10**9  # rounds; an integer, where pycma counts


class Strategy:
    """CMA-ES with its own random numbers, and without an end of its own.

    Args:
        dimensions: d.
        seed: decides every draw. pycma's own seed is not used: 0 would mean the clock, and any
            other value seeds NumPy's global generator.
        population: points of a round, at least 3; by default 4 + ⌊3 ln d⌋, pycma's.
        sigma: the first step size, in (0, 1].
        start: the first mean, d weights in [0, 1]; None for the middle, 0.5 everywhere.
        snap: weights below it are asked for as 0, so that a term can be switched off altogether,
            which the bounds' transform never quite does. pycma is told of the unsnapped points.

    Raises:
        UsageError: a setting is out of its range.
    """

    def __init__(
        self,
        dimensions: int,
        *,
        seed: int,
        population: int | None = None,
        sigma: float = 0.3,
        snap: float = 0.01,
        start: Sequence[float] | None = None,
    ) -> None:
        if not 0 < sigma <= 1:
            raise UsageError(f"The first step size of cma-es is {sigma}.", hint="Set sigma in (0, 1]; 0.3 is usual.")
        if not 0 <= snap < 0.5:
            raise UsageError(f"cma-es was asked to snap weights below {snap} to 0.", hint="Set snap in [0, 0.5).")
        self.population = population_size(dimensions, population, least=3)
        self.snap = snap
        generator = numpy_generator(seed, "strategy", "cma-es")
        first = starting_point(dimensions, start).tolist()
        self._search = cma.CMAEvolutionStrategy(first, sigma, _options(self.population, generator.standard_normal))
        self._ledger = Ledger()
        self._drawn: list[np.ndarray] = []

    def ask(self) -> np.ndarray | None:
        """Return the next point of this round, (d,) in [0, 1]; None after its last, until all its scores are told."""
        place = self._ledger.asked % self.population
        if place == 0:
            if len(self._ledger.scores) < self._ledger.asked:
                return None
            self._drawn = self._search.ask()
        self._ledger.asked += 1
        point_D: np.ndarray = np.clip(self._drawn[place], 0.0, 1.0)
        point_D[point_D < self.snap] = 0.0
        return point_D

    def tell(self, score: float) -> None:
        """Take a score; with the last of a round the distribution moves, by the scores' ranks.

        Points that failed are equal and worse than every other.

        Raises:
            ValueError: as the shelf's contract says; nothing has changed then.
        """
        # Checked here because a tell that fails inside pycma leaves its object unusable.
        self._ledger.take(score)
        if len(self._ledger.scores) % self.population == 0:
            # Ranks are all that the method uses; as ranks, failures need no number worse than the worst.
            rank_N = np.unique(self._ledger.scores[-self.population :], return_inverse=True)[1]
            self._search.tell(self._drawn, (-rank_N.ravel().astype(float)).tolist())  # pycma minimises

    def state(self) -> dict[str, float]:
        """Return the step size, the largest and least deviation of a coordinate, and the condition of the covariance.

        The deviations are of the unbounded variables behind the weights, where 1 spans their range.
        """
        deviation_D = np.asarray(self._search.stds)
        return {
            "sigma": float(self._search.sigma),
            "deviation_max": float(deviation_D.max()),
            "deviation_min": float(deviation_D.min()),
            "condition": float(self._search.condition_number),
        }

    def mean(self) -> np.ndarray:
        """Return the distribution's mean as weights, (d,) in [0, 1]; it is not snapped."""
        search = self._search
        mean_D: np.ndarray = np.clip(
            search.gp.pheno(search.mean, copy=True, into_bounds=search.boundary_handler.repair), 0.0, 1.0
        )
        return mean_D


def _options(population: int, randn: Callable[[tuple[int, ...]], np.ndarray]) -> dict[str, object]:
    """Return pycma's options: own random numbers, no files, no words, no end."""
    return {
        "popsize": population,
        "bounds": [0.0, 1.0],
        "BoundaryHandler": cma.BoundTransform,
        "seed": math.nan,  # do nothing to any generator
        "randn": lambda *shape: randn(shape),
        # Above 300 dimensions pycma's default would be another adaptation, which draws from NumPy's
        # global generator in its self-check.
        "AdaptSigma": cma.sigma_adaptation.CMAAdaptSigmaCSA,
        # The search ends after its rounds; equal scores are no reason to stop earlier.
        "tolfun": 0,
        "tolfunhist": 0,
        "tolx": 0,
        "tolflatfitness": NEVER,
        "tolstagnation": NEVER,
        "tolxstagnation": False,
        "tolconditioncov": math.inf,
        "tolfacupx": math.inf,
        "tolupsigma": math.inf,
        "maxiter": math.inf,
        "signals_filename": "",
        "verbose": -9,
        "verb_log": 0,
        "verb_disp": 0,
    }
