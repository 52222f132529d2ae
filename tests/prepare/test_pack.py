"""One shard's work: what lands in the file and beside it, and what becomes of videos that cannot be used."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elo_cli.core.errors import StorageError, VideoError
from elo_cli.core.files import publish
from elo_cli.core.settings import PreprocessSettings
from elo_cli.data.records import VideoFailure, failures_path, read_failures
from elo_cli.data.shard import Shard
from elo_cli.prepare.encode import write_video
from elo_cli.prepare.fingerprint import fingerprint
from elo_cli.prepare.flow import dequantise, flow_method
from elo_cli.prepare.pack import ShardJob, ShardSummary, SourceVideo, pack_shard, segment_plan
from elo_cli.prepare.scenes import render_scene
from elo_cli.prepare.segment import Span

SETTINGS: dict[str, Any] = {
    "fps": 8.0, "short_side": 20, "segment_seconds": 1.0, "max_segments": 2, "flow": "dis-ultrafast", "mels": 8
}  # fmt: skip
Reports = list[tuple[str, str]]


def film(folder: Path, name: str, motion: str, seed: int, *, sound: bool = True, codec: str | None = None) -> SourceVideo:
    """Write a film of three seconds."""
    scene = render_scene(motion, seed, size=(24, 32), fps=8, seconds=3.0)
    write_video(folder / name, scene.frames_THWC, fps=8, waveform=scene.waveform if sound else None, codec=codec)
    return SourceVideo(str(folder / name), name, motion, "train")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[SourceVideo, ...]:
    """Two good films, one of them silent, and three bad ones."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "bad.mp4").write_bytes(b"no film at all")
    (folder / "void.mp4").touch()
    first, second = film(folder, "a.mp4", "orbit", 1), film(folder, "z.mp4", "spin", 2, sound=False)
    bad = [SourceVideo(str(folder / name), name) for name in ("void.mp4", "bad.mp4", "gone.mp4")]
    return (first, *bad, second)


def pack(
    films: tuple[SourceVideo, ...], shard: Path, lost: tuple[VideoFailure, ...] = (), **changes: object
) -> tuple[Shard, ShardSummary, Reports]:
    """Pack a shard; give it, the summary and the reports."""
    reports: Reports = []
    settings = PreprocessSettings.model_validate(SETTINGS | changes)
    summary = pack_shard(ShardJob(str(shard), films, settings, lost), lambda item, stage: reports.append((item, stage)))
    assert not shard.exists()
    publish(shard)
    packed = Shard(shard)
    assert packed.verify() == []
    assert (summary.videos, summary.segments) == (len(films), len(packed.segments))
    assert list(summary.failures) == read_failures(shard)
    assert packed.settings == settings.content()
    return packed, summary, reports


