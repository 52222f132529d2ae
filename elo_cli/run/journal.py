"""An append-only file of JSON lines that survives being killed at any moment.

A line is the record and its check, the first 8 hexadecimal digits of a BLAKE2b over the record:

    {"step": 3, "loss": 0.25, "check": "bb068e06"}

Whatever can be wrong with such a file is told apart by where it stands. A last line without its
newline, or whose check does not fit, is a write that was cut short: it counts as not written, and
the next append puts its line there. Anything wrong before the last line is damage, and an error.
"""

import contextlib
import errno
import hashlib
import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elo_cli.core.errors import DataError
from elo_cli.core.files import storage_errors, sync_directory

Record = dict[str, Any]


class Journal:
    """The records of one file. One process may append (see `RunDirectory.open`), any may read.

    Records are JSON objects without a key `check`. JSON has no NaN and no infinity: writers say
    `null`, or a word, for what is not finite. Two equal records in a row count as one, so a record
    that can rightly be repeated carries a number or a time.

    Args:
        path: the file; it is made by the first append, in a directory that exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._length = -1  # of the file when we last wrote to it
        self._last = b""

    def read(self) -> list[Record]:
        """Return all records, in order; none when there is no file.

        Raises:
            DataError: a line other than the last is damaged; the path and the line number are named.
        """
        try:
            with self.path.open("rb") as stream:
                content = stream.read(os.fstat(stream.fileno()).st_size)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        return self._parse(content)[0]

    def append(self, record: Record) -> None:
        """Write one record; when this returns, it is on the disk.

        A record that equals the last one is not written again, so an append may be repeated.

        Raises: as `extend`.
        """
        self.extend([record])

    def extend(self, records: Sequence[Record]) -> None:
        """Write records one after the other; when this returns, all are on the disk.

        Of an interrupted write the first lines may be there, never a part of a line.

        Raises:
            StorageError: the disk is full, read-only, or failed; the file is as it was.
            DataError: the file is damaged before its last line; nothing is written.
            ValueError: the record holds NaN or an infinity, or has a key `check`.
        """
        lines = [encode(record) for record in records]
        with storage_errors(self.path):
            is_new = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                self._recover(descriptor)
                new = [line for before, line in itertools.pairwise([self._last, *lines]) if line != before]
                if new:
                    self._write(descriptor, b"".join(new), new[-1])
            finally:
                os.close(descriptor)
            if is_new:
                sync_directory(self.path.parent)

    def _recover(self, descriptor: int) -> None:
        """Cut off a torn last line, unless the file is as we left it."""
        size = os.fstat(descriptor).st_size
        if size == self._length:
            return
        content = os.pread(descriptor, size, 0)
        good = self._parse(content)[1]
        if good != size:
            os.ftruncate(descriptor, good)
            os.fsync(descriptor)
        self._length = good
        self._last = content[content.rfind(b"\n", 0, max(good - 1, 0)) + 1 : good]

    def _write(self, descriptor: int, lines: bytes, last: bytes) -> None:
        """Write lines whole; on failure take back what was written of them."""
        try:
            if os.write(descriptor, lines) != len(lines):  # one write, so that only the end can be missing
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        except OSError:
            # Where even this fails, the torn line is cut off by the next append.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, self._length)
            self._length = -1
            raise
        self._length += len(lines)
        self._last = last

    def _parse(self, content: bytes) -> tuple[list[Record], int]:
        """Return the records and the length up to which the file is good."""
        lines = content.split(b"\n")
        torn = lines.pop()  # what follows the last newline
        records: list[Record] = []
        good = 0
        repeated = False
        for number, line in enumerate(lines, start=1):
            record = decode(line)
            is_repeat = number > 1 and line == lines[number - 2]
            if record is None and number == len(lines) and not torn:
                break
            if record is None or (is_repeat and repeated):
                what = "is damaged" if record is None else "stands there for the third time"
                raise DataError(
                    f"{self.path}, line {number}: the record {what}.",
                    hint="Put back a copy of the file from before, or start over in a new directory with --fresh.",
                )
            if not is_repeat:
                records.append(record)
            repeated = is_repeat
            good += len(line) + 1
        return records, good


def canonical(record: Record) -> bytes:
    """Return the one spelling of a record that its check is made of.

    Raises:
        ValueError: the record holds NaN or an infinity.
    """
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def encode(record: Record) -> bytes:
    """Write a record as its line, the newline included.

    Raises:
        ValueError: the record holds NaN or an infinity, or has a key `check`.
    """
    if "check" in record:
        raise ValueError("a record of a journal has no key 'check' of its own")
    plain = json.loads(json.dumps(record, allow_nan=False))  # what a reader will see: keys as text, tuples as lists
    return (json.dumps(plain | {"check": _check(plain)}) + "\n").encode()


def decode(line: bytes) -> Record | None:
    """Read a line without its newline; None when it is not as it was written."""
    try:
        record = json.loads(line)
        if not isinstance(record, dict) or record.pop("check", None) != _check(record):
            return None
    except (ValueError, RecursionError):
        return None
    return record


def _check(record: Record) -> str:
    return hashlib.blake2b(canonical(record), digest_size=4).hexdigest()
