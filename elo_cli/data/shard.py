"""A shard: one immutable safetensors file with the segments of a few videos.

Tensors of segment i (T frames of H×W):
    `i.rgb`            uint8 (T, H, W, 3)
    `i.flow`           int8 (T, H, W, 2), frame t → t+1, x right and y down, times `flow_scale[t, 0]` = pixels
    `i.flow_backward`  int8 (T, H, W, 2), frame t+1 → t, times `flow_scale[t, 1]`
    `i.flow_scale`     float32 (T, 2)
    `i.audio`          float16 (mels, frames), natural logarithm of the mel power
Under storage `jpeg` two tensors stand for each of rgb, flow and flow_backward (`elo_cli.data.jpeg`):
    `i.NAME_jpeg`      uint8 (bytes), one JPEG after another
    `i.NAME_ends`      int64 (T), where each of them ends
The header's metadata hold, as JSON under `elo`, the settings that decide content, a record for each
video and segment, and a digest for each video. Nothing else is needed to train. Of a video that
failed nothing is here: it must not change the bytes of the others.
`elo_cli.data.shard_writer` writes shards.
"""

import os
import weakref
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import xxhash

from elo_cli.core.errors import DataError
from elo_cli.data.header import MEND, Header, Stored, damaged
from elo_cli.data.jpeg import decode_flow, decode_frames
from elo_cli.data.records import SegmentRecord, VideoRecord

ENDING = ".safetensors"

_FORM = (KeyError, ValueError, TypeError, AttributeError, RecursionError)
_PIECE = 2**20  # bytes that are hashed, copied, or read for nothing, at a time


class Contents(TypedDict):
    """The metadata `elo` of a shard, as they are written.

    Attributes:
        settings: those of preprocessing that decide content.
        videos: by id, the fields of its `VideoRecord`.
        segments: the fields of each `SegmentRecord`; its place is the number that `Shard.read` takes.
        digests: by the id of a video, 32 hexadecimal digits that name its records and tensors.
    """

    settings: dict[str, Any]
    videos: dict[str, dict[str, Any]]
    segments: list[dict[str, Any]]
    digests: dict[str, str]


_KINDS = {"settings": dict, "videos": dict, "segments": list, "digests": dict}


