"""Sound and picture together: a flash and a click at one moment, whatever the container does to the times."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from elo_cli.prepare import reel
from elo_cli.prepare.decode import decode_video
from elo_cli.prepare.segment import Segment
from tests.prepare.films import plan, raw_frame, write_frames

FPS, RATE, HERE = 25, 16000, 0.48  # a flash and a click in the twelfth frame of every second


@dataclass(frozen=True)
class Film:
    ending: str
    codec: str
    sound_codec: str
    rate: int = 48000
    within_s: float = 0.002  # how far the click may be from the flash
    noise: bool = False  # pictures that need more than one packet of a program stream

    def __str__(self) -> str:
        return f"{self.ending}-{self.codec}-{self.sound_codec}"

    def write(self, folder: Path, seconds: float, picture_s: float = 0.0, sound_s: float = 0.0, **more: Any) -> Path:
        """Pictures from `picture_s` on, sound from `sound_s` on; the clock of both begins at their common zero."""
        rng = np.random.default_rng(0)
        kind = {"ffv1": "gray", "mjpeg": "yuvj420p"}.get(self.codec, "yuv420p")
        frames = []
        for index in range(round(picture_s * FPS), round((picture_s + seconds) * FPS)):
            size = (96, 128) if self.noise else (48, 64)
            grey = rng.integers(20, 50, size, dtype=np.uint8) if self.noise else np.full(size, 30, np.uint8)
            grey += np.uint8(180) * (index % FPS == round(HERE * FPS))
            chroma = np.full((size[0] // 2, size[1] // 2), 128, np.uint8)
            frames.append(raw_frame(kind, [grey] if kind == "gray" else [grey, chroma, chroma]))
        times = (np.arange(round(sound_s * self.rate), round((picture_s + seconds) * self.rate)) + 0.5) / self.rate
        hum = 0.02 * np.sin(2 * np.pi * 300 * times)
        samples = np.where((times - HERE) % 1 < 0.005, 0.9 * np.sin(2 * np.pi * 2000 * times + 0.5), hum)
        first = round(picture_s * FPS)
        return write_frames(
            folder / f"a.{self.ending}",
            frames,
            self.codec,
            times=list(range(first, first + len(frames))),
            sound=(samples, self.rate, sound_s),
            sound_codec=self.sound_codec,
            **({"bit_rate": 4_000_000} if self.noise else {}),
            **more,
        )


def flashes(segment: Segment) -> NDArray[np.float64]:
    """Seconds of the segment at which a flash begins."""
    return np.flatnonzero(segment.rgb_THWC.mean(axis=(1, 2, 3)) > 120) / FPS


def clicks(segment: Segment) -> NDArray[np.float64]:
    """Seconds of the segment at which a click begins."""
    assert segment.waveform is not None
    loud = np.flatnonzero(np.abs(segment.waveform) > 0.4) / RATE
    return loud[np.diff(loud, prepend=-1) > 0.1]


def check(film: Film, segments: tuple[Segment, ...], seconds: int) -> None:
    """Each segment is to hold a flash and its click for each of its seconds."""
    for segment in segments:
        seen, heard = flashes(segment), clicks(segment)
        assert len(seen) == seconds
        np.testing.assert_allclose(heard, seen, atol=film.within_s)


FILMS = [
    Film("mp4", "libx264", "aac"),  # B-frames and the encoder's lead-in: two edit lists
    Film("mov", "mjpeg", "pcm_s16le", 44100),
    Film("mp4", "mpeg4", "libmp3lame", 44100),
    Film("mkv", "ffv1", "flac", 44100),
    Film("mkv", "libx264", "libopus"),
    Film("webm", "libvpx-vp9", "libopus"),
    Film("ts", "libx264", "aac"),
    Film("mpg", "mpeg2video", "mp2", noise=True),
    Film("flv", "libx264", "aac", 44100),
]
# When the pictures and the sound begin.
STARTS = {
    "together": (0, 0),
    "sound-late": (0, 0.52),
    "pictures-late": (0.4, 0),
    "both-late": (10, 10.2),
    "negative": (-0.2, -0.2),
}


@pytest.mark.parametrize("starts", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("film", FILMS, ids=str)
def test_a_click_is_heard_where_its_flash_is_seen(tmp_path: Path, film: Film, starts: tuple[float, float]) -> None:
    path = film.write(tmp_path, 2.4, *starts)
    (segment,) = decode_video(path, plan(fps=FPS, segment_seconds=2, short_side=24)).segments
    seen, heard = flashes(segment), clicks(segment)
    assert len(seen) == 2
    from_s = starts[1] - max(starts[0], 0) - segment.start_s  # when the sound begins, in the segment
    audible = seen[seen > from_s]
    np.testing.assert_allclose(heard, audible, atol=film.within_s)
    assert segment.waveform is not None
    if from_s > 0.1:  # nothing before it but zeros, then the hum
        hum = np.flatnonzero(np.abs(segment.waveform) > 0.008)[0] / RATE
        assert hum == pytest.approx(from_s, abs=0.025)
    # Seconds of the whole film: a negative start is cut off by MP4, and moved to 0 by the others.
    zero_s = max(starts[0], 0) if film.ending in ("mp4", "mov") else starts[0]
    np.testing.assert_allclose((zero_s + segment.start_s + seen) % 1, HERE, atol=0.01)


def test_avi_cannot_say_that_a_stream_starts_late(tmp_path: Path) -> None:
    """Nor does it say how much silence an MP3 encoder puts first: 1105 samples, less than a frame of pictures."""
    for film in (Film("avi", "mpeg4", "pcm_s16le", 44100), Film("avi", "mpeg4", "libmp3lame", 44100, within_s=1 / FPS)):
        (segment,) = decode_video(film.write(tmp_path, 2.4), plan(fps=FPS, segment_seconds=2, short_side=24)).segments
        check(film, (segment,), 2)


def test_a_transport_stream_whose_clock_overflows(tmp_path: Path) -> None:
    """Its times have 33 bits of 90 kHz: 26.5 hours."""
    for film in (Film("ts", "libx264", "aac"), Film("ts", "mpeg2video", "mp2")):
        path = film.write(tmp_path, 12, muxing={"output_ts_offset": str(2**33 / 90000 - 5)})
        segments = decode_video(path, plan(fps=FPS, segment_seconds=2, short_side=24, max_segments=3)).segments
        assert len(segments) == 3
        check(film, segments, 2)


LONG = [
    Film("mp4", "libx264", "aac"),
    Film("webm", "libvpx-vp9", "libopus"),
    Film("mkv", "ffv1", "flac"),
    Film("ts", "libx264", "aac"),
    Film("mpg", "mpeg2video", "mp2", noise=True),
]


def in_the_middle(film: Film, path: Path) -> None:
    segments = decode_video(path, plan(fps=FPS, segment_seconds=2, short_side=24, max_segments=2)).segments
    assert len(segments) == 2 and segments[1].start_s > 8
    check(film, segments, 2)


@pytest.mark.parametrize("start_s", [0, 2])
@pytest.mark.parametrize("film", LONG, ids=str)
def test_sound_in_the_middle_of_a_film(tmp_path: Path, film: Film, start_s: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that starts in the middle of the sound must not shift it, be it in memory or by seeking."""
    path = film.write(tmp_path, 14, start_s, 1.1 * start_s)
    in_the_middle(film, path)
    monkeypatch.setattr(reel, "HELD_BYTES", 0)
    in_the_middle(film, path)
