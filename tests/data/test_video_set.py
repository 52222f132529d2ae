"""A folder of shards, seen as videos."""

from pathlib import Path

import numpy as np
import pytest

from elo_cli.core.errors import DataError
from elo_cli.data.shard import SegmentRecord, ShardContent, VideoFailure, write_shard
from elo_cli.data.video_set import SHARDS, VideoSet
from tests.support.shards import write_set


def test_videos_are_sorted_and_their_segments_in_order_of_time(tmp_path: Path) -> None:
    (tmp_path / SHARDS).mkdir()
    for number, entries in enumerate(([("b", 4.0), ("a", 2.0)], [("a", 0.0), ("b", 1.0)])):
        content = ShardContent()
        for name, start in entries:
            content.add(SegmentRecord(name, None, start, 1, 1, 1, None, 0), {"rgb": np.zeros((1, 1, 1, 3), np.uint8)})
        write_shard(tmp_path / SHARDS / f"{number}.safetensors", content)
    videos = VideoSet(tmp_path).videos
    assert [video.id for video in videos] == ["a", "b"]
    assert [[(s.shard, s.index, s.record.start_s) for s in video.segments] for video in videos] == [
        [(1, 0, 0.0), (0, 1, 2.0)],
        [(1, 1, 1.0), (0, 0, 4.0)],
    ]


def test_the_fingerprint_follows_the_segments_and_not_the_files(tmp_path: Path) -> None:
    first = write_set(tmp_path / "a", per_shard=3)
    second = write_set(tmp_path / "b", per_shard=3)
    third = write_set(tmp_path / "c", per_shard=8)
    fourth = write_set(tmp_path / "d", frames=13)
    assert first.fingerprint == second.fingerprint == third.fingerprint != fourth.fingerprint


def test_modalities_that_are_there(tmp_path: Path) -> None:
    everything = write_set(tmp_path / "a", videos=2, deaf=(1,))
    nothing = write_set(tmp_path / "b", videos=2, deaf=(0, 1), flow=False)
    assert [everything.has(name) for name in ("rgb", "grey", "flow", "audio")] == [True] * 4
    assert [nothing.has(name) for name in ("rgb", "grey", "flow", "audio")] == [True, True, False, False]


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no preprocessed videos") as caught:
        VideoSet(tmp_path)
    assert "elo preprocess" in caught.value.hint
    (tmp_path / SHARDS).mkdir()
    write_shard(tmp_path / SHARDS / "a.safetensors", ShardContent(failures=[VideoFailure("x", "crash", "gone")]))
    with pytest.raises(DataError, match="No video"):
        VideoSet(tmp_path)
