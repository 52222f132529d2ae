"""Run a program as a process of its own and measure what it takes: time, processors and memory (Linux only)."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SAMPLE_S = 0.05  # between two looks at the memory of the tree
# One thread for each process, as in elo's workers: what is compared is the work, not the number of threads.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}


@dataclass(frozen=True)
class Run:
    """What one run of a program took.

    Attributes:
        seconds: from before the process is started until it has ended.
        cpu_s: processor time of the process and of all its children, in user and system mode.
        tree_mib: largest sum of the resident peaks (VmHWM) of the processes that lived at one moment; an
            upper bound, for the pages that they share are counted for each.
        parent_mib: resident peak of the process itself.
        worker_mib: resident peak of the largest of its descendants; 0 without any.
        told: the JSON object that it printed; empty if it printed something else.
    """

    seconds: float
    cpu_s: float
    tree_mib: float
    parent_mib: float
    worker_mib: float
    told: dict[str, Any] = field(default_factory=dict)


def python(*arguments: object) -> list[str]:
    """Return the command that runs a module with this interpreter."""
    return [sys.executable, "-m", *map(str, arguments)]


def measure(command: Sequence[str], *, core: int | None = None, look: Callable[[Collection[int]], None] | None = None) -> Run:
    """Run a command to its end.

    Args:
        command: the program and its arguments; it runs with the repository in front of its path.
        core: the one processor that it and its children may use; None for all.
        look: called now and then while it runs, with the numbers of its processes; some may have ended.

    Raises:
        RuntimeError: it failed; with what it wrote last.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ELO_")}
    environment |= ONE_THREAD | {"PYTHONPATH": str(ROOT)}
    pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        os.sync()  # what an earlier run wrote shall not be written on this one's time
        begun = time.perf_counter()
        # Somewhere empty: an elo.yaml of whoever measures would change the settings.
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment, cwd=folder, preexec_fn=pin)
        tree = _Tree(process.pid)
        ended = os.pidfd_open(process.pid)
        try:
            while not select.select([ended], [], [], SAMPLE_S)[0]:
                tree.look()
                if look is not None:
                    look(tree.peaks)
            seconds = time.perf_counter() - begun
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            os.close(ended)
            if process.returncode is None:
                process.kill()
                process.wait()
        said, complained = (_text(stream) for stream in (out, err))
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with code {process.returncode}:\n{complained[-2000:] or said[-2000:]}")
    workers = [peak for pid, peak in tree.peaks.items() if pid != process.pid]
    told = json.loads(said) if said.startswith("{") else {}
    cpu_s = usage.ru_utime + usage.ru_stime
    return Run(seconds, cpu_s, tree.most, tree.peaks.get(process.pid, 0.0), max(workers, default=0.0), told)


class _Tree:
    """A process and its descendants; `peaks` are in MiB by process, `most` is the largest sum at one moment."""

    def __init__(self, root: int) -> None:
        self.peaks = {root: 0.0}
        self.most = 0.0
        self._strangers: set[int] = set()

    def look(self) -> None:
        """Find new processes and note every peak."""
        for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
            if pid not in self.peaks and pid not in self._strangers:
                if _parent(pid) in self.peaks:
                    self.peaks[pid] = 0.0
                else:
                    self._strangers.add(pid)
        now = {pid: _peak_mib(pid) for pid in self.peaks}
        self.peaks = {pid: max(peak, now[pid]) for pid, peak in self.peaks.items()}
        self.most = max(self.most, sum(now.values()))


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return None


def _peak_mib(pid: int) -> float:
    """The largest resident size that a living process has had; 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def _text(stream: Any) -> str:
    stream.seek(0)
    return str(stream.read(), errors="replace").strip()
