"""One battery over every strategy of the shelf that proposes points by itself."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from elo_cli.core.errors import UsageError
from elo_cli.strategies import SHELF, Strategy
from tests.support.searching import PROPOSING, make_points, round_of

ENTRIES: list[tuple[str, dict[str, object]]] = [(name, {}) for name in PROPOSING]
ENTRIES += [("random", {"sampler": "sobol"}), ("grid", {"levels": 2}), ("tournament", {"ageing": False, "pool": 5})]
IDS = [name + "".join(f"-{value}" for value in options.values()) for name, options in ENTRIES]
Entry = tuple[str, dict[str, object]]

pytestmark = pytest.mark.parametrize("entry", ENTRIES, ids=IDS)


def make(entry: Entry, dimensions: int = 7, seed: int = 11, population: int | None = None) -> Strategy:
    name, options = entry
    made: Strategy = SHELF.take(name).Strategy(dimensions, seed=seed, population=population, **options)
    return made


def score(point: np.ndarray, number: int) -> float:
    """The sphere, with a failure now and then, a flat stretch, and a stretch where everything fails."""
    if number % 9 == 4 or 50 <= number < 60:
        return -math.inf
    return 0.25 if 30 <= number < 40 else -float(np.sum((point - 0.3) ** 2))


@pytest.mark.parametrize("dimensions", [1, 2, 60, 100])
def test_points_lie_in_the_cube(entry: Entry, dimensions: int) -> None:
    strategy = make(entry, dimensions)
    for point in make_points(strategy, score, 8 * strategy.population):
        assert point.shape == (dimensions,)
        assert point.dtype == np.float64
        assert np.isfinite(point).all()
        assert (point >= 0).all()
        assert (point <= 1).all()
    assert all(math.isfinite(value) for value in strategy.state().values())
    mean = strategy.mean()
    assert mean is None or (mean.shape == (dimensions,) and (mean >= 0).all() and (mean <= 1).all())


def test_the_population_is_what_was_asked_for_and_can_be_had_before_any_score(entry: Entry) -> None:
    strategy = make(entry, population=5)
    assert strategy.population == 5
    assert all(strategy.ask() is not None for _ in range(5))
    assert make(entry, 1).population >= 3
    with pytest.raises(UsageError, match="too small"):
        make(entry, population=0)
    with pytest.raises(UsageError, match="nothing to search"):
        make(entry, 0)


def test_same_seed_same_points_other_seed_other_points(entry: Entry) -> None:
    for seed in (0, 1, 2**32 - 1):
        first, second = (make_points(make(entry, seed=seed), score, 70) for _ in range(2))
        assert np.array_equal(first, second)
    assert not np.array_equal(round_of(make(entry, seed=1)), round_of(make(entry, seed=2)))


def test_points_do_not_depend_on_how_far_ahead_of_the_scores_they_are_asked_for(entry: Entry) -> None:
    """One worker tells each score at once; eight workers tell it when seven more points are under way."""
    points = [make_points(make(entry), score, 90, ahead=ahead) for ahead in (1, 2, 8, 1000)]
    assert all(np.array_equal(points[0], other) for other in points[1:])


def test_replay_of_recorded_scores_is_bit_identical_at_every_stop(entry: Entry) -> None:
    points = make_points(make(entry), score, 80)
    for stop in range(0, 79, 7):
        again = make(entry)
        assert np.array_equal(make_points(again, score, stop + 1, ahead=8)[stop], points[stop])


def test_two_searches_do_not_disturb_each_other(entry: Entry) -> None:
    alone = make_points(make(entry, seed=1), score, 60)
    one, other = make(entry, seed=1), make(entry, seed=2)
    for number, expected in enumerate(alone):
        point = one.ask()
        assert point is not None and np.array_equal(point, expected)
        assert other.ask() is not None
        one.tell(score(point, number))
        other.tell(0.0)


def test_what_is_given_out_is_a_copy(entry: Entry) -> None:
    strategy, other = make(entry), make(entry)
    for number in range(60):
        point, expected = strategy.ask(), other.ask()
        assert point is not None and expected is not None and np.array_equal(point, expected)
        for one in (strategy, other):
            one.tell(score(expected, number))
        point[:] = 0.5


def test_global_random_state_is_untouched_and_irrelevant(entry: Entry) -> None:
    np.random.seed(1)
    before = np.random.get_state()
    first = make_points(make(entry), score, 60)
    after = np.random.get_state()
    assert before[0] == after[0]
    assert np.array_equal(before[1], after[1])
    assert before[2:] == after[2:]
    np.random.seed(99)
    assert np.array_equal(make_points(make(entry), score, 20), first[:20])


@pytest.mark.parametrize("same", [0.0, -math.inf])
def test_hundreds_of_rounds_without_a_difference_are_survived(entry: Entry, same: float) -> None:
    strategy = make(entry, population=4)
    make_points(strategy, lambda point, number: same, 800)
    assert len(np.unique(round_of(strategy), axis=0)) > 1
    assert all(math.isfinite(value) for value in strategy.state().values())


def test_bad_tells_are_refused_and_change_nothing(entry: Entry) -> None:
    strategy, other = make(entry), make(entry)
    with pytest.raises(ValueError, match="ask comes before"):
        strategy.tell(0.0)
    assert strategy.ask() is not None and other.ask() is not None
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="a score is"):
            strategy.tell(wrong)
    for one in (strategy, other):
        one.tell(-1.0)
    with pytest.raises(ValueError, match="ask comes before"):
        strategy.tell(-1.0)
    assert np.array_equal(make_points(strategy, score, 40), make_points(other, score, 40))


def test_no_files_and_no_words(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cma_signals.in").write_text('{"timeout": 0}')  # pycma would obey it
    make_points(make(entry), score, 60)
    assert os.listdir(tmp_path) == ["cma_signals.in"]
    assert capfd.readouterr() == ("", "")
