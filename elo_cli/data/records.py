"""What is written down of each video: in its shard if it could be used, beside the shard if not."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from elo_cli.core.errors import VIDEO_REASONS, VIDEO_STAGES, DataError
from elo_cli.core.files import write_json

MISSING_S = 1.0  # headers are rarely exact
FAILURES = ".failures.json"  # the ending of the file beside `NAME.safetensors`


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """What is known of one video.

    Attributes:
        label, split: as listed; None where the list says nothing.
        fingerprint, bytes: of the source file.
        duration_s: seconds that were decoded.
        promised_s: seconds that the container promises; None if it does not.
        source_height, source_width: pixels of the source's pictures.
        source_fps: mean frames a second of the source; None where it says nothing.
        codec: FFmpeg's name of it.
        bad_packets: packets that the decoder complained of: the frames may not be as they were filmed.
        sound: `heard`, or why there is none.
        flow: why there is no optical flow, or None.
    """

    label: str | None
    split: str | None
    fingerprint: str
    bytes: int
    duration_s: float
    promised_s: float | None
    source_height: int
    source_width: int
    source_fps: float | None
    codec: str
    bad_packets: int
    sound: Literal["heard", "none", "silent", "broken", "off"]
    flow: str | None

    @property
    def missing_s(self) -> float:
        """Seconds that the container promises and that are not there."""
        return max(0.0, (self.promised_s or 0.0) - self.duration_s)

    @property
    def possibly_damaged(self) -> bool:
        """Whether decoding met complaints, or the end much too early: what is stored may not be as it was filmed."""
        return self.bad_packets > 0 or self.missing_s > MISSING_S


@dataclass(frozen=True, slots=True)
class SegmentRecord:
    """What is known of one segment.

    Attributes:
        video: id of its video: the path relative to the root of the source.
        start_s: where it starts in the video, in seconds.
        frames, height, width: shape of its frames.
        flow: whether it has optical flow, forward and backward.
        audio_frames: frames of its log-mel spectrogram; 0 where the video has no sound there.
    """

    video: str
    start_s: float
    frames: int
    height: int
    width: int
    flow: bool
    audio_frames: int


@dataclass(frozen=True, slots=True)
class VideoFailure:
    """A video that could not be used, and why.

    Attributes:
        video: its id.
        stage: one of `errors.VIDEO_STAGES`.
        reason: one of `errors.VIDEO_REASONS`.
        message: the whole story, FFmpeg's own words included.
    """

    video: str
    stage: str
    reason: str
    message: str

    def __post_init__(self) -> None:
        if self.stage not in VIDEO_STAGES or self.reason not in VIDEO_REASONS:
            raise ValueError(f"a failure at stage {self.stage!r} for reason {self.reason!r} is not in the vocabulary")


def failures_path(shard: Path) -> Path:
    """Name the file that holds the failures of a shard, which need not exist itself."""
    return shard.with_suffix(FAILURES)


def write_failures(shard: Path, failures: Sequence[VideoFailure]) -> None:
    """Write the failures of a shard beside it, atomically; to be done before the shard is written.

    Raises:
        StorageError: the disk is full, read-only, or failed.
    """
    write_json(failures_path(shard), {"failures": [asdict(failure) for failure in failures]})


def read_failures(shard: Path) -> list[VideoFailure]:
    """Read the failures of a shard; none where there is no such file.

    Raises:
        DataError: the file is damaged.
    """
    path = failures_path(shard)
    try:
        return [VideoFailure(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))["failures"]]
    except FileNotFoundError:
        return []
    except (OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path} is not a readable list of failures: {error!r}.",
            hint="Delete it and the shard beside it, and run elo preprocess again: only their videos are done anew.",
        ) from error
