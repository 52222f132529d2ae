"""What workers do in the tests: work well, die, hang, print, and need more than there is."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

from elo_cli.core.errors import MachineError, StorageError
from elo_cli.executors import Report

Names = tuple[str, ...]
_HOARD: list[bytes] = []


class Unsendable(Exception):
    """It can be sent but not received: its constructor wants more than it says."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} in {where}")


class Unmakeable:
    """It cannot be sent."""

    def __reduce__(self) -> str:
        raise TypeError("this stays where it is")


class Unbuildable:
    """It can be sent but not received."""

    def __reduce__(self) -> tuple[type[Unsendable], tuple[str]]:
        return Unsendable, ("without a place",)


class OnlyOnce:
    """It can be sent from one process to another, and from there no further."""

    def __init__(self, sent: bool = False) -> None:
        self.sent = sent

    def __reduce__(self) -> tuple[type["OnlyOnce"], tuple[bool]]:
        if self.sent:
            raise TypeError("no further than this")
        return OnlyOnce, (True,)


class HoldingOn(Exception):
    """It cannot be sent, for what it holds."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.held = threading.Lock()


def work(job: Names, report: Report) -> tuple[str, int]:
    """Do a job of items; some of their names are deadly."""
    for item in job:
        report(item, "open")
        report(item, "decode")
        _suffer(item)
    return "+".join(job), os.getpid()


def _suffer(item: str) -> None:
    kind = item.rstrip("0123456789")
    if kind == "abort":
        os.abort()
    elif kind == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif kind == "leave":
        os._exit(3)
    elif kind == "hang":
        time.sleep(600)
    elif kind == "slow":
        time.sleep(0.4)
    elif kind == "storage":
        raise StorageError("no room for it.", hint="make room")
    elif kind == "bomb":
        bytearray(2**40)
    elif kind == "unsendable":
        raise Unsendable("a fault", "a file")
    elif kind == "holding":
        raise HoldingOn("with both hands")


def fail_by(job: str, report: Report) -> str:
    """Run short of memory in the way that is named."""
    report(job)
    if job == "numpy":
        import numpy as np

        np.ones(2**40, np.uint8)
    if job == "opencv":
        import cv2
        import numpy as np

        cv2.resize(np.ones((8, 8), np.uint8), (2**15, 2**15))
    if job == "thread":
        threading.stack_size(2**30)
        threading.Thread(target=print).start()
    if job == "hoard":
        while True:
            _HOARD.append(bytes(64))
    if job == "caught":
        try:
            bytearray(2**40)
        finally:
            raise KeyError("the second fault hides the first")
    if job == "python":  # what it says where no memory is left for the error itself
        raise SystemError("error return without exception set")
    return job


def allocate(job: int, report: Report) -> bool:
    """Ask the C library for memory; say whether it gave some."""
    report(f"{job} bytes")
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    place = library.malloc(job)
    library.free(place)
    return place is not None


def return_what_cannot_be_sent(job: str, report: Report) -> Unmakeable:
    """Bring something that cannot be sent."""
    return Unmakeable()


def return_what_cannot_be_received(job: str, report: Report) -> Unbuildable:
    """Bring something that can be sent but not received."""
    return Unbuildable()


def return_what_is_sent_only_once(job: str, report: Report) -> OnlyOnce:
    """Bring something that can be sent, but not sent on."""
    return OnlyOnce()


def write_natively(job: Names, report: Report) -> str:
    """Write to the descriptors 1 and 2 as a C library does, and die if told to."""
    report(job[0])
    for _ in range(200):
        os.write(1, b"x" * 1000 + b"\n")
    os.write(2, b"double free or corruption (!prev)\n\n")
    print("said by Python")
    print("said by Python", file=sys.stderr)
    if job[0] == "abort":
        os.write(2, b"\x1b[31mfree(): invalid \xff pointer\n")
        os.abort()
    return job[0]


def rest_between_stages(job: int, report: Report) -> int:
    """Go from stage to stage of one item, each shorter than the limit."""
    for stage in range(job):
        report("one item", f"stage {stage}")
        time.sleep(0.3)
    return job


def before_the_first(job: str, report: Report) -> str:
    """Die or hang before the first item."""
    if job == "dead":
        os.abort()
    if job == "hung":
        time.sleep(600)
    return job


def heed_no_signal(job: Names, report: Report) -> str:
    """Hang, deaf to polite signals."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report(job[0])
    time.sleep(600)
    return "never"


def meet(job: tuple[Path, Path], report: Report) -> bool:
    """Leave a file, and wait for the other worker's."""
    report(str(job[0]))
    job[0].touch()
    deadline = time.monotonic() + 30
    while not job[1].exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return job[1].exists()


def note_and_hang(job: Path, report: Report) -> None:
    """Leave one's number in a file and stay."""
    report(str(job))
    job.write_text(str(os.getpid()))
    time.sleep(600)


def kill_the_parent(job: tuple[Path, int], report: Report) -> str:
    """Kill the process that this one belongs to, as often as the job says; count in a file."""
    place, times = job
    deaths = int(place.read_text()) if place.exists() else 0
    if deaths < times:
        place.write_text(str(deaths + 1))
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    return f"after {deaths}"


def limits_of_this(job: str, report: Report) -> dict[str, object]:
    """Tell how this process is bound and what it is deaf to."""
    import resource

    ignored = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1) if signal.getsignal(number) == signal.SIG_IGN]
    score = "?"
    with contextlib.suppress(OSError):
        score = Path("/proc/self/oom_score_adj").read_text().strip()
    return {
        "ignored": len(ignored),
        "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "score": score,
        "ray": "ray" in sys.modules,
        "accelerators": os.environ.get("CUDA_VISIBLE_DEVICES", "not set"),
    }


class Holder:
    """An actor that is there."""

    def here(self) -> bool:
        """Say so."""
        return True


class NoSeat:
    """An actor that cannot be."""

    def __init__(self, *anything: object) -> None:
        raise OSError("no room to sit")

    def up(self) -> bool:
        """Never be reached."""
        return False


class PoorSeat:
    """An actor that can start no process."""

    def __init__(self, *anything: object) -> None: ...

    def up(self) -> bool:
        """Be there."""
        return True

    def run(self, job: object) -> None:
        """Fail."""
        raise MachineError("No worker process can be started.", hint="ulimit -u")
