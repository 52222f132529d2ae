"""Workers on the machines of a Ray cluster, or on this one under a Ray of its own.

Ray finds machines with free processors, sends jobs there and notices when a machine is gone. On each processor
sits an actor with one worker process of `_worker.py`. So a decoder that crashes, hangs or takes too much memory
costs one item there as here, not the actor.

All nodes need elo installed, in the same version and under the same Python, and a file system that they share with
this process: paths in jobs (videos to read, shards to write) must mean the same file on each of them. The cluster is
the one that RAY_ADDRESS names. Without it a Ray of our own is started, which listens on the loopback interface only,
demands a token, and ends with the results. It shows its actors all GPUs, and so does another, unless it is old or was
started with RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=1.
"""

import collections
import contextlib
import importlib.util
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic

from elo_cli.core.errors import EloError, MachineError
from elo_cli.executors import Job, Limits, Lost, Result, Work, WorkerError
from elo_cli.executors._cluster import connected, last_line
from elo_cli.executors._worker import Raised, Worker, listen, name_of

ACTORS_A_JOB = 3  # a job is given up when so many actors have died at it
_FAILED_STARTS = 3  # actors that die one after the other before any is up
_SECONDS_A_TICK = 0.25


class Seat(Generic[Job, Result]):
    """The actor: one worker process, and a new one when that is lost.

    Args:
        function: module and name of what the worker runs.
        limits: what it may use up.
    """

    def __init__(self, function: tuple[str, str], limits: Limits) -> None:
        # Each process that multiprocessing spawns first imports the program of its parent. Here that is
        # Ray's own, which costs half a second and 60 MB; without a file it has nothing to import.
        vars(sys.modules["__main__"]).pop("__file__", None)
        self._function, self._limits = function, limits
        self._worker: Worker[Job, Result] = Worker(function, limits)

    def up(self) -> bool:
        """Answer as soon as this actor exists."""
        return True

    def run(self, job: Job) -> Result | Lost[Job] | Raised:
        """Do a job, and return what became of it."""
        if not self._worker.alive:
            self._worker = Worker(self._function, self._limits)
        self._worker.take(job)
        while True:
            for outcome in listen([self._worker], 1.0):
                return outcome


@dataclass
class _Task(Generic[Job]):
    job: Job
    deaths: int = 0


class RayPool(Generic[Job, Result]):
    """An `Executor` over Ray actors.

    A job whose actor or node dies is given to another actor, three times at most; then it is `Lost`, as a crash.

    Args:
        function: what is run for each job; found by its name, on each node.
        workers: actors, each on one processor; None for one for each processor of the cluster.
        limits: what the worker process of each may use up.

    Raises:
        MachineError: Ray is not installed.
    """

    def __init__(self, function: Work[Job, Result], workers: int | None, limits: Limits) -> None:
        if importlib.util.find_spec("ray") is None:
            raise MachineError("Ray is not installed.", hint="pip install 'elo-cli[ray]', or choose the engine local.")
        self.workers, self.limits = workers, limits
        self._function = name_of(function)
        self._tasks: collections.deque[_Task[Job]] = collections.deque()
        self._staff: _Staff[Job, Result] | None = None

    def submit(self, job: Job) -> None:
        """Hand in a job, also while results are being read."""
        self._tasks.append(_Task(job))

    def at_work(self) -> list[tuple[Job, str | None, str | None]]:
        """List the jobs under way; where in them an actor is, is not known here."""
        return [] if self._staff is None else [(task.job, None, None) for task in self._staff.tasks()]

    def results(self, tick: Callable[[], None], jobs: Iterable[Job] = ()) -> Iterator[Result | Lost[Job]]:
        """Yield what comes back until all jobs are done; see `Executor.results`.

        Raises:
            MachineError: no cluster answers or it goes away, Ray cannot be started, or no actor comes up within `start_seconds`.
        """
        with connected(self.workers) as ray:
            size = self.workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            staff: _Staff[Job, Result] = _Staff(ray, self._function, self.limits, size)
            self._staff = staff
            source = iter(jobs)
            try:
                while staff.hand_out(self._tasks, source):
                    tick()
                    for outcome in staff.listen(self._tasks):
                        if isinstance(outcome, Raised):
                            raise outcome.error
                        yield outcome
            except (ray.exceptions.RayError, ConnectionError) as error:
                raise MachineError(f"The Ray cluster is gone: {last_line(error)}.", hint="`ray status` tells.") from error
            finally:
                staff.dismiss()
                self._staff = None


