"""Write shards: segment by segment, in bounded memory, whole files or none, equal bytes for equal content.

A safetensors file begins with a header that names all tensors, and has no holes. So tensors wait in a
spool, one for each width of elements, and follow the header in the end, the wide ones first: so each
is aligned.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import xxhash

from elo_cli.core.direct import DirectFile
from elo_cli.core.files import PART, partial_file, publish, storage_errors
from elo_cli.data.header import Tensor, build, canonical
from elo_cli.data.records import SegmentRecord, VideoRecord

IN_MEMORY = 64 * 2**20  # bytes of a spool before it moves to a temporary file

_PIECE = 2**20  # bytes that are copied at a time
_PICTURES = {"rgb": ("u1", 3), "flow": ("i1", 2), "flow_backward": ("i1", 2)}


class ShardWriter:
    """Writes one shard; as a context manager it abandons what was not committed.

    Args:
        path: the file; its folder exists.
        settings: the settings that decide content, `PreprocessSettings.content()`.
        owner: who will publish it, if that may be one of several; as in `partial_file`.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], owner: str = "") -> None:
        self.path, self.settings, self.owner = path, dict(settings), owner
        self._videos: dict[str, dict[str, Any]] = {}
        self._segments: list[dict[str, Any]] = []
        self._tensors: dict[str, Tensor] = {}
        self._spools = {width: _Spool(path) for width in (8, 4, 2, 1)}
        self._begun: set[str] = set()
        self._newest: str | None = None
        self._marks: dict[int, int] = {}  # where the newest video begins in each spool

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.abandon()

    @property
    def segments(self) -> int:
        """How many segments there are."""
        return len(self._segments)

    def add_video(self, name: str, record: VideoRecord) -> None:
        """Add the record of a video, before, between or after its segments."""
        self._turn_to(name)
        if name in self._videos:
            raise ValueError(f"{name} has a record already")
        entry = asdict(record)
        canonical(entry)  # what cannot be written shall fail here, where the video is known
        self._videos[name] = entry

    def drop_video(self, name: str) -> None:
        """Take the newest video back with its segments, as if none of it had been added."""
        if name not in self._begun:
            return
        if name != self._newest:
            raise ValueError(f"{name} is not the newest video")
        self._videos.pop(name, None)
        self._begun.remove(name)
        self._newest = None
        while self._segments and self._segments[-1]["video"] == name:
            self._segments.pop()
        for tensor in [tensor for tensor in self._tensors if int(tensor.partition(".")[0]) >= len(self._segments)]:
            del self._tensors[tensor]
        for width, spool in self._spools.items():
            spool.cut(self._marks[width])

    def add_segment(self, record: SegmentRecord, tensors: Mapping[str, np.ndarray]) -> None:
        """Append a segment; those of one video come one after another. Its arrays are kept, so nobody may change them.

        Args:
            record: what it is.
            tensors: `rgb`, `flow_scale`, … and their arrays, as the head of `elo_cli.data.shard` names them.

        Raises:
            ValueError: the arrays are not those that record and storage ask for.
            StorageError: the disk is full or failed.
        """
        self._turn_to(record.video)
        entry, index = asdict(record), len(self._segments)
        canonical(entry)
        _check(record, tensors, str(self.settings["storage"]))
        self._segments.append(entry)
        for name in sorted(tensors):
            array = np.ascontiguousarray(tensors[name])
            content = array.data.cast("B")
            self._tensors[f"{index}.{name}"] = Tensor(array.dtype, array.shape, xxhash.xxh3_128_hexdigest(content))
            with storage_errors(self.path):
                self._spools[array.itemsize].append(content)

    def commit(self) -> None:
        """Write the file and publish it: at every moment it is there whole or not at all.

        Raises: as `finish`.
        """
        self.finish()
        publish(self.path, self.owner)

    def finish(self) -> None:
        """Write the file as a partial one; whoever does so must `publish` it, here or in another process.

        Raises:
            ValueError: there is no video, or one without a record or a segment.
            UsageError: there are more segments than one file can name.
            StorageError: the disk is full or failed.
        """
        if not self._videos or set(self._videos) != {entry["video"] for entry in self._segments}:
            raise ValueError("a shard needs a video, and each video a record and a segment")
        description = {
            "settings": self.settings,
            "videos": self._videos,
            "segments": self._segments,
            "digests": self._digests(),
        }
        order = sorted(self._tensors, key=lambda name: -self._tensors[name].dtype.itemsize)  # stable
        header = build(description, {name: self._tensors[name] for name in order})
        with partial_file(self.path, DirectFile, self.owner) as stream:
            stream.write(header)
            for spool in self._spools.values():
                spool.copy_to(stream)
        self.abandon()

    def abandon(self) -> None:
        """Drop what was added; a finished file stays."""
        for spool in self._spools.values():
            spool.close()

    def _turn_to(self, name: str) -> None:
        """Begin a video unless it is the one at hand."""
        if name == self._newest:
            return
        if name in self._begun:
            raise ValueError(f"{name} is here already")
        self._begun.add(name)
        self._newest, self._marks = name, {width: spool.size for width, spool in self._spools.items()}

    def _digests(self) -> dict[str, str]:
        """Name the content of each video: its records and checksums, whatever else the shard holds."""
        parts: dict[str, list[Any]] = {name: [name, entry] for name, entry in self._videos.items()}
        sums: list[list[list[str]]] = [[] for _ in self._segments]
        for name, tensor in self._tensors.items():
            index, _, kind = name.partition(".")
            sums[int(index)].append([kind, tensor.checksum])
        for entry, own in zip(self._segments, sums, strict=True):
            parts[entry["video"]] += [entry, own]
        return {name: xxhash.xxh3_128_hexdigest(canonical(part).encode()) for name, part in parts.items()}