def test_a_shard_holds_what_the_settings_ask_for(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    shard, _, reports = pack(films, tmp_path / "s.safetensors")
    assert list(dict.fromkeys(item for item, _ in reports)) == ["a.mp4", "void.mp4", "bad.mp4", "gone.mp4", "z.mp4"]
    assert [stage for item, stage in reports if item == "z.mp4"] == ["open", *["decode", "sound", "flow", "store"] * 2]
    assert {stage for item, stage in reports if item == "a.mp4"} == {"open", "decode", "sound", "flow", "store"}
    assert [record.video for record in shard.segments] == ["a.mp4"] * 2 + ["z.mp4"] * 2
    for index, record in enumerate(shard.segments):
        assert (record.frames, record.height, record.flow) == (8, 20, True) and record.width in (26, 27)
        assert shard.read(index, "rgb", 0, 8).shape == (8, record.height, record.width, 3)
        for name in ("flow", "flow_backward"):
            flow = shard.read(index, name, 0, 8)
            assert flow.shape == (8, record.height, record.width, 2) and flow.dtype == np.int8
            assert flow.any()
            assert flow[-1].any()  # also of the last frame, whose next one is not kept
    heard = [record.audio_frames for record in shard.segments]
    assert heard[2:] == [0, 0] and min(heard[:2]) >= 95
    assert shard.read(0, "audio", 0, 10).shape == (8, 10)


def test_what_is_known_of_a_video(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    shard, _, _ = pack(films, tmp_path / "s.safetensors")
    first, second = shard.videos["a.mp4"], shard.videos["z.mp4"]
    assert list(shard.videos) == ["a.mp4", "z.mp4"]
    assert (first.label, first.split, first.codec, first.sound, first.flow) == ("orbit", "train", "h264", "heard", None)
    assert (second.sound, second.bad_packets, second.source_fps) == ("none", 0, 8.0)
    assert (first.source_height, first.source_width) == (24, 32)
    assert (first.fingerprint, first.bytes) == fingerprint(Path(films[0].path))
    assert first.bytes == Path(films[0].path).stat().st_size
    assert first.duration_s == pytest.approx(3.0, abs=0.2)


def test_flow_is_that_of_the_frames(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    shard, _, _ = pack(films, tmp_path / "s.safetensors")
    forward, backward = flow_method("dis-ultrafast")(shard.read(0, "rgb", 0, 8))
    scale_T2 = shard.read(0, "flow_scale", 0, 7)
    for side, (name, flow) in enumerate((("flow", forward), ("flow_backward", backward))):
        error = np.abs(dequantise(shard.read(0, name, 0, 7), scale_T2[:, side]) - flow)
        assert (error.max(axis=(1, 2, 3)) <= scale_T2[:, side] * 0.5001 + 1e-6).all()


def test_a_video_that_cannot_be_used_is_recorded_with_stage_and_reason(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    _, summary, _ = pack(films, tmp_path / "s.safetensors")
    found = {(failure.video, failure.stage, failure.reason) for failure in summary.failures}
    assert found == {
        ("bad.mp4", "open", "not-a-video"),
        ("gone.mp4", "open", "unreadable"),
        ("void.mp4", "open", "empty-file"),
    }
    assert all(failure.message for failure in summary.failures)


def test_a_lost_video_is_recorded_and_not_tried_again(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    lost = (VideoFailure("a.mp4", "flow", "crash", "it took its worker down"),)
    shard, summary, reports = pack(films, tmp_path / "s.safetensors", lost)
    assert "a.mp4" not in {item for item, _ in reports}
    assert set(shard.videos) == {"z.mp4"}
    assert summary.failures[0] == lost[0]


def test_bad_videos_change_no_byte_of_a_shard(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    good = tuple(film for film in films if film.id in ("a.mp4", "z.mp4"))
    pack(good, tmp_path / "good.safetensors")
    pack(films, tmp_path / "mixed.safetensors")
    pack((films[0], SourceVideo("nowhere", "b"), films[-1]), tmp_path / "other.safetensors")
    content = (tmp_path / "good.safetensors").read_bytes()
    assert not failures_path(tmp_path / "good.safetensors").exists()
    assert content == (tmp_path / "mixed.safetensors").read_bytes() == (tmp_path / "other.safetensors").read_bytes()


def test_a_video_that_breaks_half_way_leaves_nothing(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    stored: list[str] = []

    def report(item: str, stage: str) -> None:
        if stage == "store":
            stored.append(item)
        if stage == "flow" and stored.count("a.mp4") == 1 and item == "a.mp4":
            raise VideoError("decode-error", "the second segment broke")

    settings = PreprocessSettings.model_validate(SETTINGS)
    summary = pack_shard(ShardJob(str(tmp_path / "s.safetensors"), (films[0], films[-1]), settings), report)
    assert [(failure.video, failure.stage, failure.reason) for failure in summary.failures] == [("a.mp4", "flow", "decode-error")]
    publish(tmp_path / "s.safetensors")
    pack((films[-1],), tmp_path / "alone.safetensors")
    assert (tmp_path / "s.safetensors").read_bytes() == (tmp_path / "alone.safetensors").read_bytes()


def test_the_same_job_gives_the_same_bytes(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    for name in ("one", "two"):
        pack(films, tmp_path / f"{name}.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_of_failures_alone_there_is_no_shard(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    job = ShardJob(str(path), films[1:4], PreprocessSettings.model_validate(SETTINGS))
    summary = pack_shard(job, lambda item, stage: None)
    assert len(summary.failures) == 3 and summary.segments == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["s.failures.json"]


def test_a_stale_list_of_failures_goes_away(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    failures_path(path).write_text(json.dumps({"failures": []}))
    pack(films[:1], path)
    assert not failures_path(path).exists()


def test_flow_and_sound_can_be_left_out(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    good = (films[0], films[-1])
    plain, _, _ = pack(good, tmp_path / "plain.safetensors", flow="none", audio=False)
    whole, _, _ = pack(good, tmp_path / "whole.safetensors")
    assert not any(record.flow or record.audio_frames for record in plain.segments)
    assert {(video.sound, video.flow) for video in plain.videos.values()} == {("off", "off")}
    for index, record in enumerate(plain.segments):  # the pictures do not depend on what else is kept
        assert record.frames == whole.segments[index].frames
        if record.start_s == whole.segments[index].start_s:
            assert np.array_equal(plain.read(index, "rgb", 0, 8), whole.read(index, "rgb", 0, 8))
    bare = PreprocessSettings.model_validate(SETTINGS | {"flow": "none", "audio": False})
    assert segment_plan(bare).audio_rate == 0
    assert segment_plan(bare.model_copy(update={"flow": "dis-fast"})).segment_seconds == pytest.approx(1.0 + 1 / 8)


def test_jpegs_hold_the_same_pictures(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    raw, _, _ = pack((films[0],), tmp_path / "raw.safetensors", short_side=64)
    coded, _, _ = pack((films[0],), tmp_path / "jpeg.safetensors", short_side=64, storage="jpeg", jpeg_quality=95)
    difference = np.abs(raw.read(0, "rgb", 0, 8).astype(int) - coded.read(0, "rgb", 0, 8)).mean()
    assert 0 < difference < 4
    assert np.abs(raw.read(0, "flow", 0, 8).astype(int) - coded.read(0, "flow", 0, 8)).mean() < 6
    assert coded.path.stat().st_size < raw.path.stat().st_size / 3


def test_motion_vectors_are_flow_or_said_to_be_missing(tmp_path: Path) -> None:
    moving = film(tmp_path, "a.mp4", "drift", 1)
    without = film(tmp_path, "b.webm", "drift", 1)
    shard, _, _ = pack((moving, without), tmp_path / "s.safetensors", flow="motion-vectors")
    assert [record.flow for record in shard.segments] == [True, True, False, False]
    assert shard.videos["a.mp4"].flow is None
    assert "vp9" in str(shard.videos["b.webm"].flow) and "motion vectors" in str(shard.videos["b.webm"].flow)
    assert shard.read(0, "flow", 0, 8).any()


def test_only_the_part_that_is_listed(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    late = SourceVideo(films[0].path, "a.mp4#t=1.5,2.5", span=Span(1.5, 2.5))
    beyond = SourceVideo(films[0].path, "a.mp4#t=60,70", span=Span(60.0, 70.0))
    shard, summary, _ = pack((late, beyond), tmp_path / "s.safetensors", flow="none", min_seconds=0.5)
    (record,) = shard.segments
    assert record.start_s == pytest.approx(1.5, abs=0.07) and record.frames <= 8
    assert [(failure.video, failure.reason) for failure in summary.failures] == [("a.mp4#t=60,70", "too-short")]
    assert "60 s to 70 s" in summary.failures[0].message


def test_a_shard_that_cannot_be_written_is_an_error(films: tuple[SourceVideo, ...], tmp_path: Path) -> None:
    job = ShardJob(str(tmp_path / "nowhere" / "s.safetensors"), films, PreprocessSettings.model_validate(SETTINGS))
    with pytest.raises(StorageError, match="cannot be written"):
        pack_shard(job, lambda item, stage: None)
