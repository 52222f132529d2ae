"""Shards as they are read: what went in comes out, and nothing else is touched; every damage is found."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from elo_cli.core.errors import DataError
from elo_cli.data.jpeg import encode_flow, encode_frames
from elo_cli.data.records import SegmentRecord
from elo_cli.data.shard import Shard
from tests.support.descriptors import open_files
from tests.support.shard_files import JPEG, RAW, small_shard, stored_tensor, write_content
from tests.support.shards import VIDEO, random_segment

ARRAYS = ("rgb", "flow", "flow_backward", "flow_scale", "audio")


def test_the_safetensors_library_reads_it(tmp_path: Path) -> None:
    small_shard(tmp_path / "s.safetensors")
    shard = Shard(tmp_path / "s.safetensors")
    names = [f"{index}.{name}" for index in range(2) for name in ARRAYS]
    with safe_open(tmp_path / "s.safetensors", framework="numpy") as file:
        assert sorted(file.keys()) == sorted(names)
        assert file.metadata()["schema"] == "2" and json.loads(file.metadata()["elo"])["settings"] == RAW
        for key in names:
            index, name = key.split(".")
            stop = 6 if name == "audio" else 3
            assert np.array_equal(file.get_tensor(key), shard.read(int(index), name, 0, stop)), key
    length = int.from_bytes((tmp_path / "s.safetensors").read_bytes()[:8], "little")
    entries = [stored_tensor(shard, key) for key in names]
    assert length % 8 == 0
    assert all(entry.begin % entry.dtype.itemsize == 0 for entry in entries), "aligned"


@pytest.mark.parametrize("quality", [None, 90])
def test_every_flip_of_a_bit_is_found(tmp_path: Path, quality: int | None) -> None:
    path = tmp_path / "s.safetensors"
    whole = small_shard(path, quality=quality)
    header_end = 8 + int.from_bytes(whole[:8], "little")
    generator = random.Random(0)
    places = [*range(64), *(generator.randrange(header_end) for _ in range(400)), header_end - 1, header_end, len(whole) - 1]
    places += [generator.randrange(header_end, len(whole)) for _ in range(400)]
    for place in places:
        content = bytearray(whole)
        content[place] ^= 1 << generator.randrange(8)
        path.write_bytes(content)
        if place < header_end:
            with pytest.raises(DataError, match=r"s\.safetensors"):
                Shard(path)
        else:
            shard = Shard(path)
            hit = [name for name in shard._header.checksums() if _holds(shard, name, place)]
            assert len(hit) == 1 and shard.verify() == hit, place


def _holds(shard: Shard, name: str, place: int) -> bool:
    stored = stored_tensor(shard, name)
    return stored.begin <= place < stored.begin + stored.nbytes


@pytest.mark.parametrize("change", [-1, -5, -1000, 1, 8])
def test_another_length_is_found_at_opening(tmp_path: Path, change: int) -> None:
    path = tmp_path / "cut.safetensors"
    whole = small_shard(path)
    path.write_bytes(whole[:change] if change < 0 else whole + bytes(change))
    with pytest.raises(DataError, match=rf"it has {len(whole) + change} bytes, but was written with {len(whole)}") as caught:
        Shard(path)
    assert "elo preprocess" in caught.value.hint


@given(st.integers(0, 10_000))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cut_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.safetensors"
    content = small_shard(path)
    path.write_bytes(content[: keep % len(content)])
    with pytest.raises(DataError, match=r"cut\.safetensors is not a readable shard"):
        Shard(path)


def test_a_file_that_is_cut_while_it_is_open_is_an_error_and_no_signal(tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    whole = small_shard(path)
    shard = Shard(path)
    os.truncate(path, len(whole) - 3)
    damaged = shard.verify()
    assert len(damaged) == 1
    index, name = damaged[0].split(".")
    with pytest.raises(DataError, match=r"s\.safetensors is not a readable shard: it ends before byte"):
        shard.read(int(index), name, 0, 6 if name == "audio" else 3)


@pytest.mark.parametrize("quality", [None, 90])
def test_what_is_missing_is_named(tmp_path: Path, quality: int | None) -> None:
    with pytest.raises(DataError, match="nowhere"):
        Shard(tmp_path / "nowhere.safetensors")
    small_shard(tmp_path / "s.safetensors", quality=quality)
    shard = Shard(tmp_path / "s.safetensors")
    beyond = [(0, "rgb", start, stop) for start, stop in ((3, 4), (1, 4), (-1, 1), (1, 1))]
    for segment, name, start, stop in ((2, "rgb", 0, 1), (0, "depth", 0, 1), (1, "audio", 0, 7), *beyond):
        with pytest.raises(DataError, match=rf"s\.safetensors lacks frames of '{segment}\.{name}'"):
            shard.read(segment, name, start, stop)


def test_what_the_system_says_is_told_and_is_no_reason_to_delete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_shard(tmp_path / "s.safetensors")
    shard = Shard(tmp_path / "s.safetensors")

    def fail(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(DataError, match=r"s\.safetensors cannot be read: Input/output error") as caught:
        shard.read(0, "rgb", 0, 1)
    assert "elete" not in caught.value.hint
    assert len(shard.verify()) == 10
    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(DataError, match=r"s\.safetensors cannot be read: Input/output error"):
        Shard(tmp_path / "s.safetensors")


def read_bytes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Record (position, bytes) of every read of a file from here on."""
    read, real = [], os.preadv

    def spy(file: int, buffers: list[memoryview], at: int) -> int:
        count = real(file, buffers, at)
        read.append((at, count))
        return count

    monkeypatch.setattr(os, "preadv", spy)
    return read


