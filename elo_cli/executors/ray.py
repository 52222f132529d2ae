"""Workers on the machines of a Ray cluster, or on this one under a Ray of its own.

Ray finds machines that have what a worker needs, sends jobs there and notices when a machine is gone. For each worker
there is an actor with one process of `_worker.py`. So a decoder that crashes, hangs or takes too much memory costs one
item there as here, not the actor.

All nodes need elo installed, in the same version and under the same Python, and a file system that they share with
this process: paths in jobs (videos to read, shards to write) must mean the same file on each of them. The cluster is
the one that RAY_ADDRESS names. Without it a Ray of our own is started, which listens on the loopback interface only,
demands a token, and ends with the results. An actor that asks for GPUs sees those that Ray gives it
(CUDA_VISIBLE_DEVICES), and with it its worker. One that asks for none sees all of them, unless the cluster is old or was
started with RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=1.
"""

import collections
import contextlib
import importlib.util
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic

from elo_cli.core.errors import EloError, MachineError
from elo_cli.executors import Job, Limits, Lost, Machine, Needs, Result, Work, WorkerError
from elo_cli.executors._cluster import connected, last_line
from elo_cli.executors._worker import Raised, Worker, listen, name_of

_A_PROCESSOR = Needs()
_FAILED_STARTS = 3  # actors that die one after the other before any is up
_SECONDS_A_TICK = 0.25
_SECONDS_A_LOOK = 2.0


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

    def where(self) -> tuple[str | None, str | None]:
        """Say which item of its job the worker is at, and the stage of it; beside `run`, in a thread of its own."""
        worker = self._worker
        return (None, None) if worker.job is None else (worker.item, worker.stage)

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
    at: tuple[str | None, str | None] = (None, None)  # item and stage, of a moment ago


class RayPool(Generic[Job, Result]):
    """An `Executor` over Ray actors.

    A job whose actor or node dies is given to another actor, until `Limits.hosts` have died; then it is `Lost`, as a crash.

    Args:
        function: what is run for each job; found by its name, on each node.
        workers: actors; None for as many as the cluster has room for.
        limits: what the worker process of each may use up.
        needs: what each asks of the cluster.

    Raises:
        MachineError: Ray is not installed.
    """

    def __init__(self, function: Work[Job, Result], workers: int | None, limits: Limits, needs: Needs = _A_PROCESSOR) -> None:
        _check_installed()
        self.workers, self.limits, self.needs = workers, limits, needs
        self._function = name_of(function)
        self._tasks: collections.deque[_Task[Job]] = collections.deque()
        self._staff: _Staff[Job, Result] | None = None

    def submit(self, job: Job) -> None:
        """Hand in a job, also while results are being read."""
        self._tasks.append(_Task(job))

    def at_work(self) -> list[tuple[Job, str | None, str | None]]:
        """List the jobs under way, each with the item and the stage that it was at a few seconds ago."""
        return [] if self._staff is None else [(task.job, *task.at) for task in self._staff.tasks()]

    def results(self, tick: Callable[[], None], jobs: Iterable[Job] = ()) -> Iterator[Result | Lost[Job]]:
        """Yield what comes back until all jobs are done; see `Executor.results`.

        Raises:
            MachineError: no cluster answers or it goes away, Ray cannot be started, or no actor comes up within `start_seconds`.
        """
        with connected(self.workers and math.ceil(self.workers * self.needs.cpus)) as ray:
            size = self.workers or max(1, sum(map(self.needs.fitting, _machines(ray))))
            staff: _Staff[Job, Result] = _Staff(ray, self._function, self.limits, self.needs, size)
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


def machines() -> list[Machine]:
    """List what the nodes of the cluster have, whether others use it now or not.

    Raises:
        MachineError: Ray is not installed, no cluster answers, or Ray cannot be started.
    """
    _check_installed()
    with connected(None) as ray:
        return _machines(ray)


def _check_installed() -> None:
    if importlib.util.find_spec("ray") is None:
        raise MachineError("Ray is not installed.", hint="pip install 'elo-cli[ray]', or choose the engine local.")


def _machines(ray: Any) -> list[Machine]:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Machine(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes]


class _Staff(Generic[Job, Result]):
    """The actors of a pool, and which job each is at.

    Args:
        ray: Ray's module.
        function: module and name of what they run.
        limits: what the worker process of each may use up.
        needs: what each asks for.
        size: actors at most.
    """

    def __init__(self, ray: Any, function: tuple[str, str], limits: Limits, needs: Needs, size: int) -> None:
        self._ray, self._size, self._limits, self._needs = ray, size, limits, needs
        asked = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "scheduling_strategy": "SPREAD"}
        # By itself Ray would start a dead actor again and repeat its job.
        actor = ray.remote(**asked, max_restarts=0, max_task_retries=0, max_concurrency=2)(Seat)
        self._hire: Callable[[], Any] = lambda: actor.remote(function, limits)
        self._coming: dict[Any, Any] = {}  # the answer that is awaited → the actor
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, _Task[Job]]] = {}
        self._asked: dict[Any, _Task[Job]] = {}  # the answer that is awaited → what an actor was asked about
        self._next_look = 0.0
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
        self._look()
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
                if task.deaths < self._limits.hosts:
                    task.at = (None, None)
                    tasks.appendleft(task)
                else:
                    many = f"{task.deaths} Ray actors died at it, at last" if task.deaths > 1 else "its Ray actor died"
                    story = f"{many}: {last_line(error)}"
                    outcomes.append(Lost(task.job, None, None, "crash", story))
        if self._idle or self._busy:
            self._since = time.monotonic()
        elif time.monotonic() - self._since > self._limits.start_seconds:
            raise MachineError(
                f"No Ray worker came up within {self._limits.start_seconds:g} s.",
                hint=f"Each asks for {self._needs}. Are they free? `ray status` tells.",
            )
        return outcomes

    def _look(self) -> None:
        """Ask the actors now and then how far they are, and take what they answered."""
        answered, _ = self._ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0) if self._asked else ([], [])
        for reference in answered:
            task = self._asked.pop(reference)
            with contextlib.suppress(self._ray.exceptions.RayError):  # an actor that died says so elsewhere
                task.at = self._ray.get(reference)
        if time.monotonic() >= self._next_look and not self._asked:
            self._next_look = time.monotonic() + _SECONDS_A_LOOK
            self._asked = {actor.where.remote(): task for actor, task in self._busy.values()}

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
