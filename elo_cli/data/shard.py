"""A shard: one immutable safetensors file with the segments of a few videos.

Tensors of segment i (T frames of H×W):
    `i.rgb`            uint8 (T, H, W, 3)
    `i.flow`           int8 (T, H, W, 2), frame t → t+1, x right and y down, times `flow_scale[0]` = pixels
    `i.flow_backward`  int8 (T, H, W, 2), frame t+1 → t, times `flow_scale[1]`
    `i.audio`          float16 (mels, frames), natural logarithm of the mel power
The header's metadata hold, as JSON under `elo`, the schema version, a record for each segment, and
the videos of this shard that could not be used with their reasons. Nothing else is needed to train.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from elo_cli.core.errors import DataError
from elo_cli.core.files import write_atomic

SCHEMA = 1
ENDING = ".safetensors"

_DAMAGE = (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError, IndexError)
_MEND = "Delete that one file and run elo preprocess again: only its videos are done anew."


@dataclass(frozen=True)
class SegmentRecord:
    """What is known of one segment.

    Attributes:
        video: id of its video: the path relative to the root of the source.
        start_s: where it starts in the video, in seconds.
        frames, height, width: shape of its frames.
        flow_scale: pixels for one unit of the stored flow, forward and backward; None without flow.
        audio_frames: frames of its log-mel spectrogram; 0 where the video has no sound there.
    """

    video: str
    label: str | None
    start_s: float
    frames: int
    height: int
    width: int
    flow_scale: tuple[float, float] | None
    audio_frames: int


@dataclass(frozen=True)
class VideoFailure:
    """A video that could not be used, and why."""

    video: str
    reason: str
    message: str


@dataclass
class ShardContent:
    """What goes into one shard."""

    records: list[SegmentRecord] = field(default_factory=list)
    failures: list[VideoFailure] = field(default_factory=list)
    warnings: dict[str, dict[str, float]] = field(default_factory=dict)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, record: SegmentRecord, tensors: dict[str, np.ndarray]) -> None:
        """Append one segment; `tensors` maps `rgb`, `flow`, … to its arrays."""
        index = len(self.records)
        self.records.append(record)
        for name, array in tensors.items():
            self.tensors[f"{index}.{name}"] = np.ascontiguousarray(array)


def write_shard(path: Path, content: ShardContent) -> None:
    """Write a shard whole or not at all; equal content gives equal bytes.

    Raises:
        StorageError: the disk is full or failed.
    """
    description = {
        "schema": SCHEMA,
        "segments": [asdict(record) for record in content.records],
        "failures": [asdict(failure) for failure in content.failures],
        "warnings": content.warnings,
    }
    metadata = {"elo": json.dumps(description, sort_keys=True)}
    # An empty shard (every video of it failed) still needs a tensor for the file to be one.
    tensors = content.tensors or {"empty": np.zeros(1, np.uint8)}
    write_atomic(path, save(tensors, metadata))


class Shard:
    """A finished shard, opened for reading; pages come from disk when they are touched.

    Raises:
        DataError: the file is not a shard, is damaged, or is of another schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            file: Any = safe_open(path, framework="numpy")
            self._file = file
            description = json.loads((file.metadata() or {})["elo"])
            schema = description["schema"]
            if schema == SCHEMA:
                self.records = [_record(entry) for entry in description["segments"]]
                self.failures = [VideoFailure(**entry) for entry in description["failures"]]
                self.warnings: dict[str, dict[str, float]] = description["warnings"]
        except _DAMAGE as error:
            raise DataError(f"{path} is not a readable shard: {error!r}", hint=_MEND) from error
        if schema != SCHEMA:
            raise DataError(
                f"{path} has schema version {schema}; this elo reads {SCHEMA}.",
                hint="Preprocess the videos again with this version of elo.",
            )

    def __reduce__(self) -> tuple[type["Shard"], tuple[Path]]:
        return Shard, (self.path,)  # a worker process opens the file for itself

    def read(self, segment: int, name: str, start: int, stop: int) -> np.ndarray:
        """Read frames [start, stop) of one tensor of one segment, and nothing else.

        Raises:
            DataError: the shard does not hold them.
        """
        try:
            part = self._file.get_slice(f"{segment}.{name}")
            array: np.ndarray = part[:, start:stop] if name == "audio" else part[start:stop]
        except SafetensorError as error:
            raise DataError(f"{self.path} lacks frames of '{segment}.{name}': {error}", hint=_MEND) from error
        return array


def _record(entry: dict[str, Any]) -> SegmentRecord:
    scale = entry["flow_scale"]
    return SegmentRecord(**{**entry, "flow_scale": None if scale is None else (float(scale[0]), float(scale[1]))})
