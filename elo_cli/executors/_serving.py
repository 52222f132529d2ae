"""Inside a worker process: bounded, deaf to signals, it does one job after the other.

What it sends: ("ready",); ("at", item, stage); ("result", value); ("memory", words); or ("raised", words)
and then the exception itself, or None if that cannot be sent.
"""

import contextlib
import gc
import importlib
import os
import re
import signal
import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any

from elo_cli.core.errors import EloError, MachineError
from elo_cli.executors import WorkerError
from elo_cli.run.parent import end_with_parent

# Sent to the whole group of processes, they are the parent's business.
PARENTS_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# OpenCV, torch and the threads of Python have no MemoryError: only their words tell. Where there is no memory even for an
# error, Python says that there was one without an exception.
_SHORTAGE = re.compile(
    r"insufficient memory|can(no|')t allocate memory|bad_alloc|can't start new thread|out of memory"
    r"|error return without exception",
    re.I,
)


def serve(pipe: Connection, words: Connection, name: tuple[str, str], memory_bytes: int | None, parent: int) -> None:
    """Be a worker until the parent hangs up.

    Args:
        pipe: jobs come in, and answers go out.
        words: takes what this process writes to stdout and stderr.
        name: module and name of the function.
        memory_bytes: as `Limits` says.
        parent: the process whose end is the end of this one.
    """
    for number in PARENTS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS_SIGNALS)
    end_with_parent()
    if os.getppid() != parent:
        return
    for descriptor in (1, 2):
        os.dup2(words.fileno(), descriptor)
    words.close()
    try:
        function: Any = importlib.import_module(name[0])
        for part in name[1].split("."):
            function = getattr(function, part)
        gc.freeze()  # what is imported stays: no collection need look at it again
        _bound(memory_bytes)
    except Exception as error:
        _tell(pipe, error)
        return
    _send(pipe, ("ready",))
    with contextlib.suppress(EOFError):  # the parent has no more jobs
        while _serve_one(pipe, function, pipe.recv()):
            pass


def _serve_one(pipe: Connection, function: Any, job: Any) -> bool:
    """Do a job and tell what became of it; say whether this process can do another."""
    try:
        result = function(job, lambda item, stage="": _send(pipe, ("at", item, stage)))
        _send(pipe, ("result", result))
    except Exception as error:
        _unbound()
        if shortage := _shortage(error):
            _send(pipe, ("memory", shortage))
        else:
            _tell(pipe, error)
        return False
    return True


def _send(pipe: Connection, message: Any) -> None:
    """Send a message; without a parent to read it, leave. Nothing is sent of a message that cannot be made."""
    try:
        pipe.send(message)
    except (BrokenPipeError, ConnectionResetError):
        raise SystemExit from None


def _tell(pipe: Connection, error: Exception) -> None:
    """Send an exception, in words first: not each that can be sent can be received."""
    try:
        text = str(error)
    except Exception as second:
        text = f"(its message cannot be read: {type(second).__name__})"
    _send(pipe, ("raised", WorkerError(type(error).__name__, text, "".join(traceback.format_exception(error)))))
    try:
        _send(pipe, error)
    except Exception:
        _send(pipe, None)


def _shortage(error: BaseException | None) -> str:
    """Return the words of an exception that want of memory caused; empty for another."""
    if isinstance(error, EloError):
        return ""  # whoever raised it knew why
    while error is not None:
        if isinstance(error, MemoryError) or _SHORTAGE.search(str(error)):
            return " ".join(str(error).split()) or "Python could allocate no more"
        error = error.__cause__ or error.__context__
    return ""


def _bound(memory_bytes: int | None) -> None:
    """Bound what this process may use up from now on, and let it be the first that the system ends.

    RLIMIT_DATA counts private writable memory: heaps, NumPy's and FFmpeg's buffers, stacks of threads.

    Raises:
        MachineError: Linux does not tell how much memory the process has.
    """
    if sys.platform == "win32":
        return
    import resource

    # A crash that was foreseen leaves no core file of gigabytes.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as stream:
        stream.write("500")
    if memory_bytes is None:
        return
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as stream:
            now = next(int(line.split()[1]) * 1024 for line in stream if line.startswith("VmData:"))
    except (OSError, StopIteration) as error:
        raise MachineError(f"/proc/self/status does not tell a process its size: {error}.", hint="Mount /proc.") from error
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = now + memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _unbound() -> None:
    """Lift the bound: after an exception there must be room to tell about it."""
    if sys.platform == "linux":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
