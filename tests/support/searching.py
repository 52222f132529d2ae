"""A search without networks: strategies driven by a plain function."""

from collections.abc import Callable

import numpy as np

from elo_cli.strategies import SHELF, Strategy

# `gradient` proposes nothing: it asks for what it is given.
PROPOSING = tuple(name for name in SHELF.names() if not getattr(SHELF.take(name), "LEARNS_WEIGHTS", False))


def make_points(strategy: Strategy, score: Callable[[np.ndarray, int], float], count: int, *, ahead: int = 1) -> np.ndarray:
    """Return the first `count` points, (count, d), all of them scored.

    Args:
        score: of a point and its number.
        ahead: how many points are asked for before the first of them is told, if the strategy gives so many.
    """
    points: list[np.ndarray] = []
    told = 0
    while told < count:
        point = strategy.ask() if len(points) < min(count, told + ahead) else None
        if point is not None:
            points.append(point)
            continue
        assert told < len(points), "a strategy that was told everything has no next point"
        strategy.tell(score(points[told].copy(), told))
        told += 1
    return np.array(points)


def round_of(strategy: Strategy) -> np.ndarray:
    """Return the points of the next round, (n, d); none of them is scored."""
    points = [strategy.ask() for _ in range(strategy.population)]
    assert all(point is not None for point in points)
    return np.array(points)
