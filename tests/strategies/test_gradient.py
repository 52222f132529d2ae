"""The strategy that asks for what was learned."""

import numpy as np
import pytest

from elo_cli.core.errors import UsageError
from elo_cli.strategies.gradient import POINTS, Strategy

LEARNED = [[0.5, 0.5], [0.25, 0.75], [0.0, 1.0]]


def test_it_asks_for_each_point_once_and_in_order() -> None:
    strategy = Strategy(2, seed=0, population=7, points=LEARNED)
    assert strategy.population == POINTS == 3
    asked = [strategy.ask() for _ in range(4)]
    assert asked[3] is None and np.array_equal(asked[:3], LEARNED)
    for score in (0.1, -np.inf, 0.3):
        strategy.tell(score)
    with pytest.raises(ValueError, match="ask comes before tell"):
        strategy.tell(0.0)
    assert strategy.state() == {"points": 3.0} and strategy.mean() is None


def test_it_has_nothing_to_ask_for_before_anything_is_learned() -> None:
    assert Strategy(2, seed=0).ask() is None


def test_wrong_points_and_no_dimensions_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot begin from"):
        Strategy(2, seed=0, points=[[0.5, 1.5]])
    with pytest.raises(UsageError, match="cannot begin from"):
        Strategy(3, seed=0, points=LEARNED)
    with pytest.raises(UsageError, match="nothing to search"):
        Strategy(0, seed=0)