Pool = RayPool


class _Staff(Generic[Job, Result]):
    """The actors of a pool, and which job each is at.

    Args:
        ray: Ray's module.
        function: module and name of what they run.
        limits: what the worker process of each may use up.
        size: actors at most.
    """

    def __init__(self, ray: Any, function: tuple[str, str], limits: Limits, size: int) -> None:
        self._ray, self._size, self._limits = ray, size, limits
        # By itself Ray would start a dead actor again and repeat its job.
        options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
        actor = ray.remote(**options)(Seat)
        self._hire: Callable[[], Any] = lambda: actor.remote(function, limits)
        self._coming: dict[Any, Any] = {}  # the answer that is awaited → the actor
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, _Task[Job]]] = {}
        self._failed_starts = 0
        self._since = time.monotonic()

    def hand_out(self, tasks: collections.deque[_Task[Job]], source: Iterator[Job]) -> bool:
        """Give jobs to free actors and hire as many more as have jobs waiting; say whether any work is left."""
        while True:
            wanted = len(self._coming) + 1  # each actor that is coming will take a job, and a new one another
            tasks.extend(map(_Task, itertools.islice(source, max(0, wanted - len(tasks)))))
            if tasks and self._idle:
                actor, task = self._idle.pop(), tasks.popleft()
                self._busy[actor.run.remote(task.job)] = (actor, task)
            elif len(tasks) >= wanted and len(self._coming) + len(self._busy) < self._size:
                actor = self._hire()
                self._coming[actor.up.remote()] = actor
            else:
                return bool(tasks or self._busy)

    def listen(self, tasks: collections.deque[_Task[Job]]) -> list[Result | Lost[Job] | Raised]:
        """Wait a moment; return what became of jobs. One whose actor died goes back into `tasks`.

        Raises:
            MachineError: actors die before they are up, or none is up after `Limits.start_seconds`.
        """
        outcomes: list[Result | Lost[Job] | Raised] = []
        done, _ = self._ray.wait([*self._coming, *self._busy], timeout=_SECONDS_A_TICK)
        for reference in done:
            if reference in self._coming:
                self._welcome(self._coming.pop(reference), reference)
                continue
            actor, task = self._busy.pop(reference)
            try:
                outcomes.append(self._ray.get(reference))
                self._idle.append(actor)
            except self._ray.exceptions.RayTaskError as error:  # of the actor or on Ray's way here, not of the function
                cause = getattr(error, "cause", None)
                told = WorkerError(type(error).__name__, last_line(error), str(error))
                outcomes.append(Raised(cause if isinstance(cause, EloError) else told))
            except self._ray.exceptions.RayError as error:
                self._ray.kill(actor)
                task.deaths += 1
                if task.deaths < ACTORS_A_JOB:
                    tasks.appendleft(task)
                else:
                    story = f"{task.deaths} Ray actors died at it, at last: {last_line(error)}"
                    outcomes.append(Lost(task.job, None, None, "crash", story))
        if self._idle or self._busy:
            self._since = time.monotonic()
        elif time.monotonic() - self._since > self._limits.start_seconds:
            raise MachineError(
                f"No Ray worker came up within {self._limits.start_seconds:g} s.",
                hint="Are processors of the cluster free? `ray status` tells.",
            )
        return outcomes

    def tasks(self) -> list[_Task[Job]]:
        """List the tasks that actors are at."""
        return [task for _, task in self._busy.values()]

    def dismiss(self) -> None:
        """End all actors, and with them their worker processes."""
        for actor in [*self._coming.values(), *self._idle, *(actor for actor, _ in self._busy.values())]:
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.kill(actor)

    def _welcome(self, actor: Any, reference: Any) -> None:
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= _FAILED_STARTS:
                raise MachineError(
                    f"Ray workers die before they begin: {last_line(error)}.",
                    hint="Is elo installed on every node, in this version?",
                ) from error
        else:
            self._failed_starts = 0
            self._idle.append(actor)
