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
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic

from elo_cli.core.errors import MachineError
from elo_cli.executors import Job, Limits, Lost, Result, Work, WorkerError
from elo_cli.executors._serving import PARENTS_SIGNALS
from elo_cli.executors._worker import Raised, Worker, listen, name_of
from elo_cli.run.environment import processors

ACTORS_A_JOB = 3  # a job is given up when so many actors have died at it
_FAILED_STARTS = 3  # actors that die one after the other before any is up
_SECONDS_A_TICK = 0.25
_LONGEST_STORY = 300  # characters
_COLOURS = re.compile(r"\x1b\[\d*m")
_STORE_BYTES = 100 * 2**20  # jobs and results are small; Ray would take a third of the memory

_ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no telemetry
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` Ray would copy the working directory to each node
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # older Rays would hide the GPUs from actors that ask for none
}
_OUR_OWN = {
    "RAY_AUTH_MODE": "token",
    # Whatever its name says, on Linux too this is what makes a node's address 127.0.0.1. The address given to
    # ray.init would not do: Ray replaces a loopback address with that of the network, where all may knock.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


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
            raise MachineError("Ray is not installed.", hint="pip install 'elo-cli[ray]', or use --set preprocess.engine=local.")
        self.workers, self.limits = workers, limits
        self._function = name_of(function)
        self._tasks: collections.deque[_Task[Job]] = collections.deque()

    def submit(self, job: Job) -> None:
        """Hand in a job, also while results are being read."""
        self._tasks.append(_Task(job))

    def results(self, tick: Callable[[], None], jobs: Iterable[Job] = ()) -> Iterator[Result | Lost[Job]]:
        """Yield what comes back until all jobs are done; see `Executor.results`.

        Raises:
            MachineError: no cluster answers, Ray cannot be started, or no actor comes up within `start_seconds`.
        """
        with connected(self.workers) as ray:
            size = self.workers or int(ray.cluster_resources()["CPU"])
            staff: _Staff[Job, Result] = _Staff(ray, self._function, self.limits, size)
            source = iter(jobs)
            try:
                while staff.hand_out(self._tasks, source):
                    tick()
                    for outcome in staff.listen(self._tasks):
                        if isinstance(outcome, Raised):
                            raise outcome.error
                        yield outcome
            finally:
                staff.dismiss()


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
        self._hire: Callable[[], Any] = lambda: ray.remote(**options)(Seat).remote(function, limits)
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
            except self._ray.exceptions.RayTaskError as error:  # on Ray's way here, not in the function
                outcomes.append(Raised(WorkerError(type(error).__name__, _last_line(error), str(error))))
            except self._ray.exceptions.RayError as error:
                self._ray.kill(actor)
                task.deaths += 1
                if task.deaths < ACTORS_A_JOB:
                    tasks.appendleft(task)
                else:
                    story = f"{task.deaths} Ray actors died at it, at last: {_last_line(error)}"
                    outcomes.append(Lost(task.job, None, None, "crash", story))
        if self._idle or self._busy:
            self._since = time.monotonic()
        elif time.monotonic() - self._since > self._limits.start_seconds:
            raise MachineError(
                f"No Ray worker came up within {self._limits.start_seconds:g} s.",
                hint="Are processors of the cluster free? `ray status` tells.",
            )
        return outcomes

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
                    f"Ray workers die before they begin: {_last_line(error)}.",
                    hint="Is elo installed on every node, in this version?",
                ) from error
        else:
            self._failed_starts = 0
            self._idle.append(actor)


@contextlib.contextmanager
def connected(workers: int | None) -> Iterator[Any]:
    """Give Ray's module, connected for the length of a `with` block to the cluster of RAY_ADDRESS or to one of our own.

    A connection that is there already is used, and stays.

    Args:
        workers: processors of a cluster of our own; None for those of this machine.

    Raises:
        MachineError: no cluster answers, or Ray cannot be started, or would listen on more than the loopback interface.
    """
    address = os.environ.get("RAY_ADDRESS", "local")
    own = address == "local"
    wanted = {**_ALWAYS, **_OUR_OWN} if own else _ALWAYS
    if "ray" in sys.modules and not set(_OUR_OWN if own else ()) <= set(os.environ):
        raise MachineError("Ray was imported before elo could keep it off the network.", hint="Start elo by itself.")
    for name, value in wanted.items():
        os.environ.setdefault(name, value)  # read when Ray is imported
    if own and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # or Ray writes one into the home directory
    import ray  # only now

    if ray.is_initialized():
        yield ray
        return
    folder = tempfile.mkdtemp(prefix="elo-ray-", dir="/tmp") if own else None  # a short path, since sockets go there
    try:
        _start(ray, address, folder, workers or processors())
        yield ray
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _start(ray: Any, address: str, folder: str | None, workers: int) -> None:
    """Connect to an address; with a folder for its sockets and logs, start a cluster there."""
    given: dict[str, Any] = {"address": address, "log_to_driver": False, "configure_logging": False}
    if folder:
        given |= {"_temp_dir": folder, "num_cpus": workers, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
    # By its option Ray keeps the actors' output from ours, but not its own words about them, and stdout is for results.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in PARENTS_SIGNALS} if main else {}
    try:
        ray.init(**given)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        hint = "Is there room in /tmp?" if folder else "RAY_ADDRESS names it. Does `ray status` find it?"
        raise MachineError(
            f"Ray {'does not start' if folder else 'finds no cluster'}: {_last_line(error)}.", hint=hint
        ) from error
    finally:
        for number, handler in before.items():  # Ray's own for SIGTERM ends the process at once
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if folder and not (here := ray.util.get_node_ip_address()).startswith("127."):
        raise MachineError(
            f"Ray listens at {here}, not on the loopback interface alone.", hint="Start a cluster by hand, and set RAY_ADDRESS."
        )


def _last_line(error: Exception) -> str:
    """Return what an error of Ray's comes down to; above it stand numbers of actors and the stack of Ray."""
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines() if line.strip()]
    return lines[-1][:_LONGEST_STORY] if lines else type(error).__name__
