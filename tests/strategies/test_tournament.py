"""Tournament selection against a plain reference, and its pool."""

import math

import numpy as np
import pytest

from elo_cli.core.errors import UsageError
from elo_cli.core.seeds import numpy_generator
from elo_cli.strategies import random, tournament
from tests.support.searching import make_points, round_of

TARGET = np.linspace(0.05, 0.9, 10)


def sphere(point: np.ndarray, number: int = 0) -> float:
    return -float(np.sum((point - TARGET) ** 2))


def textbook(dimensions: int, seed: int, count: int, *, pool: int, contestants: int, ageing: bool) -> list[np.ndarray]:
    """The loop as it stands in books: a living pool, one child at a time."""
    alive: list[tuple[float, int, np.ndarray]] = []  # score, number, point
    points: list[np.ndarray] = []
    for number in range(count):
        draw = numpy_generator(seed, "strategy", "tournament", number)
        if number < pool:
            child = draw.random(dimensions)
        else:
            fight = [alive[place] for place in draw.choice(pool, contestants, replace=False)]
            parent = sorted(fight, key=lambda one: (-one[0], one[1]))[0]
            child = parent[2].copy()
            child[draw.integers(dimensions)] = draw.random()
        points.append(child)
        alive.append((sphere(child), number, child))
        if len(alive) > pool:
            if ageing:
                alive.pop(0)
            else:
                alive.remove(min(alive, key=lambda one: (one[0], -one[1])))
                alive.sort(key=lambda one: (-one[0], one[1]))
        elif not ageing:
            alive.sort(key=lambda one: (-one[0], one[1]))
    return points


@pytest.mark.parametrize("ageing", [True, False])
@pytest.mark.parametrize(("pool", "contestants"), [(20, 5), (6, 6), (2, 1)])
def test_with_one_point_under_way_it_is_the_textbook(pool: int, contestants: int, ageing: bool) -> None:
    settings = {"pool": pool, "contestants": contestants, "ageing": ageing}
    ours = make_points(tournament.Strategy(10, seed=5, population=1, **settings), sphere, 200)  # type: ignore[arg-type]
    assert np.array_equal(ours, textbook(10, 5, 200, **settings))  # type: ignore[arg-type]


def test_a_child_differs_from_its_parent_in_one_weight() -> None:
    points = make_points(tournament.Strategy(10, seed=0, pool=8), sphere, 200)
    for number in range(20, 200):
        differing = (points[:number] != points[number]).sum(axis=1)
        assert differing.min() <= 1


def test_it_climbs_and_beats_random_search() -> None:
    for seed in range(3):
        best = {}
        for name, module in {"tournament": tournament, "random": random}.items():
            points = make_points(module.Strategy(10, seed=seed), sphere, 600)
            best[name] = min(-sphere(point) for point in points)
        assert best["tournament"] < 0.05 < 0.1 < best["random"]


def test_a_slow_point_holds_nothing_up_until_it_is_a_population_behind() -> None:
    strategy = tournament.Strategy(4, seed=0, population=6, pool=2, contestants=1)
    round_of(strategy)
    assert strategy.ask() is None
    strategy.tell(0.5)
    assert strategy.ask() is not None
    assert strategy.ask() is None


def test_what_failed_has_no_children_while_anything_else_lives() -> None:
    strategy = tournament.Strategy(6, seed=1, population=1, pool=10, contestants=10)
    points = make_points(strategy, lambda point, number: -math.inf if number != 3 else 0.0, 13)
    for child in points[10:13]:
        assert (child != points[3]).sum() == 1


def test_it_begins_where_it_is_told() -> None:
    start = [0.0, 1.0, 0.25]
    strategy = tournament.Strategy(3, seed=0, start=start)
    first, second = strategy.ask(), strategy.ask()
    assert first is not None and second is not None
    assert first.tolist() == start and second.tolist() != start


def test_the_mean_is_that_of_the_pool() -> None:
    strategy = tournament.Strategy(5, seed=0, pool=4, contestants=2)
    assert strategy.mean() is None
    points = make_points(strategy, sphere_of_five, 30)
    assert np.array_equal(strategy.mean(), points[-4:].mean(axis=0))


def sphere_of_five(point: np.ndarray, number: int) -> float:
    return -float(point.sum())


@pytest.mark.parametrize("wrong", [{"pool": 1, "contestants": 1}, {"contestants": 0}, {"contestants": 21}, {"start": [2.0] * 3}])
def test_wrong_settings_are_refused_with_a_hint(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        tournament.Strategy(3, seed=0, **wrong)  # type: ignore[arg-type]
    assert caught.value.hint
