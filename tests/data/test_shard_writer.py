"""Shards are written whole or not at all, in bounded memory, and equal content gives equal bytes."""

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elo_cli.core.direct import DirectFile
from elo_cli.core.errors import StorageError
from elo_cli.data import shard_writer
from elo_cli.data.records import SegmentRecord, VideoRecord
from elo_cli.data.shard import Shard
from elo_cli.data.shard_writer import ShardWriter
from tests.support.shard_files import JPEG, RAW, Content, small_shard, write_content
from tests.support.shards import VIDEO, random_segment

TEXT = st.text(max_size=8)  # with lone surrogates, as names that are not UTF-8 have them
VIDEOS = st.builds(
    VideoRecord,
    label=st.none() | TEXT,
    split=st.none() | TEXT,
    fingerprint=TEXT,
    bytes=st.integers(0, 2**63),
    duration_s=st.floats(0, 1e6),
    promised_s=st.none() | st.floats(0, 1e6),
    source_height=st.integers(1, 9999),
    source_width=st.integers(1, 9999),
    source_fps=st.none() | st.floats(0.1, 1e4),
    codec=TEXT,
    bad_packets=st.integers(0, 9),
    sound=st.sampled_from(["heard", "none", "silent", "broken", "off"]),
    flow=st.none() | TEXT,
)
SEGMENTS = st.builds(
    SegmentRecord,
    video=st.just(""),
    start_s=st.floats(0, 1e6),
    frames=st.integers(1, 5),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    flow=st.booleans(),
    audio_frames=st.integers(0, 6),
)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    content: Content = {}
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    for name, record in draw(st.dictionaries(TEXT, VIDEOS, min_size=1, max_size=3)).items():
        segments = [replace(one, video=name) for one in draw(st.lists(SEGMENTS, min_size=1, max_size=2))]
        content[name] = (record, [(one, random_segment(generator, one, mels=3)) for one in segments])
    return content


@given(contents(), st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
def test_round_trip_and_equal_bytes(tmp_path_factory: pytest.TempPathFactory, content: Content, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("shard")
    first = write_content(folder / "a", content)
    shard = Shard(folder / "a")
    added = [entry for _, segments in content.values() for entry in segments]
    assert shard.videos == {name: record for name, (record, _) in content.items()}
    assert shard.segments == [record for record, _ in added]
    assert shard.settings == RAW
    for index, (_, tensors) in enumerate(added):
        for name, stored in tensors.items():
            length = stored.shape[name == "audio"]
            start = data.draw(st.integers(0, length - 1))
            stop = data.draw(st.integers(start + 1, length))
            step = 1 if name == "audio" else data.draw(st.integers(1, 3))
            wanted = stored[:, start:stop] if name == "audio" else stored[start:stop:step]
            read = shard.read(index, name, start, stop, step)
            assert read.dtype == stored.dtype and np.array_equal(read, wanted)
            assert read.flags.writeable and read.flags.c_contiguous
    assert shard.verify() == []
    # Neither the order of the dictionaries nor when the record comes changes a byte.
    again = {
        name: (record, [(one, dict(reversed(tensors.items()))) for one, tensors in segments])
        for name, (record, segments) in content.items()
    }
    assert write_content(folder / "b", again, dict(reversed(RAW.items())), record_first=False) == first


def segment(name: str = "a", **changes: object) -> SegmentRecord:
    return replace(SegmentRecord(name, 0.0, 2, 3, 4, True, 5), **changes)  # type: ignore[arg-type]


def tensors(record: SegmentRecord, quality: int | None = None) -> dict[str, np.ndarray]:
    return random_segment(np.random.default_rng(1), record, quality=quality)


@pytest.mark.parametrize("in_memory", [10, 500, 2**20])
def test_a_video_that_is_taken_back_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    monkeypatch.setattr(shard_writer, "IN_MEMORY", in_memory)
    with ShardWriter(tmp_path / "s", RAW) as writer:
        writer.drop_video("never begun")
        for name, stays in (("bad 1", False), ("a", True), ("bad 2", False), ("bad 2", False), ("b", True), ("bad 3", False)):
            writer.add_segment(segment(name), tensors(segment(name)))
            writer.add_video(name, VIDEO)
            if not stays:
                writer.add_segment(segment(name, start_s=1.0, frames=9), tensors(segment(name, frames=9)))
                writer.drop_video(name)
        assert writer.segments == 2
        writer.commit()
    good: Content = {name: (VIDEO, [(segment(name), tensors(segment(name)))]) for name in ("a", "b")}
    assert (tmp_path / "s").read_bytes() == write_content(tmp_path / "t", good)


def test_videos_come_one_after_another(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "s", RAW) as writer:
        writer.add_video("a", VIDEO)
        with pytest.raises(ValueError, match="a has a record already"):
            writer.add_video("a", VIDEO)
        writer.add_segment(segment("a"), tensors(segment("a")))
        writer.add_segment(segment("b"), tensors(segment("b")))
        with pytest.raises(ValueError, match="a is here already"):
            writer.add_segment(segment("a"), tensors(segment("a")))
        with pytest.raises(ValueError, match="a is not the newest"):
            writer.drop_video("a")
        with pytest.raises(ValueError, match="each video a record and a segment"):
            writer.commit()
        writer.add_video("b", VIDEO)
        writer.add_video("c", VIDEO)
        with pytest.raises(ValueError, match="each video a record and a segment"):
            writer.commit()
    with ShardWriter(tmp_path / "s", RAW) as writer, pytest.raises(ValueError, match="a shard needs a video"):
        writer.commit()
    assert os.listdir(tmp_path) == []


def test_what_no_header_can_hold_fails_where_the_video_is_known(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "s", RAW) as writer:
        with pytest.raises(ValueError, match="JSON"):
            writer.add_video("a", replace(VIDEO, duration_s=float("nan")))
        with pytest.raises(ValueError, match="JSON"):
            writer.add_segment(segment(start_s=float("inf")), tensors(segment()))


@pytest.mark.parametrize("stored", [RAW, JPEG])
@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("rgb", None),
        ("flow_scale", None),
        ("audio", None),
        ("depth", np.zeros(3, np.uint8)),
        ("rgb", np.zeros((2, 3, 5, 3), np.uint8)),
        ("rgb", np.zeros((2, 3, 4, 3), np.int8)),
        ("rgb", np.zeros((2, 3, 4), np.uint8)),
        ("flow", np.zeros((3, 3, 4, 2), np.int8)),
        ("flow_scale", np.zeros((2, 2), np.float64)),
        ("flow_scale", np.zeros(2, np.float32)),
        ("audio", np.zeros((8, 4), np.float16)),
        ("audio", np.zeros((0, 5), np.float16)),
        ("rgb_ends", np.zeros(3, np.int64)),
        ("rgb_jpeg", np.zeros(0, np.uint8)),
    ],
)  # fmt: skip
def test_tensors_that_are_not_those_of_the_record_are_refused(
    tmp_path: Path, stored: dict[str, object], name: str, array: np.ndarray | None
) -> None:
    given = tensors(segment(), 90 if stored is JPEG else None)
    if array is None:
        name = next(one for one in given if one.startswith(name))
        del given[name]
    else:
        given[name] = array
    with ShardWriter(tmp_path / "s", stored) as writer:
        with pytest.raises(ValueError, match="asks for"):
            writer.add_segment(segment(), given)
        writer.add_segment(segment(), tensors(segment(), 90 if stored is JPEG else None))


