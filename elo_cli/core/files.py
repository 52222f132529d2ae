"""Write files whole or not at all: temporary file, fsync, rename, fsync of the directory."""

import contextlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from elo_cli.core.errors import StorageError

Stream = TypeVar("Stream")

_DAY_S = 86_400.0

PART = ".part"  # the ending of a file that is still being written


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's complaints about `path` into a `StorageError`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Make room or give another place with --out; what was finished before is safe, and the same command goes on.",
        ) from error


def partial_path(path: Path, owner: str = "") -> Path:
    """Name the file that is being written and will be called `path`."""
    return path.with_name(f"{path.name}.{owner}{PART}" if owner else path.name + PART)


def this_owner() -> str:
    """Name this process among those of all machines that write into one folder."""
    return f"{re.sub('[^A-Za-z0-9-]', '-', socket.gethostname())}-{os.getpid()}"


def is_abandoned(partial: Path) -> bool:
    """Whether a partial file with an owner is surely one that a killed process has left.

    Of another machine's process nobody can tell here: its files count as abandoned after a day without a change.
    """
    host, _, number = partial.name.removesuffix(PART).rpartition(".")[2].rpartition("-")
    if host != this_owner().rpartition("-")[0] or not number.isdecimal():
        with contextlib.suppress(FileNotFoundError):
            return time.time() - partial.stat().st_mtime > _DAY_S
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


@contextlib.contextmanager
def partial_file(path: Path, create: Callable[[Path], AbstractContextManager[Stream]], owner: str = "") -> Iterator[Stream]:
    """Open a stream whose content is in `partial_path` when the block ends well, to be published; gone otherwise.

    Args:
        path: the name that it will have.
        create: makes and opens the partial file.
        owner: who writes it, where several may write files of that name at once; see `this_owner`.

    Raises:
        StorageError: the disk is full, read-only, or failed; no partial file is left, as after any exception.
    """
    temporary = partial_path(path, owner)
    with storage_errors(path):
        try:
            with create(temporary) as stream:
                yield stream
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def publish(path: Path, owner: str = "") -> None:
    """Give a finished partial file its name; when this returns, it is on the disk.

    At every moment `path` holds the old or the new content, whole.

    Raises:
        StorageError: the disk is full or failed; no partial file is left.
    """
    temporary = partial_path(path, owner)
    with storage_errors(path):
        try:
            with open(temporary, "rb") as stream:
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a stream whose content appears at `path` when the block ends well, and not at all otherwise.

    At every moment `path` holds the old or the new content; until the end the new one is in `path` + ".part".

    Raises:
        StorageError: the disk is full, read-only, or failed; no partial file is left, as after any exception.
    """
    with partial_file(path, lambda temporary: open(temporary, "wb")) as stream:
        yield stream
    publish(path)


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that at every moment `path` holds the old or the new content.

    Raises:
        StorageError: the disk is full, read-only, or failed; no partial file is left.
    """
    with atomic_file(path) as stream:
        stream.write(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically."""
    # Names that are not UTF-8 have lone surrogates; JSON's escape for them is Python's.
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode(errors="backslashreplace"))


@contextlib.contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Give a place for `path` in a folder of its own, for what must have its last name, and its files beside it, from the start.

    When the block ends well, all files of the folder move beside `path`, itself last: while it is there, so are the
    others. After an exception nothing has changed.

    Raises:
        StorageError: the disk is full, read-only, or failed.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = partial_path(path, this_owner())
        for entry in path.parent.iterdir():
            if entry.name.startswith(f"{path.name}.") and entry.name.endswith(PART) and (entry == folder or is_abandoned(entry)):
                shutil.rmtree(entry, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            yield folder / path.name
            others = [entry for entry in folder.iterdir() if entry.name != path.name]
            if others:
                path.unlink(missing_ok=True)  # it would speak of files that are not its own
            for entry in (*others, folder / path.name):
                with open(entry, "rb") as stream:
                    os.fsync(stream.fileno())
                os.replace(entry, path.with_name(entry.name))
            sync_directory(path.parent)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable; a no-op where directories cannot be opened."""
    with contextlib.suppress(PermissionError, IsADirectoryError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
