"""One worker process as its parent sees it: started, given jobs, listened to, ended when it hangs or dies."""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, Literal

from elo_cli.core.errors import MachineError
from elo_cli.executors import Job, Limits, Lost, Result, WorkerError
from elo_cli.executors._serving import PARENTS_SIGNALS, serve

_KEPT_WORDS = 4096  # bytes of the last that a worker wrote
_LONGEST_STORY = 300  # characters of its last line


@dataclass(frozen=True)
class Raised:
    """An exception of the function, to be raised where the results are read."""

    error: Exception


def name_of(function: Callable[..., Any]) -> tuple[str, str]:
    """Return module and name of a function, by which a worker finds it.

    Raises:
        TypeError: it is not a function of a module.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<nameless>")
    if module is None or "<" in name:
        raise TypeError(f"{function!r} is not a function of a module: a worker process could not find it")
    return module, name


class Worker(Generic[Job, Result]):
    """A process that does one job after the other.

    Args:
        function: module and name of what it runs.
        limits: what it may use up.

    Attributes:
        job: what it is at; None while it is idle.
        item, stage: where in its job it is; None before the first.
        alive: false once it has been ended.

    Raises:
        MachineError: the system starts no more processes.
    """

    def __init__(self, function: tuple[str, str], limits: Limits) -> None:
        self.limits, self.alive = limits, True
        self.job: Job | None = None
        self.item: str | None = None
        self.stage: str | None = None
        self._ready = False
        self._said = b""
        self._words_end = False
        self._start_clock()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._words, their_words = context.Pipe(duplex=False)
        os.set_blocking(self._words.fileno(), False)
        arguments = (theirs, their_words, function, limits.memory_bytes, os.getpid())
        self._process = context.Process(target=serve, args=arguments, daemon=True)
        # Blocked until the process can ignore them: a Ctrl-C while it imports would be its end, with a traceback.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_SIGNALS)
        try:
            self._process.start()
        except OSError as error:
            self._pipe.close()
            self._words.close()
            raise MachineError(
                f"No worker process can be started: {error.strerror or error}.",
                hint="Give fewer workers; are memory and the number of processes (ulimit -u) bounded here?",
            ) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
            their_words.close()

    def take(self, job: Job) -> None:
        """Begin a job; it is sent as soon as the process is ready for it, so that this never waits."""
        self.job = job
        self.item = self.stage = None
        if self._ready:
            self._hand_over()

    def connections(self) -> list[Connection]:
        """List what to wait for."""
        return [self._pipe] if self._words_end else [self._pipe, self._words]

    def hear(self, heard: Iterable[Any]) -> list[Result | Lost[Job] | Raised]:
        """Take in what the process said, and whether it died or hangs; return what became of its job, if anything.

        Args:
            heard: those of `connections` that have something.
        """
        if self._words in heard:
            self._listen()
        try:
            while self._pipe in heard and self._pipe.poll():
                message = self._pipe.recv()
                if ended := self._take_in(message):
                    return ended
        except (EOFError, OSError):
            return self._died()
        except Exception as error:  # the message is whole, but what it describes cannot be built here
            return self._raise(WorkerError(type(error).__name__, f"what a worker sent cannot be read: {error}", ""))
        return self._overdue()

    def end(self) -> None:
        """Kill the process and free everything."""
        if not self.alive:
            return
        self.alive = False
        self._process.kill()
        self._process.join(timeout=5)
        self._pipe.close()
        self._words.close()
        with contextlib.suppress(ValueError):  # a process that hangs in the kernel is still there
            self._process.close()

    def _hand_over(self) -> None:
        self._start_clock()
        with contextlib.suppress(OSError):  # it died just now; reading from it will say so
            self._pipe.send(self.job)

    def _take_in(self, message: tuple[Any, ...]) -> list[Result | Lost[Job] | Raised]:
        kind, *content = message
        if kind == "ready":
            self._ready = True
            if self.job is not None:
                self._hand_over()
        elif kind == "at":
            item, self.stage = content
            if item != self.item:
                self.item = item
                self._start_clock()
        elif kind == "result":
            self.job = None
            return [content[0]]
        elif kind == "memory":
            bound = self.limits.memory_bytes
            allowed = "" if bound is None else f" (a worker may allocate {bound / 2**30:.3g} GiB)"
            return self._lose("out-of-memory", f"it needs more memory than there is{allowed}: {content[0]}")
        elif kind == "raised":
            error = content[0]
            with contextlib.suppress(Exception):  # in words it is here already
                error = self._pipe.recv() or error
            if not isinstance(error, WorkerError):
                error.add_note(f"In the worker process:\n{content[0].trace}")
            return self._raise(error)
        return []

    def _raise(self, error: Exception) -> list[Result | Lost[Job] | Raised]:
        self.end()
        self.job = None
        return [Raised(error)]

    def _died(self) -> list[Result | Lost[Job] | Raised]:
        self._process.join(timeout=5)
        self._listen()
        code = self._process.exitcode
        story = "its process hung up" if code is None else f"its process ended with code {code}"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                story = f"its process was ended by {signal.Signals(-code).name}"
            if code == -signal.SIGKILL:
                story += ", from outside; perhaps the system had no memory left"
        if not self._ready:
            story += " before it was ready"
        return self._lose("crash", story)

    def _start_clock(self) -> None:
        self._waited, self._looked = 0.0, time.monotonic()

    def _overdue(self) -> list[Result | Lost[Job] | Raised]:
        """Count the time; a pause of this process itself, such as Ctrl-Z, is no fault of the worker's."""
        now = time.monotonic()
        self._waited += min(now - self._looked, 1.0)
        self._looked = now
        limit = self.limits.item_seconds if self._ready else self.limits.start_seconds
        if self._waited <= limit or (self._ready and self.job is None):
            return []
        return self._lose("timeout", f"it took longer than {limit:g} s" + ("" if self._ready else " to start"))

    def _lose(self, reason: Literal["crash", "timeout", "out-of-memory"], story: str) -> list[Result | Lost[Job] | Raised]:
        self.end()
        lines = self._said.decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if last and reason != "out-of-memory":
            story += f"; the last that it wrote: {last[-_LONGEST_STORY:]}"
        job, self.job = self.job, None
        return [] if job is None else [Lost(job, self.item, self.stage, reason, story)]

    def _listen(self) -> None:
        """Take in what the process wrote; only the end of it is kept."""
        with contextlib.suppress(BlockingIOError):
            while not self._words_end:
                said = os.read(self._words.fileno(), 2**16)
                self._words_end = not said
                self._said = (self._said + said)[-_KEPT_WORDS:]


def listen(workers: Sequence[Worker[Job, Result]], seconds: float) -> list[Result | Lost[Job] | Raised]:
    """Wait for workers, at most so long; return what became of jobs. Afterwards some may not be alive."""
    heard = wait([connection for worker in workers for connection in worker.connections()], seconds)
    return [outcome for worker in workers for outcome in worker.hear(heard)]
