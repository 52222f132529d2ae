"""Worker processes of this machine that may hang or die without taking the run with them.

A worker says which item of its job it is at; one that dies, or stays at an item for longer than the
limit, is replaced, and its job comes back with the name of that item and the reason.
"""

import collections
import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Generic, Literal, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Report = Callable[[str], None]


@dataclass(frozen=True)
class Lost(Generic[Job]):
    """A job whose worker died or hung.

    Attributes:
        job: what it was doing.
        item: the item it was at; None if it had not begun one.
        reason: how it ended.
        story: the same in words.
    """

    job: Job
    item: str | None
    reason: Literal["crash", "timeout"]
    story: str


@dataclass
class _Worker(Generic[Job]):
    process: BaseProcess
    pipe: Connection
    job: Job | None = None
    item: str | None = None
    since: float = field(default_factory=time.monotonic)


class LocalPool(Generic[Job, Result]):
    """Run `function(job, report)` for each job in spawned processes.

    Args:
        function: importable by name; calls `report(item)` before each item of its job.
        workers: processes.
        item_seconds: time that one item may take.

    An exception that `function` raises is raised again where the results are read.
    """

    def __init__(self, function: Callable[[Job, Report], Result], workers: int, item_seconds: float) -> None:
        self.function, self.workers, self.item_seconds = function, workers, item_seconds
        self._jobs: collections.deque[Job] = collections.deque()
        self._working: list[_Worker[Job]] = []

    def submit(self, job: Job) -> None:
        """Queue a job; also while results are being read."""
        self._jobs.append(job)

    def results(self, tick: Callable[[], None]) -> Iterator[Result | Lost[Job]]:
        """Yield what comes back, as it does, until all jobs are done; `tick` is called now and then and may raise."""
        try:
            while self._jobs or any(worker.job is not None for worker in self._working):
                self._hand_out()
                tick()
                for worker in list(self._working):
                    if worker.job is not None and time.monotonic() - worker.since > self.item_seconds:
                        outcome = self._lose(worker, "timeout", f"it took longer than {self.item_seconds:g} s")
                        if outcome is not None:
                            yield outcome
                for connection in wait([worker.pipe for worker in self._working], timeout=0.25):
                    worker = next(worker for worker in self._working if worker.pipe is connection)
                    received = self._receive(worker)
                    if received is not None:
                        yield received
        finally:
            for worker in self._working:
                _end(worker)
            self._working.clear()

    def _hand_out(self) -> None:
        for worker in self._working:
            if worker.job is None and self._jobs:
                self._give(worker)
        while self._jobs and len(self._working) < self.workers:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, self.function, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            self._working.append(_Worker(process, ours))
            self._give(self._working[-1])

    def _give(self, worker: _Worker[Job]) -> None:
        worker.job, worker.item, worker.since = self._jobs.popleft(), None, time.monotonic()
        with contextlib.suppress(OSError):  # it died just now; reading from it will say so
            worker.pipe.send(worker.job)

    def _receive(self, worker: _Worker[Job]) -> Result | Lost[Job] | None:
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(timeout=5)
            return self._lose(worker, "crash", f"its process ended with code {worker.process.exitcode}")
        if kind == "item":
            worker.item, worker.since = value, time.monotonic()
            return None
        worker.job = None
        if kind == "error":
            raise value
        result: Result = value
        return result

    def _lose(self, worker: _Worker[Job], reason: Literal["crash", "timeout"], story: str) -> Lost[Job] | None:
        self._working.remove(worker)
        _end(worker)
        return None if worker.job is None else Lost(worker.job, worker.item, reason, story)


def _end(worker: _Worker[Job]) -> None:
    worker.process.kill()
    worker.process.join(timeout=5)
    worker.pipe.close()


def _serve(pipe: Connection, function: Callable[[Job, Report], Result], parent: int) -> None:
    """The life of a worker: it ends when its parent does, and leaves signals to it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):  # sent to the whole group, they are the parent's business
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        # PR_SET_PDEATHSIG: after a kill -9 of the parent no orphan may go on writing.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        return
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            result = function(job, lambda item: pipe.send(("item", item)))
        except Exception as error:
            pipe.send(("error", error))
        else:
            pipe.send(("result", result))
