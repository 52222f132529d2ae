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
from elo_cli.prepare.decode import decode_video
from elo_cli.prepare.segment import DecodedVideo, SegmentPlan

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


def raw_frame(
    kind: str, planes: list[np.ndarray], matrix: int = 2, colour_range: int = 0, width: int | None = None
) -> av.VideoFrame:
    """A frame of FFmpeg's format `kind` with these planes, each (rows, values in a row) of uint8 or uint16.

    `matrix` is one of H.273's MatrixCoefficients, `colour_range` 0 (not said), 1 (limited) or 2 (full).
    `width` is needed where a row of the first plane does not hold one value for each pixel.
    """
    frame = av.VideoFrame(width or planes[0].shape[1], planes[0].shape[0], kind)
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        data = np.ascontiguousarray(values).view(np.uint8)
        rows[:, : data.shape[1]] = data
        plane.update(rows.tobytes())
    frame.colorspace, frame.color_range = matrix, colour_range
    return frame


def as_interlaced(frame: av.VideoFrame, order: str) -> av.VideoFrame:
    """The frame, said to be interlaced with the top ("tff") or the bottom field first ("bff")."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add("setfield", order), graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()


def write_frames(
    path: Path,
    frames: "list[av.VideoFrame]",
    codec: str,
    *,
    fps: int = 25,
    times: list[int] | None = None,
    unit: Fraction | None = None,
    sound: tuple[np.ndarray, int, float] | None = None,
    sound_codec: str = "pcm_s16le",
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    **context: object,
) -> Path:
    """Encode frames as they are; frame k is shown at times[k] units, else at k / fps.

    `sound` is mono samples, their rate and the time of the first. `options` go to the video encoder,
    `muxing` to the muxer, and `context` are attributes of the encoder; the colours are those of the first frame.
    """
    first = frames[0]
    unit = unit or Fraction(1, fps)
    ending = {".bin": "matroska", ".mpg": "vob"}.get(path.suffix)
    with av.open(os.fspath(path), "w", format=ending, options=muxing or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.height, stream.width, stream.pix_fmt = first.height, first.width, first.format.name
        encoder = stream.codec_context
        encoder.gop_size, encoder.thread_count, encoder.time_base = 10, 1, unit
        encoder.color_range, encoder.colorspace = first.color_range, first.colorspace
        for name, value in context.items():
            setattr(encoder, name, value)
        voice = container.add_stream(sound_codec, rate=sound[1], layout="mono") if sound else None
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = times[index] if times else index, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if voice is not None and sound is not None:
            samples, rate, start_s = sound
            block = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], "s16", "mono")
            block.sample_rate, block.time_base, block.pts = rate, Fraction(1, rate), round(start_s * rate)
            container.mux(voice.encode(block))
            container.mux(voice.encode(None))
    return path


def write_video(
    path: Path,
    frames: "list[np.ndarray] | int" = 50,
    codec: str = "ffv1",
    fps: int = 25,
    times_ms: list[int] | None = None,
    sound: tuple[np.ndarray, int, float] | None = None,
    **context: object,
) -> Path:
    """Write pictures, or so many numbered ones; `sound` is samples, their rate and the time of the first."""
    pictures = [picture(number) for number in range(frames)] if isinstance(frames, int) else frames
    kind = "bgr0" if codec == "ffv1" else "yuv420p"
    return write_frames(
        path,
        [av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24").reformat(format=kind, threads=1) for rgb in pictures],
        codec,
        fps=fps,
        times=times_ms,
        unit=Fraction(1, 1000) if times_ms else None,
        sound=sound,
        muxing={"movflags": "faststart"} if path.suffix == ".mp4" else {},
        **context,
    )


def outcome(path: Path, **changes: float) -> "DecodedVideo | str":
    try:
        return decode_video(path, plan(**changes))
    except VideoError as error:
        return error.reason


def reason(path: Path, **changes: float) -> str:
    with pytest.raises(VideoError) as caught:
        decode_video(path, plan(**changes))
    return caught.value.reason
