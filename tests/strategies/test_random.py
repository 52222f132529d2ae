"""Random search: the distribution of its points."""

import numpy as np
import pytest
from scipy.stats import kstest, qmc

from elo_cli.core.errors import UsageError
from elo_cli.strategies import random


def draw(sampler: str, population: int) -> np.ndarray:
    return random.Strategy(3, seed=0, population=population, sampler=sampler).ask()


def test_uniform_points_are_uniform() -> None:
    assert kstest(draw("uniform", 3000).ravel(), "uniform").pvalue > 0.01


def test_sobol_points_cover_more_evenly() -> None:
    assert qmc.discrepancy(draw("sobol", 256)) < qmc.discrepancy(draw("uniform", 256)) / 5


def test_sobol_goes_on_over_rounds() -> None:
    whole = draw("sobol", 12)
    strategy = random.Strategy(3, seed=0, population=4, sampler="sobol")
    for start in (0, 4, 8):
        points = strategy.ask()
        assert np.array_equal(points, whole[start : start + 4])
        strategy.tell(points, np.zeros(4))
    assert strategy.state() == {"points": 12.0}


def test_a_wrong_sampler_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        random.Strategy(3, seed=0, sampler="sobel")
    assert "Did you mean 'sobol'?" in caught.value.hint