def test_only_the_frames_that_are_asked_for_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_shard(tmp_path / "raw", frames=50)
    small_shard(tmp_path / "jpeg", frames=50, quality=90)
    read = read_bytes(monkeypatch)
    raw, coded = Shard(tmp_path / "raw"), Shard(tmp_path / "jpeg")
    stored = stored_tensor(raw, "1.rgb")
    frame = 9 * 10 * 3
    raw.read(1, "rgb", 7, 20)
    assert read == [(stored.begin + 7 * frame, 13 * frame)]
    read.clear()
    raw.read(1, "rgb", 7, 20, 4)
    assert read == [(stored.begin + at * frame, frame) for at in (7, 11, 15, 19)]
    read.clear()
    ends = np.frombuffer((tmp_path / "jpeg").read_bytes(), "<i8", 50, stored_tensor(coded, "1.flow_ends").begin)
    for start, stop, step in ((7, 20, 1), (0, 3, 1), (5, 30, 8)):
        coded.read(1, "flow", start, stop, step)
        begin = stored_tensor(coded, "1.flow_jpeg").begin
        frames = [(begin + (int(ends[at - 1]) if at else 0), begin + int(ends[at])) for at in range(start, stop, step)]
        wanted = frames if step > 1 else [(frames[0][0], frames[-1][1])]
        assert [(at, at + count) for at, count in read if at >= begin] == wanted
        read.clear()


def test_sound_of_an_hour_is_read_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = SegmentRecord("a", 0.0, 1, 1, 1, False, 300_000)
    tensors = random_segment(np.random.default_rng(0), segment, mels=8)
    write_content(tmp_path / "s", {"a": (VIDEO, [(segment, tensors)])})
    read = read_bytes(monkeypatch)
    sound = Shard(tmp_path / "s").read(0, "audio", 1000, 1100)
    assert np.array_equal(sound, tensors["audio"][:, 1000:1100])
    assert sum(count for _, count in read) == 8 * 100 * 2


def test_jpegs_come_back_nearly_as_they_were(tmp_path: Path) -> None:
    y, x = np.mgrid[:40, :60]
    rgb = np.stack([np.stack([4 * x, 5 * y, 2 * (x + y) + t], axis=-1) for t in range(5)]).astype(np.uint8)
    flow = np.stack([np.stack([x + t, y - 2 * x], axis=-1) for t in range(5)]).astype(np.int8)
    segment = SegmentRecord("a", 0.0, 5, 40, 60, True, 0)
    tensors: dict[str, np.ndarray] = {"flow_scale": np.ones((5, 2), np.float32)}
    for name, array in (("rgb", rgb), ("flow", flow), ("flow_backward", -flow)):
        encode = encode_frames if name == "rgb" else encode_flow
        tensors[f"{name}_jpeg"], tensors[f"{name}_ends"] = encode(array, 95)
    write_content(tmp_path / "s", {"a": (VIDEO, [(segment, tensors)])}, JPEG)
    shard = Shard(tmp_path / "s")
    for name, array in (("rgb", rgb), ("flow", flow), ("flow_backward", -flow)):
        read = shard.read(0, name, 0, 5)
        assert read.dtype == array.dtype and read.shape == array.shape
        assert np.abs(read.astype(int) - array).mean() < 1.5
        for start, stop, step in ((0, 1, 1), (1, 4, 1), (4, 5, 1), (0, 5, 2), (1, 5, 3)):
            assert np.array_equal(shard.read(0, name, start, stop, step), read[start:stop:step])


def test_a_shard_goes_to_another_process_by_its_path(tmp_path: Path) -> None:
    small_shard(tmp_path / "s.safetensors")
    shard = Shard(tmp_path / "s.safetensors")
    make, arguments = shard.__reduce__()
    assert np.array_equal(make(*arguments).read(0, "rgb", 0, 2), shard.read(0, "rgb", 0, 2))


def test_a_dropped_shard_closes_its_file(tmp_path: Path) -> None:
    small_shard(tmp_path / "s.safetensors")
    shards = [Shard(tmp_path / "s.safetensors") for _ in range(10)]
    assert open_files(tmp_path) == 10
    del shards
    assert open_files(tmp_path) == 0


@pytest.mark.parametrize("part", ["ends", "jpeg"])
def test_jpegs_that_are_none_are_named(tmp_path: Path, part: str) -> None:
    segment = SegmentRecord("a", 0.0, 3, 9, 10, False, 0)
    tensors = random_segment(np.random.default_rng(0), segment, quality=90)
    if part == "ends":
        tensors["rgb_ends"] = tensors["rgb_ends"][::-1].copy()
    else:
        tensors["rgb_jpeg"] = np.zeros_like(tensors["rgb_jpeg"])
    write_content(tmp_path / "odd", {"a": (VIDEO, [(segment, tensors)])}, JPEG)
    with pytest.raises(DataError, match=r"odd is not a readable shard: (0\.rgb_ends do not rise|frames of 0\.rgb)"):
        Shard(tmp_path / "odd").read(0, "rgb", 0, 3)
