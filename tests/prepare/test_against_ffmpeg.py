"""The same files through elo and through the machine's own ffmpeg: the same frames, at the same times, within rounding.

Where no difference is due to another version of a decoder, the pictures are equal to the bit.
"""

import json
import shutil
import struct
import subprocess
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from elo_cli.prepare import reel
from elo_cli.prepare.decode import decode_video
from elo_cli.prepare.segment import Segment
from tests.prepare.films import as_interlaced, plan, write_frames

pytestmark = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="needs the programs ffmpeg and ffprobe on PATH"
)

MOST, MEAN = 2, 0.1  # levels of 255 by which one value may differ, and all on average
FLAGS = "area+full_chroma_int+full_chroma_inp+accurate_rnd"
# Where the chroma of 4:2:0 and 4:2:2 lies, in 1/256 of a pixel; FFmpeg before 7.1 does not ask the frame.
SITES = {"left": (0, 128), "topleft": (0, 0), "top": (128, 0)}


def run(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout


@dataclass
class Reference:
    """What ffmpeg and ffprobe find in a file: the time of each frame, and each as (H, W, 3)."""

    path: Path
    times_s: list[float]
    first: dict[str, Any]

    @classmethod
    def of(cls, path: Path) -> "Reference":
        entries = "frame=best_effort_timestamp_time,pix_fmt,chroma_location,interlaced_frame,top_field_first"
        options = ("-select_streams", "v:0", "-show_frames", "-show_entries", entries, "-of", "json")
        found = json.loads(run("ffprobe", "-v", "error", *options, str(path)))["frames"]
        times_s: list[float] = []
        for frame in found:  # in an MPEG program stream not every frame has a time; these films have 25 frames a second
            times_s.append(float(frame.get("best_effort_timestamp_time", times_s[-1] + 0.04 if times_s else 0)))
        return cls(path, times_s, found[0])

    def pictures(self, height: int, width: int) -> np.ndarray:
        horizontal, vertical = SITES.get(self.first.get("chroma_location", ""), (128, 128))
        places = f":in_h_chr_pos={horizontal}" if "420" in self.first["pix_fmt"] or "422" in self.first["pix_fmt"] else ""
        places += f":in_v_chr_pos={vertical}" if "420" in self.first["pix_fmt"] else ""
        scale = f"scale={width}:{height}:flags={FLAGS}{places},format=rgb24"
        if int(self.first["interlaced_frame"]):
            scale = f"field={'top' if int(self.first['top_field_first']) else 'bottom'},{scale}"
        options = ("-map", "0:v:0", "-vf", scale, "-vsync", "passthrough", "-f", "rawvideo", "-")
        raw = run("ffmpeg", "-v", "error", "-threads", "1", "-i", str(self.path), *options)
        return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)

    def compare(self, segments: tuple[Segment, ...], fps: float, mean: float = MEAN) -> None:
        """Frame k must be the last one that appears within 1.5 ms after k / fps, drawn as ffmpeg draws it."""
        pictures = self.pictures(*segments[0].rgb_THWC.shape[1:3])
        assert len(pictures) == len(self.times_s)
        for segment in segments:
            begin_s = self.times_s[0] + segment.start_s + 1.5e-3
            wanted = [np.searchsorted(self.times_s, begin_s + k / fps, "right") - 1 for k in range(len(segment.rgb_THWC))]
            difference = np.abs(segment.rgb_THWC.astype(int) - pictures[wanted])
            worst = difference.reshape(len(wanted), -1).max(axis=1)
            assert worst.max() <= MOST, f"by frame: {worst.tolist()}"
            assert difference.mean() <= mean


