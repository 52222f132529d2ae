"""Executors: how jobs are spread over processes and machines.

An entry is a module with a class `Pool`; see the protocol `Executor`. One that brings jobs to other machines has a
function `machines() -> list[Machine]` too; without it all workers are on this one. What is run is a function that
is importable by name, `function(job, report) -> result`, which calls `report(item, stage)` before each
item of its job and again where a new stage of it begins. Decoders die of some files. So each job runs
in a process of its own kind of risk: one that dies, hangs or takes too much memory is replaced, and
its job comes back as `Lost`, with the item that it was at. Whether it is tried again is the caller's
business: `submit` hands it in.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from elo_cli.core.shelf import Shelf

SHELF = Shelf("elo_cli.executors", "executor")
_ROUNDING = 1e-6  # ten times a tenth of a GPU is one

Job = TypeVar("Job")
Result = TypeVar("Result")
Job_contra = TypeVar("Job_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Report(Protocol):
    """What a function tells from inside a worker."""

    def __call__(self, item: str, stage: str = "") -> None:
        """Say which item of the job is worked on, and what is done with it.

        A new item sets the clock of `Limits.item_seconds` to zero; a new stage of the same one does not.
        """


class Work(Protocol[Job_contra, Result_co]):
    """A function that workers run."""

    def __call__(self, job: Job_contra, report: Report, /) -> Result_co: ...


@dataclass(frozen=True)
class Limits:
    """What a worker may use up.

    Attributes:
        item_seconds: time for one item, all its stages together; also for what comes before the first.
        memory_bytes: memory that a worker may allocate on top of what it has once the module of its function
            is imported; None for no bound. A request beyond it fails, as MemoryError or as FFmpeg's ENOMEM,
            and the machine does not swap. Shared memory and mapped files do not count. Linux only:
            elsewhere memory is not bounded.
        start_seconds: time for a process to start and to import the module of its function.
        hosts: a job is lost when what holds its worker, such as a whole machine, has gone down so many times.
    """

    item_seconds: float
    memory_bytes: int | None = None
    start_seconds: float = 300.0
    hosts: int = 3


@dataclass(frozen=True)
class Machine:
    """What one of the machines has that jobs are spread over."""

    cpus: float
    gpus: float


@dataclass(frozen=True)
class Needs:
    """What is set aside for a worker, where jobs are brought to other machines.

    Attributes:
        cpus: processors.
        gpus: GPUs, which are the only ones that the worker sees; a part of one is shared.
    """

    cpus: float = 1
    gpus: float = 0

    def fitting(self, machine: Machine) -> int:
        """Return how many such workers a machine has room for."""
        pairs = ((machine.cpus, self.cpus), (machine.gpus, self.gpus))
        return int(min((has / asked + _ROUNDING for has, asked in pairs if asked > 0), default=0))

    def __str__(self) -> str:
        asked = [f"{self.cpus:g} CPU{'s' * (self.cpus != 1)}"]
        asked += [f"{self.gpus:g} GPU{'s' * (self.gpus != 1)}"] if self.gpus else []
        return " and ".join(asked)


_A_PROCESSOR = Needs()


@dataclass(frozen=True)
class Lost(Generic[Job]):
    """A job whose worker died, hung or had too little memory.

    Attributes:
        job: what it was doing.
        item: the item it was at; None if it had not begun one.
        stage: what it did with the item; None likewise.
        reason: how it ended; `out-of-memory` where an exception said so, while a process that the system
            ended for want of memory is a crash.
        story: the same in words, with the last line that the process wrote.
    """

    job: Job
    item: str | None
    stage: str | None
    reason: Literal["crash", "timeout", "out-of-memory"]
    story: str


class WorkerError(RuntimeError):
    """An exception of a worker, in words: itself it cannot be sent from one process to another.

    Args:
        kind: the name of its type.
        text: its message.
        trace: its traceback.
    """

    def __init__(self, kind: str, text: str, trace: str) -> None:
        super().__init__(kind, text, trace)
        self.kind, self.text, self.trace = kind, text, trace

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}\n\nIn the worker process:\n{self.trace}"


class Executor(Protocol[Job, Result_co]):
    """The contract of an entry's class `Pool`.

    Args:
        function: what is run for each job; a function of a module, found by its name.
        workers: processes; None for one for each processor.
        limits: what each may use up.
        needs: what is set aside for each on other machines; on this one they take what there is.
    """

    def __init__(self, function: Work[Job, Result_co], workers: int | None, limits: Limits, needs: Needs) -> None: ...

    def submit(self, job: Job) -> None:
        """Hand in a job, also while results are being read; it comes before those not yet taken from `jobs`."""

    def at_work(self) -> list[tuple[Job, str | None, str | None]]:
        """List the jobs under way, each with the item and the stage that it is at, where that is known."""

    def results(self, tick: Callable[[], None], jobs: Iterable[Job] = ()) -> Iterator[Result_co | Lost[Job]]:
        """Yield what comes back, as it does, until all jobs are done.

        Args:
            tick: called at least four times a second while this waits; may raise, and the workers are ended.
            jobs: more jobs; one is taken when a worker is free for it, so that there may be millions.

        Raises:
            Exception: whatever the function raised, with the worker's traceback as a note; a `WorkerError`
                in its place if it cannot be sent.
            MachineError: workers cannot be started.
        """
        ...


def make_executor(
    name: str, function: Work[Job, Result], workers: int | None, limits: Limits, needs: Needs = _A_PROCESSOR
) -> Executor[Job, Result]:
    """Build the executor called `name`.

    Raises:
        UsageError: there is no such executor.
        MachineError: what it needs is not installed.
    """
    executor: Executor[Job, Result] = SHELF.take(name).Pool(function, workers, limits, needs)
    return executor


def machines_of(name: str) -> Callable[[], list[Machine]] | None:
    """Return what lists the machines that the executor called `name` brings jobs to; None if it stays on this one.

    What is returned raises a MachineError if what it needs is not installed, or nobody answers.

    Raises:
        UsageError: there is no such executor.
    """
    found: Callable[[], list[Machine]] | None = getattr(SHELF.take(name), "machines", None)
    return found
