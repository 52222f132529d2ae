"""Small films for the tests of decoding.

Every picture carries its frame number as 16 black or white blocks, which survive any codec.
"""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from elo_cli.core.errors import VideoError
from elo_cli.prepare.decode import DecodedVideo, SegmentPlan, decode_video

HEIGHT, WIDTH = 32, 64
CODECS = [("libx264", "mp4"), ("mpeg4", "avi"), ("libvpx-vp9", "webm"), ("ffv1", "mkv"), ("mpeg2video", "ts")]


def plan(**changes: float) -> SegmentPlan:
    settings: dict[str, float] = {
        "fps": 12.5, "short_side": HEIGHT, "segment_seconds": 1.6, "max_segments": 1,
        "min_frames": 4, "audio_rate": 16000, "max_pixels": 2**20,
    }  # fmt: skip
    return SegmentPlan(**(settings | changes))  # type: ignore[arg-type]


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    bits = np.array([number >> bit & 1 for bit in range(16)], np.uint8).reshape(2, 8) * 255
    grey = np.kron(bits, np.ones((height // 2, width // 8), np.uint8))
    return np.repeat(grey[..., None], 3, axis=2)


def numbers(rgb_THWC: np.ndarray) -> list[int]:
    frames, height, width, _ = rgb_THWC.shape
    blocks = rgb_THWC[..., 1].reshape(frames, 2, height // 2, 8, width // 8).mean(axis=(2, 4)) > 127
    return [int(sum(1 << bit for bit, on in enumerate(frame.ravel()) if on)) for frame in blocks]


def write_video(
    path: Path,
    frames: "list[np.ndarray] | int" = 50,
    codec: str = "ffv1",
    fps: int = 25,
    times_ms: list[int] | None = None,
    sound: tuple[np.ndarray, int, float] | None = None,
    **context: object,
) -> Path:
    """Write frames, or so many numbered ones; `sound` is samples, their rate and the time of the first."""
    pictures = [picture(number) for number in range(frames)] if isinstance(frames, int) else frames
    options = {"movflags": "faststart"} if path.suffix == ".mp4" else {}
    with av.open(os.fspath(path), "w", format=None if path.suffix != ".bin" else "matroska", options=options) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        stream.codec_context.gop_size = 10
        stream.codec_context.thread_count = 1
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        voice = container.add_stream("pcm_s16le", rate=sound[1], layout="mono") if sound else None
        if times_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, rgb in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24").reformat(format=stream.pix_fmt)
            frame.pts = times_ms[index] if times_ms else index
            frame.time_base = Fraction(1, 1000) if times_ms else Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None and sound is not None:
            samples, rate, start_s = sound
            block = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], "s16", "mono")
            block.sample_rate, block.time_base, block.pts = rate, Fraction(1, rate), round(start_s * rate)
            container.mux(voice.encode(block))
            container.mux(voice.encode(None))
    return path


def outcome(path: Path, **changes: float) -> "DecodedVideo | str":
    try:
        return decode_video(path, plan(**changes))
    except VideoError as error:
        return error.reason


def reason(path: Path, **changes: float) -> str:
    with pytest.raises(VideoError) as caught:
        decode_video(path, plan(**changes))
    return caught.value.reason