def busy(count: int, height: int, width: int, channels: int = 3) -> list[np.ndarray]:
    """Pictures of soft and hard edges in all colours that move two pixels a frame."""
    rng = np.random.default_rng(height)
    blocks = np.kron(rng.integers(0, 256, (9, 13, channels)), np.ones((height // 8 + 1, width // 8 + 1, 1), int))
    slope = np.linspace(0, 255, width)[None, :, None] * np.linspace(0, 1, height)[:, None, None]
    frames = []
    for index in range(count):
        picture = 0.6 * blocks[2 * index % 8 :, 2 * index % 8 :][:height, :width] + 0.4 * slope
        frames.append(np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8)))
    return frames


@dataclass
class Film:
    """A file to be written: its ending, its encoder, FFmpeg's format of its frames, and how it differs from the usual."""

    ending: str
    codec: str
    kind: str = "yuv420p"
    height: int = 66
    width: int = 98
    matrix: int = 2
    colour_range: int = 0
    order: str = ""  # of the fields
    side: int = 48
    count: int = 10
    mean: float = MEAN
    options: dict[str, str] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join(part for part in (self.ending, self.codec, self.kind, f"{self.width}x{self.height}", self.order) if part)

    def write(self, folder: Path, **more: Any) -> Path:
        alpha = self.kind in ("rgba", "yuva420p")
        frames = []
        for picture in busy(self.count, self.height, self.width, 4 if alpha else 3):
            frame = av.VideoFrame.from_ndarray(picture, "rgba" if alpha else "rgb24").reformat(format=self.kind, threads=1)
            frame.colorspace, frame.color_range = self.matrix, self.colour_range
            frames.append(as_interlaced(frame, self.order) if self.order else frame)
        return write_frames(folder / f"a.{self.ending}", frames, self.codec, options=self.options, **self.context, **more)


X265 = {"x265-params": "log-level=none:bframes=2:keyint=5"}
HDR = {"color_primaries": 9, "color_trc": 16}
FILMS = [
    # Containers and codecs.
    Film("mp4", "libx264"),
    Film("mp4", "libx264", "yuv444p", side=66),  # nothing to scale
    Film("mp4", "libx264", side=132),
    Film("mkv", "libx265", options=X265),
    Film("webm", "libvpx-vp9"),
    Film("webm", "libvpx"),
    Film("mp4", "libsvtav1", options={"preset": "12"}),
    Film("avi", "mpeg4"),
    Film("mov", "mjpeg", "yuvj422p", colour_range=2),
    Film("mpg", "mpeg2video", context={"max_b_frames": 2}),
    Film("mpg", "mpeg1video"),
    Film("ts", "libx264", options={"x264-params": "open-gop=1:keyint=4:bframes=2"}),
    Film("flv", "flv"),
    Film("mkv", "ffv1", "bgr0"),
    Film("gif", "gif", "rgb8"),
    # Odd sizes.
    Film("webm", "libvpx-vp9", height=65, width=97),
    Film("mkv", "ffv1", "yuv420p", height=65, width=97),
    Film("mp4", "libx264", "yuv444p", height=67, width=99),
    # Ranges and matrices.
    Film("mp4", "libx264", matrix=1, colour_range=1),
    Film("mp4", "libx264", "yuvj420p", matrix=1, colour_range=2),
    Film("webm", "libvpx-vp9", matrix=6, colour_range=1),
    Film("mkv", "libx264", matrix=7, colour_range=1),
    # Ten bits, and HDR without tone mapping.
    Film("mkv", "ffv1", "yuv422p10le"),
    Film("mp4", "libx265", "yuv420p10le", matrix=9, colour_range=1, options=X265, context=HDR),
    Film("mp4", "libx265", "yuv444p10le", matrix=9, colour_range=2, options=X265, context=HDR | {"color_trc": 18}),
    Film("mp4", "libsvtav1", "yuv420p10le", matrix=9, colour_range=1, options={"preset": "12"}, context=HDR),
    Film("mov", "prores_ks", "yuv422p10le", matrix=1, colour_range=1),
    # Interlaced.
    Film("mkv", "ffv1", order="tff"),
    Film("mkv", "ffv1", "yuv422p10le", order="bff", side=64),
    Film("mp4", "libx264", order="bff", options={"x264-params": "bff=1"}, height=64),
    Film("mpg", "mpeg2video", order="tff", options={"flags": "+ildct+ilme"}, height=64),
    # Alpha, which is dropped, and grey.
    Film("mov", "png", "rgba"),
    Film("mov", "qtrle", "argb"),
    Film("webm", "libvpx-vp9", "yuva420p"),
    Film("mkv", "ffv1", "gray"),
    Film("mkv", "ffv1", "gray10le", colour_range=1, mean=0.4),  # its range is stretched after rounding
    Film("mp4", "libx265", "gray", colour_range=1, options=X265, mean=0.4),
]


@pytest.mark.parametrize("film", FILMS, ids=str)
def test_every_frame_is_as_ffmpeg_draws_it(tmp_path: Path, film: Film) -> None:
    path = film.write(tmp_path)
    with av.open(str(path)) as container:  # the film is what it is meant to be
        stored = next(container.decode(video=0))
        assert stored.interlaced_frame == bool(film.order)
        assert film.codec not in ("ffv1", "libx265", "png") or stored.format.name == film.kind
        assert film.matrix in (2, stored.colorspace) and film.colour_range in (0, stored.color_range)
    settings = {"fps": 25, "short_side": film.side, "segment_seconds": film.count / 25}
    video = decode_video(path, plan(**settings))
    assert len(video.segments[0].rgb_THWC) == film.count
    Reference.of(path).compare(video.segments, 25, film.mean)


def test_frames_of_varying_rate_are_picked_by_their_times(tmp_path: Path) -> None:
    times = np.cumsum([0, *np.random.default_rng(3).integers(5, 150, 39)]).tolist()
    for ending in ("mkv", "mp4"):
        path = Film(ending, "libx264", count=40).write(tmp_path, times=times, unit=Fraction(1, 1000))
        reference = Reference.of(path)
        assert reference.times_s == pytest.approx(np.array(times) / 1000, abs=1e-3)
        video = decode_video(path, plan(short_side=48, segment_seconds=1.2, max_segments=2))
        assert len(video.segments) == 2
        reference.compare(video.segments, 12.5)


@pytest.mark.parametrize("held", [True, False], ids=["in-memory", "by-seeking"])
@pytest.mark.parametrize(
    "film",
    [Film("mp4", "libx264"), Film("ts", "libx264", options={"x264-params": "open-gop=1:keyint=25:bframes=2"}),
     Film("webm", "libvpx-vp9"), Film("avi", "mpeg4"), Film("mpg", "mpeg2video", context={"max_b_frames": 2})],
    ids=str,
)  # fmt: skip
def test_frames_in_the_middle_are_right_too(tmp_path: Path, film: Film, held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    path = replace(film, count=350, height=32, width=48).write(tmp_path)
    if not held:
        monkeypatch.setattr(reel, "HELD_BYTES", 0)
    video = decode_video(path, plan(short_side=24, segment_seconds=1, max_segments=2))
    assert len(video.segments) == 2 and video.segments[1].start_s > 9
    Reference.of(path).compare(video.segments, 12.5)


def test_an_edit_list_cuts_what_ffmpeg_cuts(tmp_path: Path) -> None:
    path = Film("mp4", "libx264", count=30).write(tmp_path, times=list(range(-6, 24)))
    reference = Reference.of(path)
    assert len(reference.times_s) == 24  # six frames are decoded and not shown
    video = decode_video(path, plan(fps=25, short_side=48, segment_seconds=0.96))
    assert len(video.segments[0].rgb_THWC) == 24
    reference.compare(video.segments, 25)


def test_a_size_that_changes_in_the_middle(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    film = Film("ts", "mpeg2video", count=20)
    path = film.write(tmp_path)
    larger = replace(film, height=130, width=162).write(tmp_path / "large", times=list(range(20, 40)))
    path.write_bytes(path.read_bytes() + larger.read_bytes())
    video = decode_video(path, plan(fps=25, short_side=48, segment_seconds=1.52))
    reference = Reference.of(path)
    assert len(reference.times_s) >= 39  # the parser loses one where the sequence changes
    assert len(video.segments[0].rgb_THWC) == 38
    reference.compare(video.segments, 25)


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1)])
def test_ffmpeg_turns_pictures_the_same_way(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    path = Film("mp4", "libx264", "yuv444p", count=5).write(tmp_path)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    video = decode_video(path, plan(fps=25, short_side=48, segment_seconds=0.2))
    assert video.source_size == ((98, 66) if b else (66, 98))
    Reference.of(path).compare(video.segments, 25)
