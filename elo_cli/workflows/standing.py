"""How a search stands: its rounds in figures, how fast it goes, and what those who watch it are shown of it."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from elo_cli.workflows.course import Course, Row, score_of
from elo_cli.workflows.events import Table, Watch

_LAST = 5  # rounds that are listed


@dataclass(frozen=True)
class Round:
    """One round summed up, over those of its candidates that trained longest.

    Attributes:
        round: its number, from 0.
        measured: candidates with a row.
        failed: rows without a score.
        best: the value of the best score; None without one. So for the others.
        mean: of the values.
        spread: their standard deviation, as of a whole population.
    """

    round: int
    measured: int
    failed: int
    best: float | None
    mean: float | None
    spread: float | None

    @classmethod
    def of(cls, rows: Sequence[Row], turn: int) -> "Round":
        """Sum up the rows of one round; none of them is a finalist's."""
        top = max((row["rung"] for row in rows if row["value"] is not None), default=0)
        values = [row["value"] for row in rows if row["rung"] == top and row["value"] is not None]
        good = [row for row in rows if row["rung"] == top and row["score"] is not None]
        return cls(
            round=turn,
            measured=len({row["number"] for row in rows}),
            failed=sum(row["score"] is None for row in rows),
            best=max(good, key=score_of)["value"] if good else None,
            mean=statistics.fmean(values) if values else None,
            spread=statistics.pstdev(values) if values else None,
        )

    def figures(self) -> dict[str, str]:
        """Return best, mean and spread as text."""
        numbers = {"best": self.best, "mean": self.mean, "spread": self.spread}
        return {name: "-" if value is None else f"{value:.4f}" for name, value in numbers.items()}


def sum_up(rows: Sequence[Row]) -> list[Round]:
    """Sum up each round of a journal."""
    turns: dict[int, list[Row]] = {}
    for row in rows:
        if not row["repeat"]:
            turns.setdefault(row["round"], []).append(row)
    return [Round.of(turns[turn], turn) for turn in sorted(turns)]


def rounds_table(title: str, rounds: Sequence[Round], note: str = "") -> Table:
    """List the last rounds."""
    lines = [(str(one.round), str(one.measured), str(one.failed), *one.figures().values()) for one in rounds[-_LAST:]]
    return Table(title, ("round", "measured", "failed", "best", "mean", "spread"), lines, note)


def last_of(rounds: Sequence[Round]) -> str:
    """Say that not all rounds are listed, if so."""
    return f"the last {_LAST} of {len(rounds)} rounds" if len(rounds) > _LAST else ""


def candidates_an_hour(steps_a_second: float, total: int, candidates: int) -> float:
    """Return how fast candidates come, each counted as an equal share of all the steps."""
    return 3600 * steps_a_second * candidates / total


class Standing:
    """Follows a search that is under way, and tells its watch.

    Args:
        course: of the search; it is only looked at.
        measure: the fitness that guides it.
        watch: is told how far the search is.
        stage: what it is called there.
        clock: seconds of a steady clock.
    """

    def __init__(
        self, course: Course, measure: str, watch: Watch, stage: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._course, self._measure, self._watch, self._stage, self._clock = course, measure, watch, stage, clock
        self._began = clock()
        self._done = self._new = 0  # steps; those of them that this start did
        self._rows: dict[int, list[Row]] = {}  # by round
        self._rounds: dict[int, Round] = {}
        self._fresh: set[int] = set()  # rounds with a row that was not there before
        self._best: Row | None = None
        self._over = 0  # rounds

    def count(self, steps: int, *, new: bool) -> None:
        """Count the steps of a measurement that came back; `new` is none that was recorded before this start."""
        self._done += steps
        self._new += steps if new else 0

    def take(self, row: Row, *, new: bool) -> None:
        """Take a row of the journal in, in order."""
        if row["score"] is not None and (self._best is None or _merit(row) > _merit(self._best)):
            self._best = row
        if row["repeat"]:
            return
        turn = row["round"]
        mine = self._rows.setdefault(turn, [])
        mine.append(row)
        self._rounds[turn] = Round.of(mine, turn)
        if new:
            self._fresh.add(turn)

    def over(self) -> list[Round]:
        """Return the rounds that ended since this was asked last; the watch hears of those that have a new row."""
        ended, size = [], self._course.strategy.population
        while (turn := self._over) < self._course.rounds:
            if not all(self._course.is_over(number) for number in range(turn * size, (turn + 1) * size)):
                break
            self._over += 1
            ended.append(self._rounds[turn])
            if turn in self._fresh:
                self._watch.show(self._stage, self._table(0), self._line(self._rounds[turn]))
        return ended

    def show(self, under_way: int) -> None:
        """Tell the watch how far it is, with the steps of the measurements that are under way."""
        figures = {} if self._best is None else {"best": self._best["value"]}
        self._watch.advance(self._stage, self._done + under_way, figures)
        if self._rounds:
            self._watch.show(self._stage, self._table(under_way))

    def _hourly(self, under_way: int) -> str:
        """Say how fast this start is; empty before it has measured anything."""
        seconds = self._clock() - self._began
        if not self._new or seconds <= 0:
            return ""
        hourly = candidates_an_hour((self._new + under_way) / seconds, self._course.steps, self._course.candidates)
        return f"{hourly:.1f} candidates an hour"

    def _table(self, under_way: int) -> Table:
        known = sum(one.measured for one in self._rounds.values())
        note = [f"{known} of {self._course.candidates} candidates", self._hourly(under_way)]
        return rounds_table(f"{self._measure} by round", list(self._rounds.values()), ", ".join(filter(None, note)))

    def _line(self, one: Round) -> str:
        figures = [f"{name} {text}" for name, text in one.figures().items()]
        failed = [f"{one.failed} failed"] if one.failed else []
        return f"round {one.round} is over: {', '.join(filter(None, [*figures, *failed, self._hourly(0)]))}"


def _merit(row: Row) -> tuple[int, float]:
    """Return what makes one candidate better than another: whoever trained longer is."""
    return row["rung"], score_of(row)
