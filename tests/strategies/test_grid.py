"""Grid search: every point once, and every coordinate covered all the time."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elo_cli.core.errors import UsageError
from elo_cli.strategies import grid
from tests.support.searching import make_points


def points_of(strategy: grid.Strategy, count: int) -> np.ndarray:
    """Return the first `count` points."""
    return make_points(strategy, lambda point, number: 0.0, count)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(1, 2), (1, 7), (2, 3), (3, 2), (3, 4), (4, 3), (6, 2)]),
    population=st.integers(1, 9),
    seed=st.integers(0, 2**32),
)
def test_the_whole_lattice_comes_once_in_each_pass(shape: tuple[int, int], population: int, seed: int) -> None:
    dimensions, levels = shape
    strategy = grid.Strategy(dimensions, seed=seed, population=population, levels=levels)
    points = points_of(strategy, 2 * levels**dimensions)
    lattice = {tuple(point) for point in itertools.product(np.arange(levels) / (levels - 1), repeat=dimensions)}
    for turn in np.split(points, 2):
        assert {tuple(point) for point in turn} == lattice


@pytest.mark.parametrize("dimensions", [1, 5, 100])
def test_every_block_has_each_level_of_each_coordinate_once(dimensions: int) -> None:
    points = points_of(grid.Strategy(dimensions, seed=4, levels=5), 25)
    for block in np.split(points, 5):
        assert (np.sort(block, axis=0) == np.linspace(0, 1, 5)[:, None]).all()


def test_a_hundred_coordinates_repeat_nothing_and_do_not_move_together() -> None:
    points = points_of(grid.Strategy(100, seed=1, population=50, levels=3), 1500)
    assert len(np.unique(points, axis=0)) == 1500
    together = np.abs(np.corrcoef(points.T) - np.eye(100))
    assert together.max() < 0.2
    assert together.mean() < 0.04


def test_the_order_depends_on_the_seed() -> None:
    assert not np.array_equal(grid.Strategy(4, seed=0).ask(), grid.Strategy(4, seed=1).ask())


def test_state_tells_how_far_it_is() -> None:
    strategy = grid.Strategy(2, seed=0, population=3, levels=3)
    points_of(strategy, 6)
    assert strategy.state() == {"points": 6.0, "visited": 6 / 9}


@settings(max_examples=40)
@given(size=st.integers(1, 300), key=st.integers(0, 2**63))
def test_permute_is_a_permutation(size: int, key: int) -> None:
    assert sorted(grid.permute(index, size, key) for index in range(size)) == list(range(size))


def test_one_level_is_refused() -> None:
    with pytest.raises(UsageError):
        grid.Strategy(3, seed=0, levels=1)
