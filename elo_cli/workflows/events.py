"""What a workflow tells while it works, and what it gives back: words and numbers, no drawing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class Watch(Protocol):
    """Whoever watches a workflow: the command line, a test, a notebook."""

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Begin a stage of `total` units of work, e.g. ("training", 500, "step")."""

    def advance(self, stage: str, done: int, figures: Mapping[str, float] | None = None) -> None:
        """Say that `done` units of the stage are finished in all, with the latest figures."""

    def show(self, stage: str, table: "Table", line: str = "") -> None:
        """Show how a stage stands, in place of what was shown before; `line` says what is new, if it is worth a line."""

    def finish(self, stage: str) -> None:
        """End a stage."""

    def note(self, message: str) -> None:
        """Say something worth a line, such as what is being resumed."""

    def warn(self, message: str) -> None:
        """Say something that needs a person's attention but stops nothing."""

    def check(self) -> None:
        """Raise `Stopped` or `Interrupted` if someone asked for the work to stop; called where that is safe."""


class Unwatched:
    """A watch that nobody looks at."""

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Ignore it."""

    def advance(self, stage: str, done: int, figures: Mapping[str, float] | None = None) -> None:
        """Ignore it."""

    def show(self, stage: str, table: "Table", line: str = "") -> None:
        """Ignore it."""

    def finish(self, stage: str) -> None:
        """Ignore it."""

    def note(self, message: str) -> None:
        """Ignore it."""

    def warn(self, message: str) -> None:
        """Ignore it."""

    def check(self) -> None:
        """Never stop."""


@dataclass(frozen=True)
class Table:
    """A table for a person; numbers are given as text, already rounded."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a workflow did, or with `--dry-run` would do.

    Attributes:
        result: everything a machine may want to know; it is what `--json` prints.
        tables: the same for a person.
        files: what was written, by what it is.
        next: the command to type next, if there is one.
        python: the lines of Python that use what was written, to be copied; empty if there are none.
    """

    result: Mapping[str, Any]
    tables: Sequence[Table] = field(default_factory=tuple)
    files: Mapping[str, str] = field(default_factory=dict)
    next: str = ""
    python: str = ""


def size_text(count: float) -> str:
    """Say a number of bytes."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
