"""How a search stands, told while it is under way: the rounds in figures, a line for each that is over."""

import math
from typing import Any

from elo_cli.strategies.random import Strategy
from elo_cli.workflows.course import Course, Measurement
from elo_cli.workflows.events import Table, Unwatched
from elo_cli.workflows.rungs import Rungs
from elo_cli.workflows.standing import Round, Standing, rounds_table, sum_up


class Watcher(Unwatched):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.table = Table("", (), ())
        self.figures: dict[str, float] = {}

    def advance(self, stage: str, done: int, figures: Any = None) -> None:
        """Keep the figures."""
        self.figures = dict(figures)

    def show(self, stage: str, table: Table, line: str = "") -> None:
        """Keep the table and the line."""
        self.table = table
        self.lines += [line] if line else []


def row(number: int, value: float | None, rung: int = 0, repeat: int = 0) -> dict[str, Any]:
    """A row of a measure of which smaller is better, in rounds of three."""
    score = None if value is None else -value
    return {"number": number, "round": number // 3, "rung": rung, "repeat": repeat, "value": value, "score": score}


def test_a_round_is_summed_up_over_those_that_trained_longest() -> None:
    rows = [row(0, 9.0), row(1, 1.0), row(2, None), row(0, 5.0, rung=1), row(1, 3.0, rung=1), row(3, None)]
    rows.append(row(0, 0.5, rung=1, repeat=1))
    assert sum_up(rows) == [Round(0, 3, 1, 3.0, 4.0, 1.0), Round(1, 1, 1, None, None, None)]


def test_the_last_rounds_are_listed() -> None:
    table = rounds_table("Rounds", sum_up([row(number, 1.0) for number in range(24)]))
    assert [line[0] for line in table.rows] == ["3", "4", "5", "6", "7"]
    assert table.rows[0] == ("3", "3", "0", "1.0000", "1.0000", "0.0000")


def test_a_line_is_said_of_each_round_that_this_start_ended() -> None:
    now, watcher = [0.0], Watcher()
    course = Course(Strategy(2, seed=0, population=3), 9, Rungs((10,), 3))
    standing = Standing(course, "zipf", watcher, "searching", clock=lambda: now[0])
    ended = []
    for number in range(9):
        what = course.next()
        assert what == Measurement(number, 0)
        new = number >= 3  # the first round was recorded before
        now[0] += 60.0 if new else 0.0
        standing.count(10, new=new)
        [ready] = course.put(what, row(number, None if number == 4 else float(number)))
        standing.take(ready, new=new)
        ended += [one.round for one in standing.over()]
        standing.show(5 if number < 8 else 0)
    assert ended == [0, 1, 2]
    assert watcher.lines == [
        "round 1 is over: best 3.0000, mean 4.0000, spread 1.0000, 1 failed, 60.0 candidates an hour",
        f"round 2 is over: best 6.0000, mean 7.0000, spread {math.sqrt(2 / 3):.4f}, 60.0 candidates an hour",
    ]
    assert watcher.figures == {"best": 0.0}
    assert (watcher.table.title, watcher.table.note) == ("zipf by round", "9 of 9 candidates, 60.0 candidates an hour")
    assert [line[:3] for line in watcher.table.rows] == [("0", "3", "0"), ("1", "3", "1"), ("2", "3", "0")]


def test_with_rungs_a_round_is_over_when_its_best_are() -> None:
    course, watcher = Course(Strategy(2, seed=0, population=3), 3, Rungs((1, 3), 3)), Watcher()
    standing = Standing(course, "zipf", watcher, "searching")
    lines = []
    while (what := course.next()) is not None:
        for ready in course.put(what, row(what.number, 3.0 - what.number + 5 * what.rung, what.rung)):
            standing.take(ready, new=True)
        standing.over()
        standing.show(0)
        lines.append(len(watcher.lines))
    assert lines == [0, 0, 0, 1]
    assert watcher.lines == ["round 0 is over: best 6.0000, mean 6.0000, spread 0.0000"]
    assert watcher.figures == {"best": 6.0}
