"""One battery over every strategy of the shelf."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from elo_cli.core.errors import UsageError
from elo_cli.strategies import SHELF, Strategy

ENTRIES = [(name, {}) for name in SHELF.names()] + [("random", {"sampler": "sobol"}), ("grid", {"levels": 2})]
IDS = [name + "".join(f"-{value}" for value in options.values()) for name, options in ENTRIES]
Entry = tuple[str, dict[str, object]]

pytestmark = pytest.mark.parametrize("entry", ENTRIES, ids=IDS)


def make(entry: Entry, dimensions: int = 7, seed: int = 11, population: int | None = None) -> Strategy:
    name, options = entry
    made: Strategy = SHELF.take(name).Strategy(dimensions, seed=seed, population=population, **options)
    return made


def sphere(points: np.ndarray) -> np.ndarray:
    scores: np.ndarray = -np.sum((points - 0.3) ** 2, axis=1)
    return scores


def walk(strategy: Strategy, rounds: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Run some rounds; every third has a failure, the fifth is flat, the sixth fails altogether."""
    asked, told = [], []
    for turn in range(rounds):
        points = strategy.ask()
        scores = sphere(points)
        if turn % 3 == 2:
            scores[0] = -math.inf
        if turn == 4:
            scores[:] = 0.25
        if turn == 5:
            scores[:] = -math.inf
        strategy.tell(points, scores)
        asked.append(points)
        told.append(scores)
    return asked, told


@pytest.mark.parametrize("dimensions", [1, 2, 60, 100])
def test_points_lie_in_the_cube(entry: Entry, dimensions: int) -> None:
    strategy = make(entry, dimensions)
    for points in walk(strategy, 8)[0]:
        assert points.shape == (strategy.population, dimensions)
        assert points.dtype == np.float64
        assert np.isfinite(points).all()
        assert (points >= 0).all()
        assert (points <= 1).all()
    assert all(math.isfinite(value) for value in strategy.state().values())
    mean = strategy.mean()
    assert mean is None or (mean.shape == (dimensions,) and (mean >= 0).all() and (mean <= 1).all())


def test_the_population_is_what_was_asked_for(entry: Entry) -> None:
    assert make(entry, population=5).ask().shape == (5, 7)
    assert make(entry, 1).population >= 3
    with pytest.raises(UsageError, match="too small"):
        make(entry, population=0)
    with pytest.raises(UsageError, match="nothing to search"):
        make(entry, 0)


def test_same_seed_same_points_other_seed_other_points(entry: Entry) -> None:
    for seed in (0, 1, 2**32 - 1):
        first, second = (walk(make(entry, seed=seed), 8)[0] for _ in range(2))
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(make(entry, seed=1).ask(), make(entry, seed=2).ask())


def test_replay_of_recorded_scores_is_bit_identical_at_every_stop(entry: Entry) -> None:
    asked, told = walk(make(entry), 12)
    for stop in range(12):
        again = make(entry)
        for scores in told[:stop]:
            again.tell(again.ask(), scores)
        assert np.array_equal(again.ask(), asked[stop])


def test_two_searches_do_not_disturb_each_other(entry: Entry) -> None:
    alone = walk(make(entry, seed=1), 6)[0]
    one, other = make(entry, seed=1), make(entry, seed=2)
    for points in alone:
        walk(other, 1)
        asked = one.ask()
        assert np.array_equal(asked, points)
        turn = next(index for index, value in enumerate(alone) if value is points)
        scores = sphere(asked)
        if turn % 3 == 2:
            scores[0] = -math.inf
        if turn == 4:
            scores[:] = 0.25
        one.tell(asked, scores)


def test_asking_twice_is_asking_once(entry: Entry) -> None:
    strategy, other = make(entry), make(entry)
    first = strategy.ask()
    first[:] = 0.5  # a copy: nobody can change what was asked
    second = strategy.ask()
    assert np.array_equal(second, other.ask())
    strategy.tell(second, sphere(second))
    other.tell(second, sphere(second))
    assert np.array_equal(strategy.ask(), other.ask())
    assert not np.array_equal(strategy.ask(), second)


def test_global_random_state_is_untouched_and_irrelevant(entry: Entry) -> None:
    np.random.seed(1)
    before = np.random.get_state()
    first = walk(make(entry), 8)[0]
    after = np.random.get_state()
    assert before[0] == after[0]
    assert np.array_equal(before[1], after[1])
    assert before[2:] == after[2:]
    np.random.seed(99)
    strategy = make(entry)
    for points in first[:2]:
        np.random.random(17)
        assert np.array_equal(strategy.ask(), points)
        strategy.tell(points, sphere(points))


@pytest.mark.parametrize("score", [0.0, -math.inf])
def test_hundreds_of_rounds_without_a_difference_are_survived(entry: Entry, score: float) -> None:
    strategy = make(entry, population=4)
    for _ in range(200):
        points = strategy.ask()
        strategy.tell(points, np.full(4, score))
    assert len(np.unique(strategy.ask(), axis=0)) > 1
    assert all(math.isfinite(value) for value in strategy.state().values())


def test_bad_tells_are_refused_and_change_nothing(entry: Entry) -> None:
    strategy, other = make(entry), make(entry)
    with pytest.raises(ValueError, match="before ask"):
        strategy.tell(np.zeros((strategy.population, 7)), np.zeros(strategy.population))
    points = strategy.ask()
    scores = sphere(points)
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="NaN"):
            strategy.tell(points, np.where(np.arange(len(scores)) == 1, wrong, scores))
    with pytest.raises(ValueError, match="shape"):
        strategy.tell(points, scores[1:])
    with pytest.raises(ValueError, match="not the points"):
        strategy.tell(points[::-1], scores)
    strategy.tell(points, scores)
    other.tell(other.ask(), scores)
    assert np.array_equal(strategy.ask(), other.ask())
    with pytest.raises(ValueError, match="not the points"):
        strategy.tell(points, scores)


def test_no_files_and_no_words(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cma_signals.in").write_text('{"timeout": 0}')  # pycma would obey it
    walk(make(entry), 8)
    assert os.listdir(tmp_path) == ["cma_signals.in"]
    assert capfd.readouterr() == ("", "")
