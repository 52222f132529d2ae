"""Write large files past the page cache.

Nobody reads a file soon after it was written whole, and filling the cache with it costs more processor time than
hashing it, pushes out what is read, and is paid again when the disk is waited for.
"""

import errno
import fcntl
import functools
import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

_BLOCK = 4096  # what disks and file systems want positions, lengths and memory to be multiples of
_STAGE = 4 * 2**20  # bytes that are written at once
_DIRECT = getattr(os, "O_DIRECT", 0)  # Linux
_REFUSED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)  # by a file system that cannot


class DirectFile:
    """A new file, written once from its beginning to its end; as a context manager it is closed whatever happens.

    Where the file system cannot do without the page cache, it is written through it.

    Args:
        path: the file; one that is there is replaced.

    Raises:
        OSError: the disk is full, read-only, or failed.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            self._file = os.open(path, flags | _DIRECT, 0o666)
        except OSError as error:
            if not _DIRECT or error.errno not in _REFUSED:
                raise
            self._file = os.open(path, flags, 0o666)
        self._stage, self._staged, self._size = _stage(), 0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            os.close(self._file)

    def write(self, content: bytes | memoryview) -> None:
        """Append bytes."""
        left = memoryview(content)
        self._size += len(left)
        while left:
            part = left[: _STAGE - self._staged]
            self._stage[self._staged : self._staged + len(part)] = part
            self._staged, left = self._staged + len(part), left[len(part) :]
            if self._staged == _STAGE:
                self._flush(_STAGE)

    def writelines(self, contents: Iterable[bytes | memoryview]) -> None:
        """Append bytes, one after the other."""
        for content in contents:
            self.write(content)

    def _finish(self) -> None:
        """Write the rest in whole blocks, and cut off what is too much."""
        if self._staged:
            whole = -(-self._staged // _BLOCK) * _BLOCK
            self._stage[self._staged : whole] = bytes(whole - self._staged)
            self._flush(whole)
        os.ftruncate(self._file, self._size)

    def _flush(self, count: int) -> None:
        left = memoryview(self._stage)[:count]
        while left:
            try:
                written = os.write(self._file, left)
            except OSError as error:
                flags = fcntl.fcntl(self._file, fcntl.F_GETFL)
                if error.errno not in _REFUSED or not flags & _DIRECT:
                    raise
                fcntl.fcntl(self._file, fcntl.F_SETFL, flags & ~_DIRECT)  # it let itself be opened, and no more
                continue
            left = left[written:]
        self._staged = 0


@functools.cache
def _stage() -> mmap.mmap:
    """Memory at a multiple of the block, as O_DIRECT wants it: one for the process, which writes one file at a time."""
    return mmap.mmap(-1, _STAGE)
