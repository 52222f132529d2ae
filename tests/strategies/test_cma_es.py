"""CMA-ES against pycma's own loop and against random search."""

import math

import cma
import numpy as np
import pytest

from elo_cli.core.errors import UsageError
from elo_cli.core.seeds import numpy_generator
from elo_cli.strategies import cma_es, random

TARGET = np.linspace(0.05, 0.9, 10)


def sphere(points: np.ndarray) -> np.ndarray:
    distances: np.ndarray = np.sum((points - TARGET) ** 2, axis=1)
    return distances


def test_it_is_pycma_with_its_own_random_numbers() -> None:
    """Without snapping, the points are those of pycma's plain loop over the same normal numbers."""
    generator = numpy_generator(7, "strategy", "cma-es")
    options = {"seed": math.nan, "randn": lambda *shape: generator.standard_normal(shape), "bounds": [0, 1], "verbose": -9}
    plain = cma.CMAEvolutionStrategy([0.5] * 10, 0.3, options | {"verb_log": 0, "signals_filename": ""})
    ours = cma_es.Strategy(10, seed=7, snap=0.0)
    assert ours.population == plain.popsize == 10
    for _ in range(40):
        expected, points = plain.ask(), ours.ask()
        assert np.array_equal(points, np.array(expected))
        plain.tell(expected, sphere(np.array(expected)).tolist())
        ours.tell(points, -sphere(points))
    assert ours.state()["sigma"] == plain.sigma
    assert np.array_equal(ours.mean(), plain.result.xfavorite)


def test_it_finds_a_sphere_and_beats_random_search_clearly() -> None:
    for seed in range(3):
        best = {}
        for name, module in {"cma-es": cma_es, "random": random}.items():
            strategy = module.Strategy(10, seed=seed)
            best[name] = math.inf
            for _ in range(60):
                points = strategy.ask()
                strategy.tell(points, -sphere(points))
                best[name] = min(best[name], float(sphere(points).min()))
        assert best["cma-es"] < 0.01 < 0.1 < best["random"]


def test_weights_below_the_snap_are_asked_for_as_zero() -> None:
    strategy = cma_es.Strategy(6, seed=0)
    for _ in range(80):  # the target lies in a corner, where the bounds' transform never quite arrives
        points = strategy.ask()
        assert ((points == 0) | (points >= 0.01)).all()
        strategy.tell(points, -np.sum(points, axis=1))
    assert (strategy.ask() == 0).mean() > 0.5
    assert (strategy.mean() > 0).all()
    assert (strategy.mean() < 0.1).all()


def test_a_failure_ranks_below_the_worst_score_whatever_its_size() -> None:
    for size in (1.0, 1e-12, 1e12, 1e300):
        failed, worst = cma_es.Strategy(5, seed=3), cma_es.Strategy(5, seed=3)
        points = failed.ask()
        scores = -size * np.sum(points**2, axis=1)
        scores[2] = scores.min() * 1.5
        worst.tell(worst.ask(), scores)
        scores[2] = -math.inf
        failed.tell(points, scores)
        assert np.array_equal(failed.ask(), worst.ask())  # only ranks count


def test_only_ranks_count() -> None:
    one, other = cma_es.Strategy(5, seed=3), cma_es.Strategy(5, seed=3)
    for _ in range(10):
        points = one.ask()
        scores = -np.sum(points**2, axis=1)
        one.tell(points, scores)
        other.tell(other.ask(), np.exp(7 * scores))
    assert np.array_equal(one.ask(), other.ask())


def test_above_300_dimensions_nothing_is_drawn_elsewhere() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr,index]
    strategy = cma_es.Strategy(310, seed=0)
    for _ in range(6):
        points = strategy.ask()
        strategy.tell(points, -np.sum(points, axis=1))
    assert (np.random.get_state()[1] == before).all()  # type: ignore[index]


@pytest.mark.parametrize("wrong", [{"sigma": 0.0}, {"sigma": 2.0}, {"snap": -0.1}, {"snap": 0.5}, {"population": 2}])
def test_wrong_settings_are_refused_with_a_hint(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError) as caught:
        cma_es.Strategy(5, seed=0, **wrong)  # type: ignore[arg-type]
    assert caught.value.hint
