"""Small shards for tests of what reads and writes them."""

from pathlib import Path
from typing import Any

import numpy as np

from elo_cli.data.header import Stored
from elo_cli.data.records import SegmentRecord, VideoRecord
from elo_cli.data.shard import Shard
from elo_cli.data.shard_writer import ShardWriter
from tests.support.shards import PREPROCESS, VIDEO, random_segment

RAW = PREPROCESS.content()
JPEG = PREPROCESS.model_copy(update={"storage": "jpeg", "jpeg_quality": 90}).content()

Content = dict[str, tuple[VideoRecord, list[tuple[SegmentRecord, dict[str, np.ndarray]]]]]
"""The record of each video, and each of its segments with its tensors."""


def write_content(path: Path, content: Content, stored: dict[str, Any] = RAW, *, record_first: bool = True) -> bytes:
    """Write a shard, and return its bytes."""
    with ShardWriter(path, stored) as writer:
        for name, (record, segments) in content.items():
            if record_first:
                writer.add_video(name, record)
            for segment, tensors in segments:
                writer.add_segment(segment, tensors)
            if not record_first:
                writer.add_video(name, record)
        writer.commit()
    return path.read_bytes()


def small_shard(path: Path, *, quality: int | None = None, frames: int = 3) -> bytes:
    """Write a shard of two videos with everything in it."""
    generator = np.random.default_rng(0)
    content: Content = {}
    for name in ("a.mp4", "b/ü.mp4"):
        segment = SegmentRecord(name, 0.5, frames, 9, 10, True, 6)
        content[name] = (VIDEO, [(segment, random_segment(generator, segment, quality=quality))])
    return write_content(path, content, RAW if quality is None else JPEG)


def stored_tensor(shard: Shard, name: str) -> Stored:
    """Say where a tensor lies that is there."""
    stored = shard._header.tensor(name)
    assert stored is not None
    return stored
