"""A folder of shards, seen as videos."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elo_cli.core.errors import DataError
from elo_cli.data.header import build
from elo_cli.data.records import SegmentRecord, VideoFailure, write_failures
from elo_cli.data.shard import Shard
from elo_cli.data.shard_writer import ShardWriter
from elo_cli.data.video_set import SHARDS, OpenShards, StoredRates, VideoSet
from tests.support.descriptors import open_files
from tests.support.shard_files import RAW, Content, write_content
from tests.support.shards import VIDEO, write_set


def segment(name: str, start_s: float, **changes: Any) -> tuple[SegmentRecord, dict[str, np.ndarray]]:
    record = replace(SegmentRecord(name, start_s, 1, 1, 1, False, 0), **changes)
    return record, {"rgb": np.zeros((record.frames, 1, 1, 3), np.uint8)}


def put(root: Path, name: str, content: Content, stored: dict[str, Any] = RAW) -> None:
    (root / SHARDS).mkdir(parents=True, exist_ok=True)
    write_content(root / SHARDS / f"{name}.safetensors", content, stored)


def test_videos_are_sorted_and_their_segments_in_order_of_time(tmp_path: Path) -> None:
    put(tmp_path, "0", {"d": (VIDEO, [segment("d", 4.0), segment("d", 1.0, frames=2)]), "a": (VIDEO, [segment("a", 9.0)])})
    put(
        tmp_path,
        "1",
        {
            "c": (replace(VIDEO, label="x", split="test"), [segment("c", 0.0)]),
            "é": (replace(VIDEO, label="y"), [segment("é", 0.0)]),
        },
    )
    videos = VideoSet(tmp_path).videos
    assert [(video.id, video.label, video.split) for video in videos] == [
        ("a", None, None), ("c", "x", "test"), ("d", None, None), ("é", "y", None)
    ]  # fmt: skip
    assert [[(s.shard, s.index, s.record.start_s) for s in video.segments] for video in videos] == [
        [(0, 2, 9.0)],
        [(1, 0, 0.0)],
        [(0, 1, 1.0), (0, 0, 4.0)],
        [(1, 1, 0.0)],
    ]
    assert len(videos) == 4 and videos[-1] == videos[3] and videos[1:3] == [videos[1], videos[2]]
    assert videos.longest.tolist() == [1, 1, 2, 1]
    with pytest.raises(IndexError):
        videos[4]
    with pytest.raises(IndexError):
        videos[-5]


def test_records_are_those_of_the_shards(tmp_path: Path) -> None:
    videos = write_set(tmp_path)
    assert len(videos.videos) == 8
    for video in videos.videos:
        for one in video.segments:
            shard = videos.shards[one.shard]
            assert shard.segments[one.index] == one.record and one.record.video == video.id
            assert type(one.record.frames) is int and type(one.record.flow) is bool and type(one.record.start_s) is float
    assert videos.settings == RAW and videos.rates == StoredRates(10.0, 0.05, 8)


def test_the_fingerprint_follows_content_and_not_the_files(tmp_path: Path) -> None:
    first = write_set(tmp_path / "a", per_shard=3)
    second = write_set(tmp_path / "b", per_shard=8)
    assert first.fingerprint == second.fingerprint and len(first.fingerprint) == 16
    (tmp_path / "b" / SHARDS / "0000.safetensors").rename(tmp_path / "b" / SHARDS / "other.safetensors")
    assert VideoSet(tmp_path / "b").fingerprint == first.fingerprint
    others = [write_set(tmp_path / "c", frames=13), write_set(tmp_path / "d", seed=1), write_set(tmp_path / "e", videos=7)]
    content: Content = {"a": (VIDEO, [segment("a", 0.0)])}
    put(tmp_path / "f", "0", content)
    put(tmp_path / "g", "0", content, {**RAW, "max_pixels": 9})
    put(tmp_path / "h", "0", {"a": (replace(VIDEO, label="b"), content["a"][1])})
    others += [VideoSet(tmp_path / name) for name in "fgh"]
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 7


def test_modalities_that_are_there(tmp_path: Path) -> None:
    everything = write_set(tmp_path / "a", videos=2, deaf=(1,))
    nothing = write_set(tmp_path / "b", videos=2, deaf=(0, 1), flow=False)
    names = ("rgb", "grey", "flow", "audio")
    assert [everything.has(name) for name in names] == [True] * 4
    assert [everything.has(name, everywhere=True) for name in names] == [True, True, True, False]
    assert [nothing.has(name) for name in names] == [True, True, False, False]
    assert everything.videos.carrying("audio").tolist() == [2, 0]


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no preprocessed videos") as caught:
        VideoSet(tmp_path)
    assert "elo preprocess" in caught.value.hint
    (tmp_path / SHARDS).mkdir()
    write_failures(tmp_path / SHARDS / "a.safetensors", [VideoFailure("x", "decode", "crash", "gone")])
    with pytest.raises(DataError, match=r"No video in .* could be used"):
        VideoSet(tmp_path)


def test_failures_beside_the_shards_change_nothing(tmp_path: Path) -> None:
    before = write_set(tmp_path)
    write_failures(tmp_path / SHARDS / "0000.safetensors", [VideoFailure("x", "decode", "crash", "gone")])
    (tmp_path / SHARDS / "0009.safetensors.part").write_bytes(b"left over")
    assert VideoSet(tmp_path).fingerprint == before.fingerprint


def test_shards_of_other_settings_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "0", {"a": (VIDEO, [segment("a", 0.0)])})
    put(tmp_path, "1", {"b": (VIDEO, [segment("b", 0.0)])}, {**RAW, "fps": 7.0})
    with pytest.raises(
        DataError, match=r"0\.safetensors and 1\.safetensors were made with .* settings: fps 10.0 and 7.0"
    ) as caught:
        VideoSet(tmp_path)
    assert caught.value.hint


def test_a_video_that_lies_in_two_shards_is_refused(tmp_path: Path) -> None:
    for name in ("0", "1", "2"):
        put(tmp_path, name, {f"v{name}": (VIDEO, [segment(f"v{name}", 0.0)])})
    put(tmp_path, "3", {"v1": (VIDEO, [segment("v1", 0.0)])})
    with pytest.raises(DataError, match=r"1\.safetensors and 3\.safetensors both hold the video 'v1'"):
        VideoSet(tmp_path)


PARTS: dict[str, Any] = {"settings": RAW, "videos": {}, "segments": [], "digests": {}}
GOOD = {"video": "a", "start_s": 0.0, "frames": 1, "height": 1, "width": 1, "flow": False, "audio_frames": 0}
A_VIDEO = {name: getattr(VIDEO, name) for name in VIDEO.__slots__}


@pytest.mark.parametrize(
    "change",
    [
        {"segments": [GOOD | {"video": "b"}]},
        {"segments": []},
        {"segments": [GOOD | {"frames": 2**40}]},
        {"segments": [GOOD | {"frames": "many"}]},
        {"segments": [GOOD | {"start_s": None}]},
        {"digests": {"a": "no digits"}},
        {"digests": {"a": 5}},
        {"videos": {"a": A_VIDEO | {"label": ["x"]}}},
    ],
)
def test_records_of_another_form_are_named(tmp_path: Path, change: dict[str, Any]) -> None:
    whole = PARTS | {"videos": {"a": A_VIDEO}, "segments": [GOOD], "digests": {"a": "0f"}}
    (tmp_path / SHARDS).mkdir()
    (tmp_path / SHARDS / "odd.safetensors").write_bytes(build(whole, {}))
    assert VideoSet(tmp_path).videos[0].segments[0].record == SegmentRecord(**GOOD)
    (tmp_path / SHARDS / "odd.safetensors").write_bytes(build(whole | change, {}))
    with pytest.raises(DataError, match=r"odd\.safetensors is not a readable shard: its metadata"):
        VideoSet(tmp_path)


def test_few_shards_are_open_at_a_time(tmp_path: Path) -> None:
    for number in range(6):
        put(tmp_path, f"{number}", {f"{number}": (VIDEO, [segment(f"{number}", 0.0)])})
    folder = tmp_path / SHARDS
    videos = VideoSet(tmp_path)
    assert open_files(folder) == 0, "opening a set leaves no file open"
    shards = OpenShards(folder, videos.shards.names, limit=3)
    seen = [shards[number] for number in (0, 1, 2)]
    assert shards[0] is seen[0]
    assert shards[3].path.name == "3.safetensors"  # 1 was used longest ago
    assert shards[0] is seen[0] and shards[2] is seen[2] and shards[1] is not seen[1]
    assert seen[1].read(0, "rgb", 0, 1).shape == (1, 1, 1, 3), "who holds a shard may go on reading it"
    del seen
    for number in [*range(6), *range(6)]:
        shards[number]
    assert open_files(folder) == 3
    make, arguments = shards.__reduce__()
    copy = make(*arguments)
    assert len(copy) == 6 and copy.limit == 3 and isinstance(copy[5], Shard)


def test_a_segment_takes_few_bytes(tmp_path: Path) -> None:
    """Two million videos of three segments must fit: 256 bytes for each segment are 1.5 GB."""
    (tmp_path / SHARDS).mkdir()
    tensors = {"rgb": np.zeros((1, 1, 1, 3), np.uint8)}
    for shard in range(10):
        with ShardWriter(tmp_path / SHARDS / f"{shard}.safetensors", RAW) as writer:
            for number in range(100):
                name = f"ApplyEyeMakeup/v_ApplyEyeMakeup_g{shard:02}_c{number:02}.avi"
                writer.add_video(name, replace(VIDEO, label="ApplyEyeMakeup"))
                for part in range(3):
                    writer.add_segment(SegmentRecord(name, part * 2.7, 1, 1, 1, False, 0), tensors)
            writer.commit()
    VideoSet(tmp_path)
    tracemalloc.start()
    videos = VideoSet(tmp_path)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(videos.videos) == 1000
    assert held / 3000 < 100
    assert peak / 3000 < 400
