"""The watches of the command line: bars where a person looks, a line now and then where a log does."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from elo_cli.cli.pace import Pace, duration_text
from elo_cli.cli.render import as_renderable
from elo_cli.cli.signals import StopRequest
from elo_cli.cli.terminal import complain, escape, escape_lines, is_terminal, paint
from elo_cli.core.rank import Rank

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

    from elo_cli.workflows.events import Table

EVERY_SECONDS = 30.0


class LineWatch:
    """A watch that writes plain lines to stderr: at the start of a stage, every 30 s, at its end.

    Args:
        request: whether someone asked for the work to stop.
        clock: seconds of a steady clock.
    """

    def __init__(self, request: StopRequest, clock: Callable[[], float] = time.monotonic) -> None:
        self._request = request
        self._clock = clock
        self._paces: dict[str, Pace] = {}
        self._said: dict[str, float] = {}

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Say that a stage begins."""
        now = self._clock()
        self._paces[stage] = Pace(stage, total, unit, now)
        self._said[stage] = now
        self._line(stage, f"{'started' if total is None else f'started, {total} {unit}'}")

    def advance(self, stage: str, done: int, figures: Mapping[str, float] | None = None) -> None:
        """Say how far the stage is, if nothing was said for a while."""
        now, pace = self._clock(), self._paces[stage]
        pace.advance(now, done, figures)
        if now - self._said[stage] >= EVERY_SECONDS:
            self._said[stage] = now
            self._line(stage, pace.describe(now))

    def show(self, stage: str, table: "Table", line: str = "") -> None:
        """Say what is new, and how long the rest will take; tables are for terminals."""
        if line:
            now = self._said[stage] = self._clock()
            left = self._paces[stage].seconds_left(now)
            self._line(stage, line if left is None else f"{line}, {duration_text(left)} left")

    def finish(self, stage: str) -> None:
        """Say how the stage ended."""
        self._line(stage, self._paces.pop(stage).conclude(self._clock()))

    def note(self, message: str) -> None:
        """Say it."""
        complain(escape_lines(message))

    def warn(self, message: str) -> None:
        """Say it as a warning."""
        complain(f"{paint('Warning:', 'yellow', sys.stderr)} {escape_lines(message)}")

    def check(self) -> None:
        """Raise `Stopped` or `Interrupted` if someone asked for the work to stop."""
        self._request.check()

    def _line(self, stage: str, text: str) -> None:
        complain(f"{escape(stage)}: {escape(text)}")


class SilentWatch(LineWatch):
    """A watch that says nothing, and hears who asks to stop: that of a process which trains with others."""

    def _line(self, stage: str, text: str) -> None: ...

    def note(self, message: str) -> None:
        """Leave it to rank 0."""

    def warn(self, message: str) -> None:
        """Leave it to rank 0."""


class BarWatch(LineWatch):
    """A watch that draws a bar for each stage, and what the stage shows, on the terminal behind stderr.

    Args:
        request: whether someone asked for the work to stop.
        progress: where the bars are; it is running.
        tables: what is drawn below the bars, by stage.
    """

    def __init__(self, request: StopRequest, progress: "Progress", tables: "dict[str, RenderableType]") -> None:
        super().__init__(request)
        self._progress = progress
        self._tables = tables
        self._tasks: dict[str, TaskID] = {}

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Add a bar."""
        now = self._clock()
        pace = self._paces[stage] = Pace(stage, total, unit, now)
        self._tasks[stage] = self._progress.add_task(escape(stage), total=total, status=escape(pace.describe(now)))

    def advance(self, stage: str, done: int, figures: Mapping[str, float] | None = None) -> None:
        """Move the bar."""
        now, pace = self._clock(), self._paces[stage]
        pace.advance(now, done, figures)
        self._progress.update(self._tasks[stage], completed=done, status=escape(pace.describe(now)))

    def show(self, stage: str, table: "Table", line: str = "") -> None:
        """Draw the table below the bars."""
        self._tables[stage] = as_renderable(table, sys.stderr)

    def finish(self, stage: str) -> None:
        """Take the bar and the table away and leave a line."""
        self._tables.pop(stage, None)
        self._progress.remove_task(self._tasks.pop(stage))
        super().finish(stage)


@contextlib.contextmanager
def open_watch(request: StopRequest) -> Iterator[LineWatch]:
    """Give the watch that suits stderr, and clear its bars away in the end."""
    if Rank.announced().number:
        yield SilentWatch(request)
        return
    if not is_terminal(sys.stderr):
        yield LineWatch(request)
        return
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Status(TextColumn):
        """What the pace says, or that the work is about to stop."""

        def render(self, task: Task) -> Text:
            return Text(request.answer() or task.fields["status"])

    tables: dict[str, RenderableType] = {}

    class Bars(Progress):
        """The bars, and below them what the stages show: a low window cuts off the end."""

        def get_renderables(self) -> Iterable[RenderableType]:
            yield from super().get_renderables()
            yield from list(tables.values())  # another thread draws

    one_line = Column(no_wrap=True, overflow="ellipsis")
    columns = (
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False, table_column=one_line),
        BarColumn(bar_width=20),
        Status("", table_column=one_line.copy()),
    )
    # What others write to stderr meanwhile goes above the bars; stdout belongs to the result.
    console = Console(stderr=True)
    with Bars(*columns, console=console, refresh_per_second=4, transient=True, redirect_stdout=False) as progress:
        yield BarWatch(request, progress, tables)
