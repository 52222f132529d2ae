"""Rows of a measurement, shown as a table on a terminal and as Markdown through a pipe; and the machine it is of."""

import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from elo_cli.run.environment import describe_environment

HEADS = (
    "what",
    "against",
    "median (min to max)",
    "with start-up",
    "by CPU",
    "seconds",
    "against's seconds",
    "peak MiB",
    "aim",
    "held",
)


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: what is measured, on what.
        rival: what it is measured against.
        values: one number a round, in `unit`.
        unit: × (times as fast), % (more time), MiB or ms.
        gross: the same numbers with the start of every process counted.
        cpu: the same numbers by processor time.
        seconds: of each round, ours and the rival's, without start-up.
        mib: peak of the process tree, ours and the rival's.
        aim: what the median shall be: at least, for ×; at most, for the others. None: nothing is asked.
        note: why there are no values.
    """

    what: str
    rival: str
    values: tuple[float, ...] = ()
    unit: str = "×"
    gross: tuple[float, ...] = ()
    cpu: tuple[float, ...] = ()
    seconds: tuple[Sequence[float], Sequence[float]] = ((), ())
    mib: tuple[float | None, float | None] = (None, None)
    aim: float | None = None
    note: str = ""

    @property
    def held(self) -> bool | None:
        """Whether the aim is reached; None where there is none, or nothing was measured."""
        if self.aim is None or not self.values:
            return None
        median = statistics.median(self.values)
        return median >= self.aim if self.unit == "×" else median <= self.aim


def machine() -> dict[str, Any]:
    """Describe the machine and the programs that are compared."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    about = {"processor": model, "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)}
    program = shutil.which("ffmpeg")
    banner = subprocess.run([program, "-version"], capture_output=True, text=True).stdout if program else ""
    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    return about | {"ffmpeg": banner.partition(" Copyright")[0] or None, "libav": libraries} | describe_environment()


def cells(row: Row) -> tuple[str, ...]:
    """Return the words of a row, in the order of `HEADS`."""
    if row.note:
        return (row.what, row.rival, f"skipped: {row.note}", *[""] * (len(HEADS) - 3))
    aim = "" if row.aim is None else f"{'≥' if row.unit == '×' else '≤'} {_number(row.aim, row.unit)}"
    held = {None: "", True: "yes", False: "NO"}[row.held]
    peaks = " / ".join("–" if mib is None else f"{mib:.0f}" for mib in row.mib) if any(row.mib) else ""
    ours, theirs = (_seconds(values) for values in row.seconds)
    gross, cpu = (_number(statistics.median(values), row.unit) if values else "" for values in (row.gross, row.cpu))
    return (row.what, row.rival, _spread(row.values, row.unit), gross, cpu, ours, theirs, peaks, aim, held)


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a table on standard output."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(*HEADS, title=title, title_justify="left")
        for row in rows:
            table.add_row(*cells(row), style={True: "green", False: "red", None: None}[row.held])
        Console().print(table)
        return
    print(f"\n### {title}\n\n| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    for row in rows:
        print(f"| {' | '.join(cells(row))} |")
    sys.stdout.flush()


def _spread(values: Sequence[float], unit: str) -> str:
    middle, low, high = (_number(value, unit) for value in (statistics.median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({low.removesuffix(unit).strip()} to {high.removesuffix(unit).strip()})"


def _seconds(values: Sequence[float]) -> str:
    if not values:
        return ""
    scale, unit = (1, "s") if min(values) >= 0.1 else (1000, "ms")
    return f"{scale * statistics.median(values):.2f} {unit} (min {scale * min(values):.2f})"


def _number(value: float, unit: str) -> str:
    digits = 2 if abs(value) < 10 and unit != "%" else 0
    return f"{value:.{digits}f} {unit}".strip()
