"""A search under way: candidates go out to workers, and rows come in, into the journal.

Only the process that drives the search writes the journal, in an order that does not depend on who was quicker.
"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from elo_cli.core.errors import DataError
from elo_cli.core.seeds import derive
from elo_cli.core.settings import Settings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.executors import Executor, Limits, Lost, make_executor
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.workflows.candidate import Candidate, Evaluation, evaluate
from elo_cli.workflows.course import Course, Measurement, Row
from elo_cli.workflows.events import Watch
from elo_cli.workflows.places import Places
from elo_cli.workflows.scalars import Scalars, of_round, of_row, open_scalars
from elo_cli.workflows.standing import Standing


class Evaluating:
    """Brings a search to its end.

    Args:
        settings: all settings; the threads are those of one worker.
        data: the preprocessed set.
        run: the search's directory, which is owned.
        terms: coordinates of the search.
        course: fresh.
        watch: is told how far it is.
        stage: what it is called there.
    """

    def __init__(
        self,
        settings: Settings,
        data: Path,
        run: RunDirectory,
        terms: Sequence[Term],
        course: Course,
        watch: Watch,
        stage: str = "searching",
    ) -> None:
        self.settings, self.data, self.folder = settings, data.absolute(), run.candidates.absolute()
        self.terms, self.course, self.watch, self.stage = terms, course, watch, stage
        self.rows: list[Row] = []
        self._journal, self._log, self._run = Journal(run.evaluations), Journal(run.log), run
        self._recorded = {Measurement.of(row): row for row in self._journal.read()}
        self._under_way: dict[Measurement, tuple[str, float]] = {}  # the slot, and when it began
        self._retried: set[Measurement] = set()
        self._standing = Standing(course, settings.fitness.measure, watch, stage)
        self._times = {Measurement.of(line): line["time"] for line in self._log.read() if "rung" in line and "seconds" in line}
        self._scalars = Scalars(run.tensorboard, None)

    def run(self, places: Places) -> list[Row]:
        """Evaluate all candidates; return the rows in the order of the journal.

        Args:
            places: where they train.

        Raises:
            DataError: the journal holds other losses than this search proposes.
        """
        with open_scalars(self._run.tensorboard, self.watch) as self._scalars:
            self._evaluate(places)
        self.watch.finish(self.stage)
        shutil.rmtree(self.folder, ignore_errors=True)  # everything of the candidates is in the journal
        return self.rows

    def _evaluate(self, places: Places) -> None:
        given, course, slots = self.settings.search, self.course, list(places.devices)
        if self._recorded:
            known = len({what.number for what in self._recorded})
            self.watch.note(
                f"{known} of {course.candidates} candidates are recorded in {self._run.root}; the search goes on from there."
            )
        self.watch.start(self.stage, course.steps, "step")
        self._log.append(
            {
                "event": "search",
                "time": time.time(),
                "candidates": course.candidates,
                "population": course.strategy.population,
                "steps": list(course.rungs.steps),
                "total": course.steps,
                "workers": len(slots),
            }
        )
        limits = Limits(item_seconds=given.stalled_seconds, hosts=1)  # what went down is told here, and tried again
        pool: Executor[Candidate, tuple[Measurement, Evaluation]] = make_executor(
            given.engine, evaluate, len(slots), limits, places.needs
        )

        def hand_out() -> None:
            while slots and (what := self._next()) is not None:
                self._under_way[what] = slots.pop(), time.time()
                pool.submit(self._candidate(what))

        def tick() -> None:
            self._standing.show(sum(self._steps(job.what, item) for job, item, _ in pool.at_work()))
            self.watch.check()

        hand_out()
        for found in pool.results(tick):
            what, evaluation = (found.job.what, _broken_off(found)) if isinstance(found, Lost) else found
            if evaluation.failure and what not in self._retried:
                self._retry(what, evaluation)
                pool.submit(self._candidate(what))
                continue
            device, begun = self._under_way.pop(what)
            slots.append(device)
            now = self._times[what] = time.time()
            self._log.append({**vars(what), "device": device, "seconds": round(now - begun, 2), "time": now})
            self._put(what, self._row(what, evaluation))
            hand_out()

    def _next(self) -> Measurement | None:
        """Take the next measurement that is not recorded; recorded ones are put on the way."""
        while (what := self.course.next()) is not None:
            row = self._recorded.get(what)
            if row is None:
                return what
            if row["weights"] != self._weights(what).to_names():
                raise DataError(
                    f"{self._journal.path} holds other weights for candidate {what.number} than this search proposes.",
                    hint="Other versions of the libraries propose other losses; --fresh starts a new search.",
                )
            self._put(what, row)
        return None

    def _weights(self, what: Measurement) -> LossWeights:
        return LossWeights.from_vector(self.terms, self.course.points[what.number])

    def _candidate(self, what: Measurement) -> Candidate:
        machine = self.settings.machine.model_copy(update={"device": self._under_way[what][0]})
        seed = derive(self.settings.seed, "finalist", what.repeat) if what.repeat else self.settings.seed
        return Candidate(
            what,
            self._weights(what).to_names(),
            self.settings.model_copy(update={"machine": machine, "seed": seed}),
            self.data,
            self._home(what),
            self.course.rungs.steps[what.rung],
        )

    def _home(self, what: Measurement) -> Path:
        return self.folder / (f"{what.number:06d}" + (f"-again-{what.repeat}" if what.repeat else ""))

    def _retry(self, what: Measurement, evaluation: Evaluation) -> None:
        """Give a candidate that broke off its second chance; after a divergence it begins anew."""
        self._retried.add(what)
        self._log.append({**vars(what), "retried": evaluation.collapsed, "time": time.time()})
        self.watch.warn(f"Candidate {what.number} {evaluation.collapsed}. It is tried once more.")
        if evaluation.failure == "divergence":
            shutil.rmtree(self._home(what), ignore_errors=True)

    def _row(self, what: Measurement, evaluation: Evaluation) -> Row:
        weights = self._weights(what)
        return {
            "number": what.number,
            "round": self.course.round_of(what.number),
            "rung": what.rung,
            "repeat": what.repeat,
            "steps": self.course.rungs.steps[what.rung],
            "digest": weights.digest(),
            "measure": self.settings.fitness.measure,
            "value": evaluation.value,
            "score": evaluation.score,
            "collapsed": evaluation.collapsed,
            "weights": weights.to_names(),
            "details": evaluation.details,
        }

    def _put(self, what: Measurement, row: Row) -> None:
        """Take a row in, and write those whose turn has come."""
        steps = self.course.rungs.steps[what.rung] - self.course.rungs.before(what.rung, what.repeat)
        self._standing.count(steps, new=what not in self._recorded)
        for ready in self.course.put(what, row):
            committed = Measurement.of(ready)
            if new := committed not in self._recorded:
                self._journal.append(ready)
            self.rows.append(ready)
            self._standing.take(ready, new=new)
            self._scalars.add(ready["number"], of_row(ready), self._times.get(committed))
            if committed.repeat or self.course.is_over(committed.number):
                shutil.rmtree(self._home(committed), ignore_errors=True)
        for one in self._standing.over():
            self._scalars.add(one.round, of_round(one, self.course.strategy, self.terms), self._times.get(what))
        self._standing.show(0)

    def _steps(self, what: Measurement, item: str | None) -> int:
        """Return how many steps of this measurement a worker has done."""
        word, _, number = (item or "").partition(" ")
        if word != "step":
            return 0
        return int(number) - self.course.rungs.before(what.rung, what.repeat)


def _broken_off(lost: Lost[Candidate]) -> Evaluation:
    """Say what became of a candidate whose worker died, hung or had too little memory."""
    return Evaluation(None, None, f"broke off: {lost.story}", {}, failure=lost.reason)