def test_a_spool_on_disk_gives_the_same_bytes_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = segment(frames=40, height=64, width=64)
    given = tensors(record)
    content = {f"{number:02}": (VIDEO, [(replace(record, video=f"{number:02}"), given)]) for number in range(40)}
    whole = write_content(tmp_path / "a", content)  # 46 MB
    monkeypatch.setattr(shard_writer, "IN_MEMORY", 2**20)
    tracemalloc.start()
    with ShardWriter(tmp_path / "b", RAW) as writer:
        for name, (video, segments) in content.items():
            writer.add_video(name, video)
            writer.add_segment(*segments[0])
        writer.commit()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "b").read_bytes() == whole and len(whole) > 40e6
    assert peak < 8e6
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_nothing_is_there_before_the_end_and_the_old_until_then(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    before = small_shard(path)
    with ShardWriter(path, RAW) as writer:
        writer.add_video("a", VIDEO)
        writer.add_segment(segment(), tensors(segment()))
        assert path.read_bytes() == before
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]
    with pytest.raises(KeyboardInterrupt), ShardWriter(path, RAW) as writer:
        raise KeyboardInterrupt
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.safetensors"
    monkeypatch.setattr(shard_writer, "IN_MEMORY", 10)
    with ShardWriter(path, RAW) as writer:
        writer.add_video("a", VIDEO)
        monkeypatch.setattr(DirectFile, "write", _no_room)
        writer.add_segment(segment(), tensors(segment()))
        with pytest.raises(StorageError, match=r"s\.safetensors cannot be written: No space left"):
            writer.commit()
    assert os.listdir(tmp_path) == []
    with ShardWriter(tmp_path / "gone" / "s", RAW) as writer:
        writer.add_video("a", VIDEO)
        with pytest.raises(StorageError, match="cannot be written: No such file"):
            writer.add_segment(segment(), tensors(segment()))


def _no_room(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_digest_names_a_video_whatever_lies_beside_it(tmp_path: Path) -> None:
    content: Content = {name: (VIDEO, [(segment(name), tensors(segment(name)))]) for name in ("a", "b")}
    write_content(tmp_path / "both", content)
    digests = Shard(tmp_path / "both").contents["digests"]
    write_content(tmp_path / "b", {"b": content["b"]})
    assert Shard(tmp_path / "b").contents["digests"] == {"b": digests["b"]} and digests["a"] != digests["b"]
    changed = tensors(segment("b"))
    changed["audio"][0, 0] += 1
    for number, other in enumerate(
        [
            (VIDEO, [(segment("b"), changed)]),
            (replace(VIDEO, label="c"), content["b"][1]),
            (VIDEO, [(segment("b", start_s=0.1), tensors(segment("b")))]),
        ]
    ):
        write_content(tmp_path / f"{number}", {"b": other})
        assert Shard(tmp_path / f"{number}").contents["digests"]["b"] != digests["b"]
