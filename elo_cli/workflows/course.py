"""The course of a search: which measurement comes next, and what is told to whom; nothing is trained here.

Measurements may come back in any order, from any number of workers. They are committed in one order: round by
round, rung by rung, candidate by candidate. So journals are the same whoever was quicker.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from elo_cli.strategies import Strategy
from elo_cli.workflows.rungs import Rungs

Row = dict[str, Any]


@dataclass(frozen=True, order=True)
class Measurement:
    """One candidate measured at one rung.

    Attributes:
        number: of the candidate, from 0.
        rung: from 0.
        repeat: 0 for the search itself; finalists are measured again under other seeds, 1, 2, …
    """

    number: int
    rung: int
    repeat: int = 0

    @classmethod
    def of(cls, row: Row) -> "Measurement":
        """Return what a row of the journal is of."""
        return cls(row["number"], row["rung"], row["repeat"])


class Course:
    """What is asked, under way, known and committed.

    Args:
        strategy: fresh.
        candidates: how many there will be, whole rounds of the strategy's population.
        rungs: how long they train.
        finalists: so many of the best are measured again at the end.
        repeats: how often.
    """

    def __init__(self, strategy: Strategy, candidates: int, rungs: Rungs, finalists: int = 0, repeats: int = 1) -> None:
        self.strategy, self.candidates, self.rungs = strategy, candidates, rungs
        self.finalists, self.repeats = finalists, repeats
        self.points: list[np.ndarray] = []
        self._waiting: list[Measurement] = []  # promoted, not yet taken
        self._known: dict[Measurement, Row] = {}
        self._places: dict[tuple[int, int], list[int]] = {}  # (round, rung) → numbers of the candidates that reach it
        self._final: dict[int, float] = {}  # what the strategy is told of a candidate
        self._told = 0
        self._order = self._commits()

    def next(self) -> Measurement | None:
        """Take the next measurement that can begin; None if others must come back first, or none is left."""
        if self._waiting:
            return self._waiting.pop(0)
        if len(self.points) == self.candidates:
            return None
        point = self.strategy.ask()
        if point is None:
            return None
        number = len(self.points)
        self.points.append(point)
        self._places.setdefault((self.round_of(number), 0), []).append(number)
        return Measurement(number, 0)

    def put(self, what: Measurement, row: Row) -> list[Row]:
        """Take what a measurement found; return the rows that are now to be committed, in order.

        Args:
            row: has the key `score`, None for a candidate that failed.
        """
        self._known[what] = row
        if what.repeat == 0:
            if len(self.rungs.steps) == 1:  # nobody is compared, so nobody waits for others
                self._final[what.number] = score_of(row)
            else:
                self._compare(self.round_of(what.number), what.rung)
            while self._told in self._final:
                self.strategy.tell(self._final[self._told])
                self._told += 1
            if self._told == self.candidates:
                self._waiting += self._finals()
        rows = []
        while (ready := next(self._order)) is not None:
            rows.append(ready)
        return rows

    def round_of(self, number: int) -> int:
        """Return the round of a candidate."""
        return number // self.strategy.population

    def is_over(self, number: int) -> bool:
        """Say whether a candidate will not be measured again."""
        return number in self._final

    @property
    def rounds(self) -> int:
        """How often the strategy is asked for a whole population."""
        return self.candidates // self.strategy.population

    @property
    def steps(self) -> int:
        """The steps that all of it trains, if nothing fails."""
        again = self.finalists * self.repeats
        return self.rounds * self.rungs.cost(self.strategy.population) + again * self.rungs.steps[-1]

    def _finals(self) -> list[Measurement]:
        """List the measurements of the finalists, the best first: of those that were trained to the end."""
        top = len(self.rungs.steps) - 1
        whole = [row for what, row in self._known.items() if what.rung == top and not what.repeat and row["score"] is not None]
        best = sorted(whole, key=lambda row: (-score_of(row), row["number"]))[: self.finalists]
        return [Measurement(row["number"], top, repeat) for row in best for repeat in range(1, self.repeats + 1)]

    def _compare(self, turn: int, rung: int) -> None:
        """Once all of a round are known at a rung, send the best on; the others are told."""
        numbers = self._places[turn, rung]
        whole = rung > 0 or len(numbers) == self.strategy.population
        if not whole or any(Measurement(number, rung) not in self._known for number in numbers):
            return
        scores = [score_of(self._known[Measurement(number, rung)]) for number in numbers]
        above = rung + 1 < len(self.rungs.steps)
        going = [numbers[place] for place in self.rungs.survivors(scores)] if above else []
        if going:
            self._places[turn, rung + 1] = going
            self._waiting += [Measurement(number, rung + 1) for number in going]
        for number, score in zip(numbers, scores, strict=True):
            if number not in going:
                self._final[number] = self.rungs.told(rung, score)

    def _commits(self) -> Iterator[Row | None]:
        """Yield each row when its turn has come, and None while it has not."""
        for turn in range(self.rounds):
            for rung in range(len(self.rungs.steps)):
                place = 0
                # Rung 0 has the whole round, asked for or not; a higher one exists once somebody is sent there.
                size = self.strategy.population if rung == 0 else len(self._places.get((turn, rung), ()))
                while place < size:
                    numbers = self._places.get((turn, rung), [])
                    known = Measurement(numbers[place], rung) if place < len(numbers) else None
                    if known not in self._known:
                        yield None
                        continue
                    assert known is not None
                    yield self._known[known]
                    place += 1
        for known in self._finals():
            while known not in self._known:
                yield None
            yield self._known[known]
        while True:
            yield None


def score_of(row: Row) -> float:
    """Return the score of a row, larger is better: minus infinity for a candidate that failed."""
    return -math.inf if row["score"] is None else float(row["score"])
