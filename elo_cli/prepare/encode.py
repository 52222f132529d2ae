"""Write videos: real codecs through PyAV, equal bytes for equal input, whole files or none.

| suffix                 | container | video   | audio     |
| ---------------------- | --------- | ------- | --------- |
| .mp4 .m4v .mov         | mp4, mov  | H.264   | AAC       |
| .mkv                   | matroska  | H.264   | AAC       |
| .webm                  | webm      | VP9     | Opus      |
| .avi                   | avi       | MPEG-4  | MP3       |

"H.264" is the first of `H264_ENCODERS` that PyAV's build carries. PyPI's wheels carry libx264; its
hardware encoders are not in the list, for they need a device and do not promise equal bytes, and
an older codec such as mpeg4 is taken only by name, never in silence.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from elo_cli.core.errors import MachineError
from elo_cli.core.files import atomic_file

H264_ENCODERS = ("libx264", "libopenh264")  # in order of preference


@dataclass(frozen=True)
class Container:
    """What a suffix stands for: FFmpeg's muxer and the codecs that are usual in it."""

    muxer: str
    codec: str
    audio_codec: str


CONTAINERS = {
    ".mp4": Container("mp4", "h264", "aac"),
    ".m4v": Container("mp4", "h264", "aac"),
    ".mov": Container("mov", "h264", "aac"),
    ".mkv": Container("matroska", "h264", "aac"),
    ".webm": Container("webm", "libvpx-vp9", "libopus"),
    ".avi": Container("avi", "mpeg4", "libmp3lame"),
}

_MUXING = {
    "fflags": "+bitexact",  # no clock, no version, no random identity
    "avoid_negative_ts": "disabled",  # a sound codec's lead-in shall not push the pictures off their times
}
_QUICK = {  # encoder options when the caller gives none: quick, and good to the eye
    # Without macroblock trees: with them x264's AVX-512 code gave 14 different files in 15 attempts at 240x320.
    "libx264": {"preset": "veryfast", "crf": "23", "mbtree": "0"},
    "libopenh264": {"rc_mode": "off"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "32", "b": "0"},
    "mpeg4": {"flags": "+qscale", "global_quality": "354"},  # 118 times the quantizer, 3
}


def can_encode(codec: str) -> bool:
    """Say whether PyAV's build carries the encoder of that name."""
    try:
        av.Codec(codec, "w")
    except ValueError:  # UnknownCodecError is one
        return False
    return True


def h264_encoder() -> str:
    """Name the H.264 encoder that elo uses on this machine.

    Raises:
        MachineError: PyAV's build carries none of `H264_ENCODERS`.
    """
    for codec in H264_ENCODERS:
        if can_encode(codec):
            return codec
    raise MachineError(
        f"This build of PyAV has no H.264 encoder (looked for {', '.join(H264_ENCODERS)}).",
        hint="Install PyAV's wheel from PyPI: pip install --force-reinstall --only-binary av 'av>=17.1,<20'.",
    )


def write_video(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps: int | Fraction,
    waveform: NDArray[np.float32] | None = None,
    audio_rate: int = 16000,
    codec: str | None = None,
    audio_codec: str | None = None,
    options: Mapping[str, str] | None = None,
) -> None:
    """Encode frames, and sound if any, into a video file; equal input gives equal bytes.

    The file appears at `path` only when it is whole; until then it is `path` + ".part". Equal bytes are
    promised for one machine, one build of PyAV and the quick defaults: other processors, versions or
    `options` may round otherwise.

    Args:
        path: where to; its suffix, one of `CONTAINERS`, chooses the container and the usual codecs.
        frames: at least one frame (H, W, 3), uint8 RGB, all of one size; H and W even (yuv420p).
        fps: frames a second, > 0.
        waveform: float32 mono in [-1, 1], shape (N,), N >= 1; None for a file without a sound track.
        audio_rate: samples a second of `waveform`; it must be one that the codec takes (16000 is for all).
        codec: an encoder's FFmpeg name, "h264" for the best H.264 encoder, or None for the usual one.
        audio_codec: an encoder's FFmpeg name, or None for the usual one.
        options: options of the video encoder, in place of the quick defaults.

    Raises:
        ValueError: the suffix is unknown, or frames, rate or waveform are not as described.
        MachineError: this build of PyAV lacks an encoder.
        StorageError: the disk is full, read-only, or failed.
    """
    container = CONTAINERS.get(path.suffix.lower())
    if container is None:
        raise ValueError(f"{path.name}: no container for {path.suffix!r}; one of {', '.join(CONTAINERS)} is needed")
    if fps <= 0:
        raise ValueError(f"fps must be positive, not {fps}")
    if waveform is not None and (waveform.ndim != 1 or not len(waveform) or not np.isfinite(waveform).all()):
        raise ValueError(f"the waveform must be finite samples of shape (N,), N >= 1, not of shape {waveform.shape}")
    video = _present(codec or container.codec)
    audio = _present(audio_codec or container.audio_codec) if waveform is not None else None
    with atomic_file(path) as stream, av.open(stream, "w", format=container.muxer, options=_MUXING) as output:
        writer = _Writer(output, video, dict(_QUICK.get(video, {}) if options is None else options), Fraction(fps))
        if waveform is not None and audio is not None:
            writer.add_sound(audio, waveform, audio_rate)
        writer.write(frames)