class Shard:
    """A finished shard, opened for reading.

    Opening compares the header with its check; the tensors are compared by `verify` alone. Reading
    goes through `pread` and not through a map: a disk that fails is then an error with a name, where
    a map would end the process by SIGBUS.

    Raises:
        DataError: the file is not a shard, is damaged, or is of another schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._file)
            size = os.fstat(self._file).st_size
            length = 8 + int.from_bytes(os.pread(self._file, 8, 0), "little")
            if length > size:
                raise damaged(path, f"it has {size} bytes, too few for a header of {length}")
            self._header = Header(os.pread(self._file, length, 0), size, path)
        except OSError as error:
            raise _unreadable(path, error) from error

    def __reduce__(self) -> tuple[type["Shard"], tuple[Path]]:
        return Shard, (self.path,)  # another process opens the file for itself

    @cached_property
    def contents(self) -> Contents:
        """The metadata, parsed when first asked for.

        Raises:
            DataError: they are of another form.
        """
        try:
            contents: Contents = self._header.description()
            for key, kind in _KINDS.items():
                if not isinstance(contents[key], kind):  # type: ignore[literal-required]
                    raise TypeError(f"{key} is no {kind.__name__}")
        except _FORM as error:
            raise self.malformed(error) from error
        return contents

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of preprocessing that decide content."""
        return self.contents["settings"]

    @property
    def videos(self) -> dict[str, VideoRecord]:
        """The record of each video, by its id."""
        try:
            return {name: VideoRecord(**entry) for name, entry in self.contents["videos"].items()}
        except _FORM as error:
            raise self.malformed(error) from error

    @property
    def segments(self) -> list[SegmentRecord]:
        """The record of each segment; its place here is the number that `read` takes."""
        try:
            return [SegmentRecord(**entry) for entry in self.contents["segments"]]
        except _FORM as error:
            raise self.malformed(error) from error

    def malformed(self, error: Exception) -> DataError:
        """Make the error that says that the metadata are not what they should be."""
        return damaged(self.path, f"its metadata are of another form: {error!r}")

    def read(self, segment: int, name: str, start: int, stop: int, step: int = 1) -> np.ndarray:
        """Read frames start, start + step, … before stop of one tensor of one segment, and nothing else.

        Args:
            segment: its number.
            name: `rgb`, `flow`, `flow_backward`, `flow_scale` or `audio`; JPEGs are decoded.
            start, stop: 0 <= start < stop <= the frames that there are.
            step: >= 1; 1 for audio.

        Returns:
            A new array of the type and shape at the head of this file, with those frames alone.

        Raises:
            DataError: the shard does not hold them, or cannot be read.
        """
        stored = self._header.tensor(f"{segment}.{name}")
        if stored is None:
            return self._decode(segment, name, range(start, stop, step))
        if not 0 <= start < stop <= stored.shape[name == "audio"]:
            raise self._lacking(segment, name)
        return self._columns(stored, start, stop) if name == "audio" else self._rows(stored, range(start, stop, step))

    def tensor_bytes(self) -> dict[str, int]:
        """Say how many bytes each tensor takes."""
        return {name: stored.nbytes for name, (stored, _) in self._header.checksums().items()}

    def verify(self) -> list[str]:
        """Compare each tensor with its checksum, a piece at a time.

        Returns:
            The names of those that differ or cannot be read; empty when the shard is whole.

        Raises:
            DataError: the checksums cannot be read.
        """
        piece = np.empty(_PIECE, np.uint8)
        return [name for name, (stored, sum_) in self._header.checksums().items() if self._checksum(stored, piece) != sum_]

    def _lacking(self, segment: int, name: str) -> DataError:
        return DataError(f"{self.path} lacks frames of '{segment}.{name}'.", hint=MEND)

    def _rows(self, stored: Stored, rows: range) -> np.ndarray:
        array = np.empty((len(rows), *stored.shape[1:]), stored.dtype)
        size = array.nbytes // len(array)
        if rows.step == 1:
            return self._fill(array, stored.begin + rows.start * size)
        for part, row in zip(array, rows, strict=True):
            self._fill(part, stored.begin + row * size)
        return array

    def _columns(self, stored: Stored, start: int, stop: int) -> np.ndarray:
        rows, columns = stored.shape
        if stored.nbytes <= _PIECE:  # one read of everything is quicker than one for each row
            return np.ascontiguousarray(self._rows(stored, range(rows))[:, start:stop])
        array, width = np.empty((rows, stop - start), stored.dtype), stored.dtype.itemsize
        for row in range(rows):
            self._fill(array[row], stored.begin + (row * columns + start) * width)
        return array

    def _decode(self, segment: int, name: str, frames: range) -> np.ndarray:
        coded, ends = (self._header.tensor(f"{segment}.{name}_{part}") for part in ("jpeg", "ends"))
        if coded is None or ends is None or not 0 <= frames.start < frames.stop <= ends.shape[0]:
            raise self._lacking(segment, name)
        before = self._rows(ends, range(frames.start - 1, frames.start)) if frames.start else np.zeros(1, np.int64)
        bounds = np.concatenate([before, self._rows(ends, range(frames.start, frames.stop))])
        if bounds[0] < 0 or bounds[-1] > coded.nbytes or (np.diff(bounds) <= 0).any():
            raise damaged(self.path, f"{segment}.{name}_ends do not rise")
        begins, sizes = bounds[:-1][:: frames.step], np.diff(bounds)[:: frames.step]
        if frames.step == 1:
            content = self._rows(coded, range(int(bounds[0]), int(bounds[-1])))
        else:
            parts = zip(begins.tolist(), sizes.tolist(), strict=True)
            content = np.concatenate([self._rows(coded, range(begin, begin + size)) for begin, size in parts])
        try:
            return (decode_frames if name == "rgb" else decode_flow)(content, np.cumsum(sizes))
        except ValueError as error:
            raise damaged(self.path, f"frames of {segment}.{name}: {error}") from error

    def _checksum(self, stored: Stored, piece: np.ndarray) -> str | None:
        """Hash a tensor by way of one piece of memory; None where the disk fails."""
        digest = xxhash.xxh3_128()
        try:
            for first in range(0, stored.nbytes, len(piece)):
                digest.update(self._fill(piece[: stored.nbytes - first], stored.begin + first).data)
        except DataError:
            return None
        return digest.hexdigest()

    def _fill(self, array: np.ndarray, at: int) -> np.ndarray:
        """Read bytes from position `at` of the file until the array is full."""
        left = array.data.cast("B")
        try:
            while left:
                count = os.preadv(self._file, [left], at)
                if not count:
                    raise damaged(self.path, f"it ends before byte {at + len(left)}")
                left, at = left[count:], at + count
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return array


def _unreadable(path: Path, error: OSError) -> DataError:
    """Say what the operating system said: the file may be whole."""
    return DataError(
        f"{path} cannot be read: {error.strerror or error}.",
        hint="Is its disk there and in order, and may you read it? A shard that is lost is made anew by elo preprocess.",
    )
