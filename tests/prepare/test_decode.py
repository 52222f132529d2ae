"""Decoding: which frame is picked, how it is turned and coloured, and how sound is aligned with it."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from elo_cli.core.errors import VideoError
from elo_cli.prepare.decode import decode_video
from elo_cli.prepare.segment import Segment, Span
from tests.prepare.films import CODECS, HEIGHT, WIDTH, numbers, picture, plan, write_video


@pytest.mark.parametrize(("codec", "ending"), CODECS)
def test_every_second_frame_of_the_middle(tmp_path: Path, codec: str, ending: str) -> None:
    video = decode_video(write_video(tmp_path / f"a.{ending}", codec=codec), plan())
    (segment,) = video.segments
    assert numbers(segment.rgb_THWC) == list(range(5, 45, 2))
    assert segment.rgb_THWC.shape == (20, HEIGHT, WIDTH, 3)
    assert segment.rgb_THWC.flags.c_contiguous
    assert segment.start_s == pytest.approx(0.2, abs=1e-3)
    assert segment.waveform is None
    assert video.duration_s == pytest.approx(2.0, abs=0.05)
    assert (video.source_size, video.bad_packets) == ((HEIGHT, WIDTH), 0)
    assert video.source_fps == pytest.approx(25, abs=0.1)


def test_a_frame_is_what_was_on_screen_when_the_rate_varies(tmp_path: Path) -> None:
    times = np.cumsum([0, *np.random.default_rng(0).integers(5, 200, 59)]).tolist()
    (segment,) = decode_video(write_video(tmp_path / "a.mkv", 60, times_ms=times), plan(segment_seconds=4)).segments
    start = round(segment.start_s * 1000)
    assert start in times
    assert numbers(segment.rgb_THWC) == [
        max(index for index, time in enumerate(times) if time <= start + k * 80 + 1) for k in range(50)
    ]


def test_slow_videos_repeat_frames(tmp_path: Path) -> None:
    (segment,) = decode_video(write_video(tmp_path / "a.mkv", 16, fps=10), plan(fps=20)).segments
    assert numbers(segment.rgb_THWC) == [k // 2 for k in range(32)]


@pytest.mark.parametrize(("codec", "ending"), [("mpeg4", "mp4"), ("mpeg4", "avi"), ("mpeg2video", "ts"), ("ffv1", "mkv")])
def test_seeking_in_a_long_video_is_exact(tmp_path: Path, codec: str, ending: str) -> None:
    path = write_video(tmp_path / f"a.{ending}", 1500, codec, max_b_frames=0)
    segments = decode_video(path, plan(max_segments=3, short_side=16)).segments
    for third, segment in enumerate(segments):
        first = round(segment.start_s * 25)
        assert abs(first - (500 * third + 230)) <= 1
        assert numbers(segment.rgb_THWC) == list(range(first, first + 40, 2))
    assert len(segments) == 3


def test_segments_are_spread_and_do_not_overlap(tmp_path: Path) -> None:
    video = decode_video(write_video(tmp_path / "a.mkv", 125), plan(max_segments=9))
    assert [round(segment.start_s, 2) for segment in video.segments] == [0.04, 1.72, 3.4]


@pytest.mark.parametrize(
    "matrix",
    [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, 0, 0, 0)],
)
def test_rotation_and_mirroring(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    stored = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for colour, (row, column) in enumerate([(0, 0), (0, 1), (1, 0)]):
        stored[row * 16 : row * 16 + 16, column * 32 : column * 32 + 32, colour] = 255
    path = write_video(tmp_path / "a.mp4", [stored] * 50, "libx264")
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    a, b, c, d = matrix if any(matrix) else (1, 0, 0, 1)
    shown = {}  # where each corner's middle goes, about the picture's own middle
    for row, column in [(8, 16), (8, 48), (24, 16), (24, 48)]:
        x, y = column - WIDTH / 2, row - HEIGHT / 2
        shown[(a * x + c * y, b * x + d * y)] = stored[row, column]
    video = decode_video(path, plan())
    height, width = (WIDTH, HEIGHT) if b else (HEIGHT, WIDTH)
    assert video.source_size == (height, width)
    for (x, y), colour in shown.items():
        found = video.segments[0].rgb_THWC[0, int(y + height / 2), int(x + width / 2)]
        assert np.abs(found.astype(int) - colour).max() < 40


def test_oblong_pixels_become_square(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", codec="mpeg4", sample_aspect_ratio=Fraction(2, 1))
    video = decode_video(path, plan(short_side=16))
    assert video.source_size == (HEIGHT, 2 * WIDTH)
    assert video.segments[0].rgb_THWC.shape[1:3] == (16, 64)


@pytest.mark.parametrize(("color_range", "expected"), [(1, 255), (2, 235)])
def test_limited_and_full_range(tmp_path: Path, color_range: int, expected: int) -> None:
    path = tmp_path / "a.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.color_range = color_range
        for index in range(50):
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            for plane, level in zip(frame.planes, (235 - index % 2, 128, 128), strict=True):
                plane.update(bytes([level]) * plane.buffer_size)
            frame.pts, frame.time_base, frame.color_range = index, Fraction(1, 25), color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert abs(int(decode_video(path, plan(fps=25)).segments[0].rgb_THWC[:2, 8, 8].max()) - expected) <= 1


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (1, 16)])
def test_tiny_pictures(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = [np.full((*size, 3), number, np.uint8) for number in range(50)]
    (segment,) = decode_video(write_video(tmp_path / "a.mkv", frames), plan(short_side=8)).segments
    assert min(segment.rgb_THWC.shape[1:3]) == 8
    assert segment.rgb_THWC[:, 4, 4, 0].tolist() == list(range(5, 45, 2))


def test_the_size_and_the_clock_may_change_in_the_middle(tmp_path: Path) -> None:
    small = write_video(tmp_path / "a.ts", 50, "mpeg2video")
    large = write_video(tmp_path / "b.ts", [picture(n + 50, 64, 128) for n in range(50)], "mpeg2video")
    small.write_bytes(small.read_bytes() + large.read_bytes())
    segments = decode_video(small, plan()).segments
    assert {segment.rgb_THWC.shape[1:] for segment in segments} == {(HEIGHT, WIDTH, 3)}


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("late_s", [0.0, 0.5])
def test_sound_is_aligned_with_the_picture(tmp_path: Path, rate: int, late_s: float) -> None:
    samples = 0.1 * np.sin(np.arange(2 * rate) / rate * 2 * np.pi * 440)
    click = round((1.0 - late_s) * rate)
    samples[click : click + rate // 400] = 0.9
    (segment,) = decode_video(write_video(tmp_path / "a.mkv", sound=(samples, rate, late_s)), plan()).segments
    wave = segment.waveform
    assert wave is not None
    assert (wave.shape, wave.dtype) == ((25600,), np.float32)
    assert np.flatnonzero(wave > 0.5)[0] == pytest.approx((1.0 - segment.start_s) * 16000, abs=12)
    heard = np.flatnonzero(np.abs(wave) > 0.02)[0]
    assert heard == pytest.approx(max(0.0, late_s - segment.start_s) * 16000, abs=60)
    assert np.abs(wave[:25600]).max() <= 1


def test_sound_of_later_segments_is_aligned_too(tmp_path: Path) -> None:
    rate = 16000
    samples = np.linspace(-0.9, 0.9, 30 * rate)  # the level tells the time
    path = write_video(tmp_path / "a.mkv", 750, sound=(samples, rate, 0.0))
    segments = decode_video(path, plan(max_segments=3)).segments
    assert len(segments) == 3
    for segment in segments:
        assert segment.waveform is not None
        expected = samples[round(segment.start_s * rate) :][: len(segment.waveform)]
        np.testing.assert_allclose(segment.waveform, expected, atol=1e-3)


def test_no_waveform_without_sound(tmp_path: Path) -> None:
    silent = write_video(tmp_path / "a.mkv", sound=(np.zeros(32000), 16000, 0.0))
    assert decode_video(silent, plan()).segments[0].waveform is None
    loud = write_video(tmp_path / "b.mkv", sound=(np.ones(32000) / 2, 16000, 0.0))
    assert decode_video(loud, plan(audio_rate=0)).segments[0].waveform is None
    early = write_video(tmp_path / "c.mkv", sound=(np.ones(1600) / 2, 16000, 0.0))
    assert decode_video(early, plan()).segments[0].waveform is None


def test_a_broken_track_of_sound_does_not_cost_the_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", sound=(np.ones(32000) / 2, 16000, 0.0))
    for codec in (b"A_UNKNOWN/CODEC"[:13], b"A_MPEG/L3\0\0\0\0", b"A_AAC\0\0\0\0\0\0\0\0"):
        path.write_bytes(path.read_bytes().replace(b"A_PCM/INT/LIT", codec))
        assert len(decode_video(path, plan()).segments) == 1


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 6), ("7.1", 8), ("hexadecagonal", 16)])
def test_any_number_of_channels_becomes_one(tmp_path: Path, layout: str, channels: int) -> None:
    rate = 48_000
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
    with av.open(tmp_path / "a.mkv", "w") as container:
        pictures = container.add_stream("ffv1", rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "bgr0"
        voice = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24").reformat(format="bgr0")
            frame.pts = number
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        samples = np.repeat((tone * 16000).astype(np.int16)[:, None], channels, axis=1)  # the same in all of them
        for first in range(0, len(tone), 1200):
            block = av.AudioFrame.from_ndarray(samples[first : first + 1200].reshape(1, -1), "s16", layout)
            block.sample_rate, block.pts = rate, first
            container.mux(voice.encode(block))
        container.mux(voice.encode(None))
    video = decode_video(tmp_path / "a.mkv", plan())
    waveform = video.segments[0].waveform
    assert video.hearing == "heard" and waveform is not None
    spectrum = np.abs(np.fft.rfft(waveform[:16000]))
    assert spectrum.argmax() == 440 and 0.3 < np.abs(waveform).max() <= 1.0


def test_no_more_than_one_segment_is_kept_at_a_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 250)
    starts: list[float] = []
    video = decode_video(path, plan(max_segments=6), keep=lambda segment: starts.append(segment.start_s))
    whole = decode_video(path, plan(max_segments=6))
    assert video.segments == () and starts == [segment.start_s for segment in whole.segments] and len(starts) == 6


@pytest.mark.parametrize("held_bytes", [2**25, 0], ids=["held", "by-the-header"])
def test_a_span_is_decoded_and_nothing_around_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_bytes: int) -> None:
    monkeypatch.setattr("elo_cli.prepare.reel.HELD_BYTES", held_bytes)
    path = write_video(tmp_path / "a.mkv", 250)
    segments = decode_video(path, plan(fps=25, max_segments=9), Span(2.0, 6.0)).segments
    shown = [number for segment in segments for number in numbers(segment.rgb_THWC)]
    assert 50 <= shown[0] <= 55 and 144 <= shown[-1] < 150 and len(segments) == 2
    (last,) = decode_video(path, plan(fps=25), Span(9.5)).segments
    assert numbers(last.rgb_THWC)[0] == 238 and numbers(last.rgb_THWC)[-1] == 249
    with pytest.raises(VideoError, match="from 12 s to its end"):
        decode_video(path, plan(), Span(12.0))


def test_an_error_of_whoever_keeps_segments_stays_what_it_is(tmp_path: Path) -> None:
    def refuse(segment: Segment) -> None:
        raise ValueError("not this one")

    with pytest.raises(ValueError, match="not this one"):
        decode_video(write_video(tmp_path / "a.mkv"), plan(), keep=refuse)