def _present(codec: str) -> str:
    """Resolve "h264", and make sure that the encoder exists."""
    if codec == "h264":
        return h264_encoder()
    if not can_encode(codec):
        raise MachineError(
            f"This build of PyAV has no encoder named {codec!r}.",
            hint="Choose another codec, or install PyAV's wheel from PyPI, which carries the usual ones.",
        )
    return codec


class _Writer:
    """Feeds one open container with pictures and, beside each, the sound of the same moment."""

    def __init__(self, output: OutputContainer, codec: str, options: dict[str, str], fps: Fraction) -> None:
        self._output = output
        self._fps = fps
        self._reformatter = VideoReformatter()
        stream = output.add_stream(codec, rate=fps, options=options)
        assert isinstance(stream, VideoStream)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = 1 / fps
        stream.codec_context.thread_count = 1  # more threads, other bytes
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        self._video = stream
        self._sound: AudioStream | None = None
        self._samples: NDArray[np.float32] = np.zeros(0, np.float32)
        self._rate = 1
        self._fed = 0  # samples of the waveform that the encoder has had

    def add_sound(self, codec: str, waveform: NDArray[np.float32], rate: int) -> None:
        """Add a mono track; call it before `write`."""
        stream = self._output.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, AudioStream)
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        self._sound, self._rate = stream, rate
        self._samples = np.clip(waveform, -1.0, 1.0).astype(np.float32)

    def write(self, frames: Iterable[NDArray[np.uint8]]) -> None:
        """Encode and mux everything, and flush the encoders."""
        shape: tuple[int, ...] | None = None
        count = 0
        for count, frame in enumerate(frames, start=1):
            if shape is None:
                shape = frame.shape
                if len(shape) != 3 or shape[2] != 3 or shape[0] % 2 or shape[1] % 2 or 0 in shape:
                    raise ValueError(f"a frame must be (H, W, 3) with H and W even, not {shape}")
                self._video.height, self._video.width = shape[0], shape[1]
            if frame.dtype != np.uint8 or frame.shape != shape:
                raise ValueError(f"every frame must be uint8 of shape {shape}, not {frame.dtype} of {frame.shape}")
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture = self._reformatter.reformat(picture, format="yuv420p", threads=1)
            picture.pts, picture.time_base = count - 1, 1 / self._fps
            self._output.mux(self._video.encode(picture))
            self._feed(min(len(self._samples), int(count / self._fps * self._rate)))
        if not count:
            raise ValueError("a video needs at least one frame")
        self._feed(len(self._samples))
        self._output.mux(self._video.encode(None))
        if self._sound is not None:
            self._output.mux(self._sound.encode(None))

    def _feed(self, until: int) -> None:
        """Encode the samples that lie before index `until` and have not been encoded."""
        if self._sound is None or until <= self._fed:
            return
        frame = av.AudioFrame.from_ndarray(self._samples[None, self._fed : until], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._fed, Fraction(1, self._rate)
        self._output.mux(self._sound.encode(frame))
        self._fed = until