class _Spool:
    """Bytes that wait for their place in a file: in memory up to `IN_MEMORY`, then in a temporary file.

    `tempfile.SpooledTemporaryFile` would copy each byte twice more, which took as long as hashing and writing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: list[memoryview] = []
        self._file: IO[bytes] | None = None
        self._filed = 0  # bytes in the file; the parts follow them
        self.size = 0

    def append(self, content: memoryview) -> None:
        """Add some bytes, which nobody changes any more."""
        self._parts.append(content)
        self.size += len(content)
        if self.size - self._filed > IN_MEMORY:
            if self._file is None:
                folder, name = self._path.parent, self._path.name
                self._file = tempfile.TemporaryFile(dir=folder, prefix=name, suffix=PART)  # noqa: SIM115  (`close` closes it)
            self._file.writelines(self._parts)
            self._parts, self._filed = [], self.size

    def cut(self, size: int) -> None:
        """Forget all but the first `size` bytes, an end of what was appended."""
        while self.size > max(size, self._filed):
            self.size -= len(self._parts.pop())
        if self._file is not None and size < self._filed:
            self._file.seek(size)
            self._file.truncate()
            self.size = self._filed = size

    def copy_to(self, stream: DirectFile) -> None:
        """Write everything to a stream."""
        if self._file is not None:
            self._file.seek(0)
            while piece := self._file.read(_PIECE):
                stream.write(piece)
        stream.writelines(self._parts)

    def close(self) -> None:
        """Forget everything."""
        self._parts = []
        if self._file is not None:
            self._file.close()


def _check(record: SegmentRecord, tensors: Mapping[str, np.ndarray], storage: str) -> None:
    """Compare arrays with what record and storage ask for."""
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, (dtype, depth) in _PICTURES.items():
        if name != "rgb" and not record.flow:
            continue
        if storage == "jpeg":
            wanted |= {f"{name}_jpeg": ("u1", (-1,)), f"{name}_ends": ("<i8", (record.frames,))}
        else:
            wanted[name] = (dtype, (record.frames, record.height, record.width, depth))
    if record.flow:
        wanted["flow_scale"] = ("<f4", (record.frames, 2))
    if record.audio_frames:
        wanted["audio"] = ("<f2", (-1, record.audio_frames))
    given = {name: (array.dtype, array.shape) for name, array in tensors.items()}
    fits = given.keys() == wanted.keys() and all(
        dtype == np.dtype(wanted[name][0])
        and len(shape) == len(wanted[name][1])
        and all(0 < have == (want if want >= 0 else have) for have, want in zip(shape, wanted[name][1], strict=True))
        for name, (dtype, shape) in given.items()
    )
    if not fits:
        raise ValueError(f"{record} asks for {wanted}, not for {given}")
