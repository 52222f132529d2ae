"""Videos written by elo, read back through real codecs."""

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from elo_cli.core.errors import MachineError, StorageError
from elo_cli.prepare import encode
from elo_cli.prepare.encode import CONTAINERS, h264_encoder, write_video

Frames = NDArray[np.uint8]


def waves(count: int = 20, height: int = 48, width: int = 64) -> Frames:
    """Smooth moving waves, (count, height, width, 3), which codecs keep well."""
    t, y, x = np.mgrid[:count, :height, :width]
    channels = [np.sin((x + 2 * t) / 14), np.cos((y - t) / 13), np.sin((x + y) / 17)]
    return (128 + 90 * np.stack(channels, axis=-1)).astype(np.uint8)


def tone(seconds: float, rate: int = 16000) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def read(path: Path) -> tuple[Frames, list[float], Fraction]:
    """Decode frames, their times in seconds, and the average rate."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        pictures = list(container.decode(stream))
    assert rate is not None
    return np.stack([p.to_ndarray(format="rgb24") for p in pictures]), [float(p.time or 0.0) for p in pictures], rate


def read_sound(path: Path) -> tuple[NDArray[np.float32], int]:
    with av.open(path) as container:
        parts = [frame.to_ndarray() for frame in container.decode(container.streams.audio[0])]
        rate = container.streams.audio[0].rate
    return np.concatenate(parts, axis=1)[0].astype(np.float32), rate


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_frames_and_sound_come_back(tmp_path: Path, suffix: str) -> None:
    path, frames = tmp_path / f"waves{suffix}", waves()
    write_video(path, frames, fps=16, waveform=tone(20 / 16))
    decoded, times, rate = read(path)
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(int) - frames).mean() < 4.5
    assert rate == 16
    assert np.diff(times) == pytest.approx(1 / 16, abs=0.002)
    sound, sound_rate = read_sound(path)
    assert len(sound) / sound_rate == pytest.approx(20 / 16, abs=0.15)
    middle = sound[len(sound) // 4 : len(sound) // 4 + sound_rate // 2]
    assert np.argmax(np.abs(np.fft.rfft(middle))) == pytest.approx(220, abs=2)  # 440 Hz over half a second


def test_an_mp4_holds_h264_and_aac_in_step(tmp_path: Path) -> None:
    path = tmp_path / "waves.mp4"
    write_video(path, iter(waves()), fps=16, waveform=tone(20 / 16))
    with av.open(path) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (audio.codec_context.name, audio.rate, audio.layout.name) == ("aac", 16000, "mono")
        packets = [p.stream.type for p in container.demux() if p.size]
    assert "audio" in packets[: packets.index("video") + 6]  # interleaved, not one after the other


def test_a_rate_may_be_a_fraction(tmp_path: Path) -> None:
    write_video(tmp_path / "ntsc.mp4", waves(31), fps=Fraction(30000, 1001))
    frames, times, rate = read(tmp_path / "ntsc.mp4")
    assert (len(frames), rate) == (31, Fraction(30000, 1001))
    assert times[-1] == pytest.approx(30 * 1001 / 30000, abs=1e-4)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi"])
def test_equal_input_gives_equal_bytes(tmp_path: Path, suffix: str) -> None:
    """Often enough to catch an encoder that reads stale memory: x264 with macroblock trees failed here."""
    written = set()
    for index in range(6):
        path = tmp_path / f"{index}{suffix}"
        write_video(path, waves(16, 112, 112), fps=16, waveform=tone(1.0))
        written.add(path.read_bytes())
        if index == 0 and suffix == ".mp4":
            time.sleep(1.1)  # a clock in the metadata would show
    assert len(written) == 1


def test_codec_and_options_are_the_callers(tmp_path: Path) -> None:
    fine, coarse, old = tmp_path / "fine.mp4", tmp_path / "coarse.mp4", tmp_path / "old.mp4"
    write_video(fine, waves(), fps=16, options={"crf": "10"})
    write_video(coarse, waves(), fps=16, options={"crf": "40"})
    write_video(old, waves(), fps=16, codec="mpeg4", waveform=tone(1.25, 44100), audio_rate=44100, audio_codec="libmp3lame")
    assert fine.stat().st_size > 1.5 * coarse.stat().st_size
    with av.open(old) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
        assert container.streams.audio[0].codec_context.name.startswith("mp3")


def test_no_waveform_means_no_track(tmp_path: Path) -> None:
    write_video(tmp_path / "silent.mp4", waves(), fps=16)
    with av.open(tmp_path / "silent.mp4") as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")

    def broken() -> Iterator[Frames]:
        yield from waves(5)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_video(path, broken(), fps=16)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "frames", "fps", "waveform", "story"),
    [
        ("a.xyz", waves(2), 16, None, "no container"),
        ("a.mp4", waves(2), 0, None, "fps"),
        ("a.mp4", [], 16, None, "at least one frame"),
        ("a.mp4", waves(2, 47), 16, None, "even"),
        ("a.mp4", [waves(1)[0], waves(1, 50)[0]], 16, None, "every frame"),
        ("a.mp4", waves(2).astype(np.float32), 16, None, "uint8"),
        ("a.mp4", waves(2), 16, np.zeros(0, np.float32), "waveform"),
        ("a.mp4", waves(2), 16, np.zeros((2, 100), np.float32), "waveform"),
        ("a.mp4", waves(2), 16, np.full(100, np.nan, np.float32), "waveform"),
    ],
)
def test_bad_input_is_named(
    tmp_path: Path, name: str, frames: Frames, fps: int, waveform: NDArray[np.float32] | None, story: str
) -> None:
    with pytest.raises(ValueError, match=story):
        write_video(tmp_path / name, frames, fps=fps, waveform=waveform)
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_encoders_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert h264_encoder() == "libx264"
    with pytest.raises(MachineError, match="no_such_codec"):
        write_video(tmp_path / "a.mp4", waves(2), fps=16, codec="no_such_codec")
    monkeypatch.setattr(encode, "H264_ENCODERS", ("no_such_codec",))
    with pytest.raises(MachineError, match="has no H") as caught:
        write_video(tmp_path / "a.mp4", waves(2), fps=16)
    assert "pip install" in caught.value.hint


def test_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        write_video(tmp_path / "nowhere" / "a.mp4", waves(2), fps=16)
