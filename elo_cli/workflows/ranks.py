"""What is done once, though several processes want it: rank 0 writes, all ranks stop together; of commands one makes it."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from elo_cli import dist
from elo_cli.core.errors import Stopped
from elo_cli.core.files import storage_errors
from elo_cli.engine.precision import Precision
from elo_cli.run.directory import RunDirectory
from elo_cli.run.lock import hold_in_turn
from elo_cli.workflows.events import Watch
from elo_cli.workflows.material import command_line


@contextlib.contextmanager
def open_directory(
    place: Path, stored: Mapping[str, Any], precision: Precision, *, fresh: bool, free: frozenset[str]
) -> Iterator[RunDirectory]:
    """Own a run's directory, as rank 0, or know where it is, as another; nobody goes on before rank 0 has it.

    Args:
        place: the directory.
        stored: the settings that it began with, or begins with now.
        precision: of this process.
        fresh: begin anew beside it.
        free: settings that may differ.
    """
    if dist.rank():
        yield RunDirectory(Path(dist.first_text("", precision.device)))
        return
    opened = RunDirectory.open(
        place,
        dict(stored),
        command=command_line(),
        fresh=fresh,
        free=free,
        threads=precision.threads,
        processes=dist.world(),
    )
    with opened as directory:
        dist.first_text(str(directory.root), precision.device)
        yield directory


@contextlib.contextmanager
def in_turn(path: Path, watch: Watch) -> Iterator[None]:
    """Make something that several commands may want at one time alone: who comes second waits, and then finds it made.

    Args:
        path: what is made; its lock lies beside it.
        watch: is told whom this waits for, and asked whether to stop.

    Raises:
        Stopped: somebody asked for it.
        StorageError: its folder cannot be written.
    """
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock, owner = path.with_name(f".{path.name}.lock"), path.with_name(f".{path.name}.lock.json")
    with hold_in_turn(lock, owner, command_line(), tell=watch.note, check=watch.check):
        yield


def check(watch: Watch, precision: Precision) -> None:
    """Stop where any of the processes was asked to: all come here after the same step.

    Raises:
        Stopped: one was.
    """
    asked: Stopped | None = None
    try:
        watch.check()
    except Stopped as error:
        asked = error
    if dist.agreed(asked is not None, precision.device):
        raise asked or Stopped("Another of the processes was asked to stop; what is done is saved.")
