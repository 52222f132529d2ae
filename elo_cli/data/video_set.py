"""A preprocessed set of videos: a folder of shards, seen as videos with segments."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from elo_cli.core.errors import DataError
from elo_cli.data.shard import ENDING, SegmentRecord, Shard

SHARDS = "shards"


@dataclass(frozen=True)
class Segment:
    """One segment and where it is stored."""

    shard: int
    index: int
    record: SegmentRecord


@dataclass(frozen=True)
class Video:
    """One video with its segments in order of time."""

    id: str
    label: str | None
    segments: tuple[Segment, ...]


class VideoSet:
    """All the videos of a preprocessed folder that have at least one segment.

    Args:
        root: the folder that `elo preprocess` wrote.

    Raises:
        DataError: the folder is missing or empty, or a shard is damaged.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        paths = sorted((root / SHARDS).glob("*" + ENDING))
        if not paths:
            raise DataError(
                f"There are no preprocessed videos in {root}.", hint="Make them first: elo preprocess FOLDER_OF_VIDEOS"
            )
        self.shards = [Shard(path) for path in paths]
        by_video: dict[str, list[Segment]] = {}
        for number, shard in enumerate(self.shards):
            for index, record in enumerate(shard.records):
                by_video.setdefault(record.video, []).append(Segment(number, index, record))
        self.videos = tuple(
            Video(name, segments[0].record.label, tuple(sorted(segments, key=lambda s: s.record.start_s)))
            for name, segments in sorted(by_video.items())
        )
        if not self.videos:
            raise DataError(
                f"No video in {root} could be used.",
                hint=f"{root / 'failures.jsonl'} says why for each; elo preprocess shows a summary.",
            )

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the segments of this set."""
        text = json.dumps([[video.id, [vars(segment.record) for segment in video.segments]] for video in self.videos])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def has(self, modality: str) -> bool:
        """Say whether any segment carries the modality."""
        records = (segment.record for video in self.videos for segment in video.segments)
        if modality == "flow":
            return any(record.flow_scale is not None for record in records)
        if modality == "audio":
            return any(record.audio_frames > 0 for record in records)
        return True
