"""Shards: what goes in comes out, equal content gives equal bytes, and damage is named."""

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from safetensors.numpy import save

from elo_cli.core.errors import DataError
from elo_cli.data.shard import SegmentRecord, Shard, ShardContent, VideoFailure, write_shard

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
RECORDS = st.builds(
    SegmentRecord,
    video=TEXT,
    label=st.none() | TEXT,
    start_s=st.floats(0, 1e6),
    frames=st.integers(1, 5),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    flow_scale=st.none() | st.tuples(st.floats(1e-6, 10), st.floats(1e-6, 10)),
    audio_frames=st.integers(0, 6),
)
FAILURES = st.lists(st.builds(VideoFailure, video=TEXT, reason=st.just("crash"), message=TEXT), max_size=2)


def tensors_of(record: SegmentRecord, draw: st.DrawFn) -> dict[str, np.ndarray]:
    shape = (record.frames, record.height, record.width)
    tensors = {"rgb": draw(nps.arrays(np.uint8, (*shape, 3)))}
    if record.flow_scale is not None:
        tensors |= {name: draw(nps.arrays(np.int8, (*shape, 2))) for name in ("flow", "flow_backward")}
    if record.audio_frames:
        tensors["audio"] = draw(nps.arrays(np.float16, (3, record.audio_frames), elements=st.floats(-14, 5, width=16)))
    return tensors


@st.composite
def contents(draw: st.DrawFn) -> ShardContent:
    content = ShardContent(
        failures=draw(FAILURES), warnings=draw(st.dictionaries(TEXT, st.just({"bad_packets": 2.0}), max_size=2))
    )
    for record in draw(st.lists(RECORDS, max_size=3)):
        content.add(record, tensors_of(record, draw))
    return content


@given(contents(), st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_round_trip_and_equal_bytes(tmp_path_factory: pytest.TempPathFactory, content: ShardContent, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("shard")
    write_shard(folder / "a", content)
    shard = Shard(folder / "a")
    assert shard.records == content.records
    assert shard.failures == content.failures
    assert shard.warnings == content.warnings
    for key, stored in content.tensors.items():
        index, name = key.split(".")
        axis = 1 if name == "audio" else 0
        start = data.draw(st.integers(0, stored.shape[axis] - 1))
        stop = data.draw(st.integers(start + 1, stored.shape[axis]))
        wanted = stored[:, start:stop] if axis else stored[start:stop]
        read = shard.read(int(index), name, start, stop)
        assert read.dtype == stored.dtype and np.array_equal(read, wanted)
    again = ShardContent(content.records, content.failures, dict(reversed(content.warnings.items())))
    again.tensors = dict(reversed(content.tensors.items()))
    write_shard(folder / "b", again)
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


def small(path: Path) -> bytes:
    content = ShardContent(failures=[VideoFailure("bad.mp4", "crash", "it went away")])
    record = SegmentRecord("a.mp4", "run", 0.5, 2, 2, 3, (0.1, 0.2), 4)
    frames = np.arange(36, dtype=np.uint8).reshape(2, 2, 3, 3)
    flow = np.ones((2, 2, 3, 2), np.int8)
    content.add(record, {"rgb": frames, "flow": flow, "flow_backward": -flow, "audio": np.zeros((3, 4), np.float16)})
    write_shard(path, content)
    return path.read_bytes()


def test_an_empty_shard_is_one_too(tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    write_shard(path, ShardContent(failures=[VideoFailure("bad.mp4", "crash", "it went away")]))
    assert Shard(path).records == [] and Shard(path).failures[0].video == "bad.mp4"


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_to_the_header_is_a_data_error_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "s.safetensors"
    content = bytearray(small(path))
    header = 8 + int.from_bytes(content[:8], "little")
    where = data.draw(st.integers(0, header - 1))
    content[where] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(DataError):  # and nothing else
        shard = Shard(path)
        for name in ("rgb", "flow", "flow_backward", "audio"):
            shard.read(0, name, 0, 2)


@given(st.integers(0, 10_000))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cut_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.safetensors"
    content = small(path)
    path.write_bytes(content[: keep % len(content)])
    with pytest.raises(DataError, match=r"cut\.safetensors") as caught:
        Shard(path)
    assert "elo preprocess" in caught.value.hint


DESCRIPTION = {"schema": 1, "segments": [], "failures": [], "warnings": {}}


@pytest.mark.parametrize(
    "description",
    [
        [],
        None,
        "text",
        {},
        {"schema": 1},
        {**DESCRIPTION, "segments": [{"video": "a"}]},
        {**DESCRIPTION, "segments": [3]},
        {**DESCRIPTION, "failures": [{"who": "a"}]},
        {**DESCRIPTION, "segments": None},
    ],
)
def test_a_header_of_another_form_is_named(tmp_path: Path, description: Any) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(save({"empty": np.zeros(1, np.uint8)}, {"elo": json.dumps(description)}))
    with pytest.raises(DataError, match=r"other\.safetensors is not a readable shard"):
        Shard(path)


def test_another_schema_is_said(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    path.write_bytes(save({"empty": np.zeros(1, np.uint8)}, {"elo": json.dumps({"schema": 2, "pieces": []})}))
    with pytest.raises(DataError, match="schema version 2; this elo reads 1"):
        Shard(path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        Shard(tmp_path / "nowhere.safetensors")
    small(tmp_path / "s.safetensors")
    shard = Shard(tmp_path / "s.safetensors")
    for segment, name, start in ((1, "rgb", 0), (0, "depth", 0), (0, "rgb", 7)):
        with pytest.raises(DataError, match=rf"s\.safetensors lacks frames of '{segment}\.{name}'"):
            shard.read(segment, name, start, start + 1)


def test_a_shard_goes_to_another_process_by_its_path(tmp_path: Path) -> None:
    small(tmp_path / "s.safetensors")
    shard = Shard(tmp_path / "s.safetensors")
    make, arguments = shard.__reduce__()
    assert np.array_equal(make(*arguments).read(0, "rgb", 0, 2), shard.read(0, "rgb", 0, 2))
