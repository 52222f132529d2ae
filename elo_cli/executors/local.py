"""Worker processes of this machine that may hang or die without taking the run with them."""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Generic

from elo_cli.executors import Job, Limits, Lost, Needs, Result, Work
from elo_cli.executors._worker import Raised, Worker, listen, name_of
from elo_cli.run.environment import processors

_SECONDS_A_TICK = 0.25


class LocalPool(Generic[Job, Result]):
    """An `Executor` over spawned processes.

    All start at once, when there are jobs for them, and end with `results`. They ignore the signals that stop
    a run, and end with their parent even after a kill -9 of it (on Linux). What they write to stdout and stderr,
    FFmpeg's and OpenCV's messages too, is kept from the terminal; the last line comes with the loss of a job.

    Args:
        function: what is run for each job; found by its name.
        workers: processes; None for one for each processor.
        limits: what each may use up.
        needs: nothing is set aside here.
    """

    def __init__(self, function: Work[Job, Result], workers: int | None, limits: Limits, needs: Needs | None = None) -> None:
        self.workers, self.limits = workers or processors(), limits
        self._function = name_of(function)
        self._jobs: collections.deque[Job] = collections.deque()
        self._working: list[Worker[Job, Result]] = []

    def submit(self, job: Job) -> None:
        """Hand in a job, also while results are being read."""
        self._jobs.append(job)

    def at_work(self) -> list[tuple[Job, str | None, str | None]]:
        """List the jobs under way, each with the item and the stage that it is at."""
        return [(worker.job, worker.item, worker.stage) for worker in self._working if worker.job is not None]

    def results(self, tick: Callable[[], None], jobs: Iterable[Job] = ()) -> Iterator[Result | Lost[Job]]:
        """Yield what comes back until all jobs are done; see `Executor.results`."""
        source = iter(jobs)
        try:
            while self._hand_out(source):
                tick()
                outcomes = listen(self._working, _SECONDS_A_TICK)
                self._working = [worker for worker in self._working if worker.alive]
                self._hand_out(source)  # no worker waits for whoever reads the results
                for outcome in outcomes:
                    if isinstance(outcome, Raised):
                        raise outcome.error
                    yield outcome
        finally:
            for worker in self._working:
                worker.end()
            self._working.clear()

    def _hand_out(self, source: Iterator[Job]) -> bool:
        """Give each free worker a job and start workers that are missing; say whether any is at work."""
        idle = [worker for worker in self._working if worker.job is None]
        while idle or len(self._working) < self.workers:
            if not self._jobs:
                self._jobs.extend(itertools.islice(source, 1))
            if not self._jobs:
                break
            if not idle:
                idle.append(Worker(self._function, self.limits))
                self._working += idle
            idle.pop().take(self._jobs.popleft())
        return any(worker.job is not None for worker in self._working)


Pool = LocalPool
