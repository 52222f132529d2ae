"""One shard's work: what lands in the file, and what becomes of videos that cannot be used."""

from pathlib import Path

import numpy as np
import pytest

from elo_cli.core.errors import StorageError
from elo_cli.core.settings import PreprocessSettings
from elo_cli.data.shard import Shard, VideoFailure
from elo_cli.prepare.encode import write_video
from elo_cli.prepare.pack import ShardJob, SourceVideo, pack_shard, segment_plan
from elo_cli.prepare.scenes import render_scene

SETTINGS = PreprocessSettings.model_validate(
    {"fps": 8.0, "short_side": 20, "segment_seconds": 1.0, "max_segments": 2, "flow": "ultrafast", "mels": 8}
)


def film(folder: Path, name: str, motion: str, seed: int, *, sound: bool = True) -> SourceVideo:
    """Write a film of three seconds."""
    scene = render_scene(motion, seed, size=(24, 32), fps=8, seconds=3.0)
    write_video(folder / name, scene.frames_THWC, fps=8, waveform=scene.waveform if sound else None)
    return SourceVideo(str(folder / name), name, motion)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[SourceVideo, ...]:
    """Two good films, one of them silent, and two bad ones."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "bad.mp4").write_bytes(b"no film at all")
    (folder / "void.mp4").touch()
    first, second = film(folder, "a.mp4", "orbit", 1), film(folder, "z.mp4", "spin", 2, sound=False)
    bad = [SourceVideo(str(folder / name), name, None) for name in ("void.mp4", "bad.mp4", "gone.mp4")]
    return (first, *bad, second)


def pack(
    films: tuple[SourceVideo, ...], shard: Path, settings: PreprocessSettings = SETTINGS, lost: tuple[VideoFailure, ...] = ()
) -> tuple[Shard, list[str]]:
    """Pack a shard; give it and the reports."""
    reports: list[str] = []
    summary = pack_shard(ShardJob(str(shard), films, settings, lost), reports.append)
    packed = Shard(shard)
    assert (summary.videos, summary.segments) == (len(films), len(packed.records))
    assert list(summary.failures) == packed.failures
    return packed, reports


def test_a_shard_holds_what_the_settings_ask_for(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    shard, reports = pack(films, tmp_path / "s.safetensors")
    assert reports == ["a.mp4", "void.mp4", "bad.mp4", "gone.mp4", "z.mp4"]
    assert [(record.video, record.label) for record in shard.records] == [("a.mp4", "orbit")] * 2 + [("z.mp4", "spin")] * 2
    for index, record in enumerate(shard.records):
        assert (record.frames, record.height) == (8, 20) and record.width in (26, 27)
        assert shard.read(index, "rgb", 0, 8).shape == (8, record.height, record.width, 3)
        assert record.flow_scale is not None
        for name in ("flow", "flow_backward"):
            flow = shard.read(index, name, 0, 8)
            assert flow.shape == (8, record.height, record.width, 2) and flow.dtype == np.int8
            assert flow.any()  # also of the last frame, whose next one is not kept
            assert flow[-1].any()
    heard = [record.audio_frames for record in shard.records]
    assert heard[2:] == [0, 0] and min(heard[:2]) >= 95
    assert shard.read(0, "audio", 0, 10).shape == (8, 10)
    assert shard.warnings == {}


def test_a_video_that_cannot_be_used_is_recorded_with_its_reason(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    shard, _ = pack(films, tmp_path / "s.safetensors")
    found = [(failure.video, failure.reason) for failure in shard.failures]
    assert found == [("bad.mp4", "not-a-video"), ("gone.mp4", "unreadable"), ("void.mp4", "empty-file")]
    assert all(failure.message for failure in shard.failures)


def test_a_lost_video_is_recorded_and_not_tried_again(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    lost = (VideoFailure("a.mp4", "crash", "it took its worker down"), VideoFailure("bad.mp4", "timeout", "it hung"))
    shard, reports = pack(films, tmp_path / "s.safetensors", lost=lost)
    assert reports == ["void.mp4", "gone.mp4", "z.mp4"]
    assert {record.video for record in shard.records} == {"z.mp4"}
    assert [failure.video for failure in shard.failures] == ["a.mp4", "bad.mp4", "gone.mp4", "void.mp4"]
    assert shard.failures[:2] == list(lost)


def test_the_order_of_losses_does_not_show(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    lost = (VideoFailure("z.mp4", "crash", "x"), VideoFailure("a.mp4", "crash", "y"))
    pack(films, tmp_path / "one.safetensors", lost=lost)
    pack(films, tmp_path / "two.safetensors", lost=lost[::-1])
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_the_same_job_gives_the_same_bytes(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    for name in ("one", "two"):
        pack(films, tmp_path / f"{name}.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_a_shard_of_failures_alone_is_a_shard(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    shard, _ = pack(films[1:4], tmp_path / "s.safetensors")
    assert shard.records == [] and len(shard.failures) == 3


def test_flow_and_sound_can_be_left_out(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    bare = SETTINGS.model_copy(update={"flow": "none", "audio": False})
    plain, _ = pack(films, tmp_path / "plain.safetensors", bare)
    whole, _ = pack(films, tmp_path / "whole.safetensors")
    assert all(record.flow_scale is None and record.audio_frames == 0 for record in plain.records)
    for index, record in enumerate(plain.records):  # the pictures do not depend on what else is kept
        assert record.frames == whole.records[index].frames
        if record.start_s == whole.records[index].start_s:
            assert np.array_equal(plain.read(index, "rgb", 0, 8), whole.read(index, "rgb", 0, 8))
    assert segment_plan(bare).audio_rate == 0
    assert segment_plan(SETTINGS).segment_seconds == pytest.approx(1.0 + 1 / 8)  # the last flow needs a frame more


def test_a_shard_that_cannot_be_written_is_an_error(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        pack_shard(ShardJob(str(tmp_path / "nowhere" / "s.safetensors"), films, SETTINGS), lambda item: None)
