"""The header of a shard: an ordinary safetensors header that vouches for each of its own bytes.

    8 bytes  length of the rest, little-endian
    {"__metadata__": {"schema": "2", "check": …, "bytes": …, "elo": …, "checksums": …}, "0.audio": {…}, …}
    and spaces up to a multiple of 8

`check` is xxh3_128 of the header with zeros in its own place, `bytes` the length of the tensors that
follow, `checksums` as JSON xxh3_128 of each of them. The keys stand in this order and without white
space, so that a reader finds `check`, `bytes` and the entry of one tensor without parsing the rest: a
shard of 64 videos opens in a fifth of a millisecond. Format: https://github.com/huggingface/safetensors
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash

from elo_cli.core.errors import DataError, UsageError

SCHEMA = 2
DTYPES: dict[str, np.dtype[Any]] = {
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
MEND = "Delete that one file and run elo preprocess again: only its videos are done anew."

_LARGEST = 100_000_000  # bytes; the safetensors library refuses a longer header
_HEAD = re.compile(rb'\{"__metadata__":\{"schema":"(\d{1,9})","check":"([0-9a-f]{32})","bytes":"(\d{1,19})","elo":(?=")')
_ZEROS = "0" * 32
_DAMAGE = (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError)


class Tensor(NamedTuple):
    """A tensor to be named: its type, its shape, and xxh3_128 of its bytes as 32 hexadecimal digits."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    checksum: str


class Stored(NamedTuple):
    """Where a tensor is in its file; `begin` in bytes from the start of the file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    nbytes: int


def canonical(value: Any) -> str:
    """Say a value as JSON in the one form that equal values share.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def build(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bytes:
    """Make the header of a file that holds these tensors in this order, one right after the other.

    Args:
        description: what the metadata `elo` say.
        tensors: by their names.

    Raises:
        UsageError: there are more tensors than a header can name.
    """
    entries, end = {}, 0
    for name, tensor in tensors.items():
        begin, end = end, end + math.prod(tensor.shape) * tensor.dtype.itemsize
        entries[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    metadata = {"schema": str(SCHEMA), "check": _ZEROS, "bytes": str(end), "elo": canonical(description)}
    metadata["checksums"] = canonical({name: tensor.checksum for name, tensor in tensors.items()})
    text = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":"))
    text += " " * (-len(text) % 8)
    if len(text) > _LARGEST:
        raise UsageError(
            f"A shard of {len(tensors)} tensors has a header of {len(text) / 1e6:.0f} MB; {_LARGEST / 1e6:.0f} are allowed.",
            hint="Put fewer videos into a shard: lower preprocess.videos_per_shard.",
        )
    digest = xxhash.xxh3_128_hexdigest(text.encode())
    return len(text).to_bytes(8, "little") + text.replace(_ZEROS, digest, 1).encode()


class Header:
    """A header that was read and is whole.

    Args:
        content: all of it, the 8 bytes of its length included.
        size: bytes of the file.
        path: the file, for messages.

    Raises:
        DataError: it is not the header of a shard, is damaged, or is of another schema version; or the
            file is shorter or longer than the header says.
    """

    def __init__(self, content: bytes, size: int, path: Path) -> None:
        self._path, self._start = path, len(content)
        text = content[8:]
        head = _HEAD.match(text)
        schema = _schema_of(text) if head is None else int(head[1])
        if schema is not None and schema != SCHEMA:
            raise DataError(
                f"{path} has schema version {schema}; this elo reads {SCHEMA}.",
                hint="Preprocess the videos again with this version of elo.",
            )
        if head is None:
            raise damaged(path, "it does not begin as a shard does")
        begin, end = head.span(2)
        digest = xxhash.xxh3_128(text[:begin] + _ZEROS.encode())
        digest.update(memoryview(text)[end:])
        if digest.hexdigest().encode() != head[2]:
            raise damaged(path, "its header is not as it was written")
        if size != len(content) + int(head[3]):
            raise damaged(path, f"it has {size} bytes, but was written with {len(content) + int(head[3])}")
        self._text, self._elo, self._end = text, head.end(), size

    def description(self) -> Any:
        """Parse what the shard says of its videos; it is not kept.

        Raises:
            ValueError: it is not JSON.
        """
        elo, _ = json.JSONDecoder().raw_decode(self._text[self._elo :].decode("ascii"))
        return json.loads(elo)

    def checksums(self) -> dict[str, tuple[Stored, str]]:
        """Say where each tensor lies and what its checksum is, in the order in which they lie in the file.

        Raises:
            DataError: one has no checksum, or its entry is none.
        """
        try:
            entries = json.loads(self._text)
            checksums = json.loads(entries.pop("__metadata__")["checksums"])
            return {name: (self._stored(name, entry), str(checksums[name])) for name, entry in entries.items()}
        except _DAMAGE as error:
            raise damaged(self._path, f"its checksums cannot be read: {error!r}") from error

    def tensor(self, name: str) -> Stored | None:
        """Find one tensor; None if there is no such one.

        Raises:
            DataError: its entry is none.
        """
        # Inside `elo` every quote has a backslash before it: this stands for an entry of the header only.
        key = f"{json.dumps(name)}:".encode()
        at = self._text.find(key, self._elo)
        if at < 0:
            return None
        try:
            stop = self._text.index(b"}", at)
            return self._stored(name, json.loads(self._text[at + len(key) : stop + 1]))
        except _DAMAGE as error:
            raise damaged(self._path, f"{name}: {error!r}") from error

    def _stored(self, name: str, entry: dict[str, Any]) -> Stored:
        dtype, shape = DTYPES[entry["dtype"]], tuple(int(length) for length in entry["shape"])
        begin, end = (self._start + int(offset) for offset in entry["data_offsets"])
        if not self._start <= begin <= end <= self._end or math.prod(shape) * dtype.itemsize != end - begin or min(shape) < 1:
            raise ValueError(f"{name}: {entry} is not a part of the file")
        return Stored(dtype, shape, begin, end - begin)


def damaged(path: Path, why: str) -> DataError:
    """Make the error that says that a file is not a whole shard."""
    return DataError(f"{path} is not a readable shard: {why}.", hint=MEND)


def _schema_of(text: bytes) -> int | None:
    """Find the schema version in a header of another form; None where it has none."""
    try:
        metadata = json.loads(text)["__metadata__"]
        # Version 1 had it inside `elo`.
        return int(metadata["schema"] if "schema" in metadata else json.loads(metadata["elo"])["schema"])
    except _DAMAGE:
        return None
