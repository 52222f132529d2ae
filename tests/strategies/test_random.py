"""Random search: the distribution of its points."""

import numpy as np
import pytest
from scipy.stats import kstest, qmc

from elo_cli.core.errors import UsageError
from elo_cli.core.seeds import numpy_generator
from elo_cli.strategies import random
from tests.support.searching import make_points


def draw(sampler: str, points: int) -> np.ndarray:
    strategy = random.Strategy(3, seed=0, sampler=sampler)
    return make_points(strategy, lambda point, number: 0.0, points)


def test_uniform_points_are_uniform() -> None:
    assert kstest(draw("uniform", 3000).ravel(), "uniform").pvalue > 0.01


def test_sobol_points_cover_more_evenly() -> None:
    assert qmc.discrepancy(draw("sobol", 256)) < qmc.discrepancy(draw("uniform", 256)) / 5


def test_sobol_is_scipys_sequence() -> None:
    generator = numpy_generator(0, "strategy", "random")
    assert np.array_equal(draw("sobol", 16), qmc.Sobol(3, scramble=True, seed=generator).random(16))


def test_state_counts_scores() -> None:
    strategy = random.Strategy(3, seed=0)
    make_points(strategy, lambda point, number: 0.0, 12, ahead=5)
    assert strategy.state() == {"points": 12.0}


def test_a_wrong_sampler_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        random.Strategy(3, seed=0, sampler="sobel")
    assert "Did you mean 'sobol'?" in caught.value.hint
