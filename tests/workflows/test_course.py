"""The course of a search: the same journal in whatever order measurements come back, and the best go on."""

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.strategies import SHELF
from elo_cli.workflows.course import Course, Measurement, score_of
from elo_cli.workflows.rungs import Rungs
from tests.support.searching import PROPOSING

NAMES = PROPOSING


def make(name: str, rounds: int, rungs: Rungs, population: int = 4) -> Course:
    strategy = SHELF.take(name).Strategy(5, seed=3, population=population)
    return Course(strategy, rounds * population, rungs)


def row(course: Course, what: Measurement) -> dict[str, Any]:
    """Measure: nearer to a target is better, longer training is better, and every seventh candidate fails."""
    point = course.points[what.number]
    score = None if what.number % 7 == 5 else -float(np.sum((point - 0.3) ** 2)) + 0.1 * what.rung
    return {"number": what.number, "rung": what.rung, "repeat": what.repeat, "score": score, "point": point.tolist()}


def walk(course: Course, workers: int, order: random.Random) -> list[dict[str, Any]]:
    """Run a course to its end with so many workers, of which any may be the next to be ready."""
    under_way: list[Measurement] = []
    rows: list[dict[str, Any]] = []
    while True:
        while len(under_way) < workers and (what := course.next()) is not None:
            under_way.append(what)
        if not under_way:
            return rows
        what = under_way.pop(order.randrange(len(under_way)))
        rows += course.put(what, row(course, what))


@pytest.mark.parametrize("rungs", [Rungs((9,), 3), Rungs((1, 3, 9), 3)], ids=["one rung", "three rungs"])
@pytest.mark.parametrize("name", NAMES)
def test_the_journal_is_the_same_at_any_number_of_workers_whoever_is_quicker(name: str, rungs: Rungs) -> None:
    journals = [
        walk(make(name, 6, rungs), workers, random.Random(seed)) for workers, seed in itertools.product((1, 2, 8), range(4))
    ]
    assert all(journal == journals[0] for journal in journals[1:])
    assert [(one["number"], one["rung"]) for one in journals[0] if one["rung"] == 0] == [(number, 0) for number in range(24)]


def test_of_each_round_the_best_go_on_and_come_after_those_they_beat() -> None:
    journal = walk(make("random", 3, Rungs((1, 3, 9), 2), population=8), 1, random.Random(0))
    for turn in range(3):
        rows = [one for one in journal if one["number"] // 8 == turn]
        at = [[one for one in rows if one["rung"] == rung] for rung in range(3)]
        assert [len(those) for those in at] == [8, 4, 2]
        assert rows == [*at[0], *at[1], *at[2]]
        for below, above in itertools.pairwise(at):
            best = sorted(below, key=score_of, reverse=True)[: len(above)]
            assert {one["number"] for one in best} == {one["number"] for one in above}


def test_what_failed_never_goes_on_and_a_round_that_fails_ends() -> None:
    course = make("cma-es", 3, Rungs((1, 2), 2))
    rows = []
    while (what := course.next()) is not None:
        rows += course.put(what, {"number": what.number, "rung": what.rung, "score": None})
    assert [(one["number"], one["rung"]) for one in rows] == [(number, 0) for number in range(12)]


def test_strategies_hear_that_who_got_further_is_better() -> None:
    rungs = Rungs((1, 2, 4), 2)
    told = [rungs.told(rung, score) for rung, score in ((0, -math.inf), (0, -5.0), (0, 3.0), (1, -9.0), (1, -0.1), (2, -40.0))]
    assert told == sorted(told) and told[0] == -math.inf
    assert Rungs((4,), 2).told(0, -0.123) == -0.123, "with one rung it is the score itself"


def test_a_candidate_is_over_when_it_is_not_measured_again() -> None:
    course = make("random", 1, Rungs((1, 2), 4))
    for _ in range(4):
        what = course.next()
        assert what is not None and not course.is_over(what.number)
        course.put(what, {"number": what.number, "rung": 0, "score": float(what.number)})
    assert [course.is_over(number) for number in range(4)] == [True, True, True, False]
    what = course.next()
    assert what == Measurement(3, 1)
    course.put(what, {"number": 3, "rung": 1, "score": 0.0})
    assert course.is_over(3) and course.next() is None


@given(steps=st.integers(1, 20_000), rungs=st.integers(1, 6), reduction=st.integers(2, 5), candidates=st.integers(2, 40))
def test_rungs_rise_to_the_whole_training_and_cost_what_they_say(steps: int, rungs: int, reduction: int, candidates: int) -> None:
    ladder = Rungs.of(steps, rungs, reduction)
    assert ladder.steps[-1] == steps and list(ladder.steps) == sorted(set(ladder.steps)) and ladder.steps[0] >= 1
    assert len(ladder.steps) <= rungs
    alive, trained, before = list(range(candidates)), 0, 0
    for length in ladder.steps:
        trained += len(alive) * (length - before)
        before = length
        alive = [alive[place] for place in ladder.survivors([float(-number) for number in alive])]
    assert ladder.cost(candidates) == trained


@pytest.mark.parametrize("rungs", [Rungs((9,), 3), Rungs((1, 3, 9), 2)], ids=["one rung", "three rungs"])
def test_the_best_are_measured_again_at_the_end_whoever_is_quicker(rungs: Rungs) -> None:
    journals = []
    for workers in (1, 3, 8):
        strategy = SHELF.take("random").Strategy(5, seed=3, population=8)
        course = Course(strategy, 16, rungs, finalists=2, repeats=3)
        journals.append(walk(course, workers, random.Random(workers)))
        assert course.next() is None
    assert journals[0] == journals[1] == journals[2]
    search, finals = journals[0][:-6], journals[0][-6:]
    assert not any(one["repeat"] for one in search)
    whole = sorted((one for one in search if one["rung"] == len(rungs.steps) - 1), key=score_of, reverse=True)
    assert [(one["number"], one["repeat"]) for one in finals] == [
        (one["number"], repeat) for one in whole[:2] for repeat in (1, 2, 3)
    ]
    trained = sum(rungs.steps[one["rung"]] - (rungs.steps[one["rung"] - 1] if one["rung"] and not one["repeat"] else 0)
                  for one in journals[0])  # fmt: skip
    assert trained <= course.steps


def test_with_one_rung_it_is_the_paper() -> None:
    assert Rungs.of(10_000, 1, 3) == Rungs((10_000,), 3)
    assert Rungs((10_000,), 3).cost(16) == 160_000
    assert Rungs.of(10_000, 3, 4).steps == (625, 2500, 10_000)
