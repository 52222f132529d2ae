"""CMA-ES against pycma's own loop and against random search."""

import math
from collections.abc import Callable

import cma
import numpy as np
import pytest

from elo_cli.core.errors import UsageError
from elo_cli.core.seeds import numpy_generator
from elo_cli.strategies import cma_es, random
from tests.support.searching import make_points, round_of

TARGET = np.linspace(0.05, 0.9, 10)


def sphere(point: np.ndarray, number: int = 0) -> float:
    return -float(np.sum((point - TARGET) ** 2))


def plain(dimensions: int, seed: int, start: list[float] | None = None) -> cma.CMAEvolutionStrategy:
    """pycma itself, over the same normal numbers."""
    generator = numpy_generator(seed, "strategy", "cma-es")
    options = {"seed": math.nan, "randn": lambda *shape: generator.standard_normal(shape), "bounds": [0, 1], "verbose": -9}
    options |= {"verb_log": 0, "signals_filename": "", "tolflatfitness": 10**9}
    return cma.CMAEvolutionStrategy(start or [0.5] * dimensions, 0.3, options)


@pytest.mark.parametrize("start", [None, np.linspace(0, 1, 10).tolist()])
def test_it_is_pycma_with_its_own_random_numbers(start: list[float] | None) -> None:
    """Without snapping, the points are those of pycma's plain loop over the same normal numbers."""
    theirs, ours = plain(10, 7, start), cma_es.Strategy(10, seed=7, snap=0.0, start=start)
    assert ours.population == theirs.popsize == 10
    for _ in range(40):
        expected, points = theirs.ask(), round_of(ours)
        assert np.array_equal(points, np.array(expected))
        assert ours.ask() is None, "a round is over when all its scores are told"
        theirs.tell(expected, [-sphere(point) for point in expected])
        for point in points:
            ours.tell(sphere(point))
    assert ours.state()["sigma"] == theirs.sigma
    assert np.array_equal(ours.mean(), theirs.result.xfavorite)


def noisy(name: str) -> Callable[[np.ndarray, int], float]:
    """A standard function on [0, 1]^40, its optimum 0 off the middle, with noise of 1% of a random point's value."""
    target = np.linspace(0.1, 0.9, 40)

    def value(point: np.ndarray) -> float:
        away = 4 * (point - target)
        if name == "ellipsoid":
            return float(np.sum(10.0 ** np.linspace(0, 3, 40) * away**2))
        if name == "rastrigin":
            return float(np.sum(away**2 + 2 * (1 - np.cos(2 * np.pi * away))))
        return float(np.sum(away**2))

    scale = np.mean([value(point) for point in np.random.default_rng(0).random((100, 40))])
    return lambda point, number: value(point) / scale * (1 + 0.01 * np.random.default_rng(number).standard_normal())


@pytest.mark.parametrize("name", ["sphere", "ellipsoid", "rastrigin"])
def test_under_noise_it_beats_random_search_by_what_pycma_does(name: str) -> None:
    value = noisy(name)
    reached = []
    for seed in range(3):
        best = {}
        for kind, module in {"cma-es": cma_es, "random": random}.items():
            points = make_points(module.Strategy(40, seed=seed), lambda point, number: -value(point, number), 15 * 200)
            best[kind] = min(value(point, 0) for point in points)
        theirs, number = plain(40, seed), 0
        best["pycma"] = math.inf
        for _ in range(200):
            asked = theirs.ask()
            theirs.tell(asked, [value(point, number + place) for place, point in enumerate(asked)])
            number += len(asked)
            best["pycma"] = min(best["pycma"], *(value(point, 0) for point in asked))
        reached.append((best["random"] / best["cma-es"], best["random"] / best["pycma"]))
    ours, factor = np.median(reached, axis=0)
    assert factor > 2, "pycma itself is clearly better"
    assert ours > 0.8 * factor


def test_it_finds_a_sphere_and_beats_random_search_clearly() -> None:
    for seed in range(3):
        best = {}
        for name, module in {"cma-es": cma_es, "random": random}.items():
            points = make_points(module.Strategy(10, seed=seed), sphere, 600)
            best[name] = min(-sphere(point) for point in points)
        assert best["cma-es"] < 0.01 < 0.1 < best["random"]


def test_weights_below_the_snap_are_asked_for_as_zero() -> None:
    strategy = cma_es.Strategy(6, seed=0)  # the target lies in a corner, where the bounds' transform never quite arrives
    points = make_points(strategy, lambda point, number: -float(point.sum()), 80 * strategy.population)
    assert ((points == 0) | (points >= 0.01)).all()
    assert (round_of(strategy) == 0).mean() > 0.5
    assert (strategy.mean() > 0).all()
    assert (strategy.mean() < 0.1).all()


def test_a_failure_ranks_below_the_worst_score_whatever_its_size() -> None:
    for size in (1.0, 1e-12, 1e12, 1e300):
        asked = []
        for lowest in (-math.inf, None):
            strategy = cma_es.Strategy(5, seed=3)
            scores = [-size * float(np.sum(point**2)) for point in round_of(strategy)]
            scores[2] = min(scores) * 1.5 if lowest is None else lowest
            for score in scores:
                strategy.tell(score)
            asked.append(round_of(strategy))
        assert np.array_equal(*asked)  # only ranks count


def test_only_ranks_count() -> None:
    one, other = (
        make_points(cma_es.Strategy(5, seed=3), lambda point, number, bend=bend: bend(-float(np.sum(point**2))), 88)  # type: ignore[misc]
        for bend in (lambda score: score, lambda score: math.exp(7 * score))
    )
    assert np.array_equal(one, other)


def test_above_300_dimensions_nothing_is_drawn_elsewhere() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr,index]
    strategy = cma_es.Strategy(310, seed=0)
    make_points(strategy, lambda point, number: -float(point.sum()), 6 * strategy.population)
    assert (np.random.get_state()[1] == before).all()  # type: ignore[index]


@pytest.mark.parametrize(
    "wrong", [{"sigma": 0.0}, {"sigma": 2.0}, {"snap": -0.1}, {"snap": 0.5}, {"population": 2}, {"start": [0.5]}]
)
def test_wrong_settings_are_refused_with_a_hint(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        cma_es.Strategy(5, seed=0, **wrong)  # type: ignore[arg-type]
    assert caught.value.hint
