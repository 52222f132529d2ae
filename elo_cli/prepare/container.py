"""Open an untrusted file as a container of pictures and sound, and nothing else.

A text file with the name of a video can make FFmpeg open other files (ffconcat, m3u8, …), so only
binary containers are tried and only the file protocol is allowed. Every failure has a reason.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.error
import av.logging
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from elo_cli.core.errors import VideoError
from elo_cli.prepare.motion_vectors import DECODER_OPTIONS

# Containers that hold their pictures themselves. Never concat, hls, dash, image2, rawvideo, tty, sdp, subtitles.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,gif,flv,live_flv,asf,ogg,mxf,ivf"
KEPT_LOG_LINES = 20  # a damaged film can make FFmpeg write millions of lines
FALLBACK_RATE = 25.0  # frames per second, where neither the packets nor the header say anything
_GENPTS = 1  # AVFMT_FLAG_GENPTS

# What PyAV raises over damaged files; not MemoryError, which says nothing about the file.
DECODING_ERRORS = (av.error.FFmpegError, ValueError, ArithmeticError, RuntimeError, LookupError, TypeError)

Log = list[tuple[int, str, str]]


@contextmanager
def open_container(path: Path, max_pixels: int, log: Log | None = None) -> Iterator[tuple[InputContainer, Log]]:
    """Yield the container and FFmpeg's log, which is kept off stderr; close it whatever happens.

    Args:
        path: the file.
        max_pixels: bound on width times height of a picture.
        log: that of a container which is open already: FFmpeg has one for all.

    Raises:
        VideoError: empty-file, unreadable or not-a-video.
    """
    _check_file(path)
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)  # without it exceptions would lack FFmpeg's own words
    av.logging.set_skip_repeated(False)  # every complaint counts
    try:
        with av.logging.Capture() if log is None else contextlib.nullcontext(log) as log:
            container = _open(path, max_pixels, log)
            try:
                yield container, log
            finally:
                container.close()
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)


@contextmanager
def decoding(path: Path, log: Log) -> Iterator[None]:
    """Give what FFmpeg, PyAV or NumPy report inside the `with` block its reason; nothing else belongs there.

    Raises:
        VideoError: decode-error or out-of-memory.
    """
    try:
        yield
    except DECODING_ERRORS as error:
        raise VideoError("decode-error", f"{path.name!r} cannot be decoded: {words(error, log)}") from error
    except MemoryError as error:
        raise VideoError("out-of-memory", f"{path.name!r} needs more memory than a worker may take.") from error


def words(error: BaseException | None, log: Log) -> str:
    """FFmpeg's own words: those of the exception and the last line of its log."""
    said = [] if error is None else [getattr(error, "strerror", None) or str(error) or type(error).__name__]
    said += [f"[{name}] {line.strip()}" for _, name, line in log[-1:]]
    return "; ".join(part[:200] for part in said) or "FFmpeg gives no reason"


def trim(log: Log) -> None:
    """Keep a log small, in place."""
    if len(log) > 4 * KEPT_LOG_LINES:
        del log[:-KEPT_LOG_LINES]


def video_streams(container: InputContainer, path: Path, max_pixels: int, *, vectors: bool = False) -> list[VideoStream]:
    """List the streams of moving pictures that can be decoded, the best first; ready to decode on one thread.

    With `vectors` their frames bring the codec's motion vectors.

    Raises:
        VideoError: no-video-stream, no-decoder or too-large.
    """
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    moving = [stream for stream in container.streams.video if not stream.disposition & still]
    if not moving:
        raise VideoError("no-video-stream", f"{path.name!r} has no video stream ({container.format.name}).")
    usable = [stream for stream in moving if stream.codec_context is not None]
    if not usable:
        raise VideoError("no-decoder", f"{path.name!r} needs a video decoder that this build of FFmpeg lacks.")
    small = [stream for stream in usable if stream.codec_context.width * stream.codec_context.height <= max_pixels]
    if not small:
        context = usable[0].codec_context
        raise VideoError("too-large", f"{path.name!r}: {context.width}x{context.height} is over {max_pixels} pixels.")
    for stream in small:
        stream.codec_context.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        options = {"max_pixels": str(max_pixels)}
        stream.codec_context.options = options | DECODER_OPTIONS if vectors else options
    default = Disposition.default
    return sorted(
        small,
        key=lambda stream: (bool(stream.disposition & default), stream.codec_context.width * stream.codec_context.height),
        reverse=True,
    )


def rate(stream: VideoStream) -> float:
    """Frames per second as the header has it, within reason."""
    known = stream.average_rate or stream.guessed_rate or FALLBACK_RATE
    return float(known) if 0.01 <= known <= 1000 else FALLBACK_RATE


def _check_file(path: Path) -> None:
    """Refuse what is not a regular file with something in it, before FFmpeg could wait on it."""
    try:
        status = os.stat(path)
        readable = os.access(path, os.R_OK)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise VideoError("unreadable", f"{path.name!r} cannot be opened: {error}") from error
    if not stat.S_ISREG(status.st_mode) or not readable:
        raise VideoError("unreadable", f"{path.name!r} is not a file that can be read.")
    if not status.st_size:
        raise VideoError("empty-file", f"{path.name!r} is empty.")


def _open(path: Path, max_pixels: int, log: Log) -> InputContainer:
    """Open a container with every restriction; `file:` before an absolute path lets any name through as a name."""
    try:
        container = av.open(
            "file:" + os.path.abspath(path),
            mode="r",
            options={"max_pixels": str(max_pixels)},  # reaches the decoders that look into the streams while opening
            container_options={"protocol_whitelist": "file", "format_whitelist": FORMATS},
            metadata_errors="replace",
        )
    except av.error.FFmpegError as error:
        # Demuxers return all kinds of codes for damage, -1 (EPERM) among them: the file could be read just now.
        refused = error.errno in (errno.EACCES, errno.EIO, errno.ENOENT, errno.ESTALE, errno.EISDIR) and not log
        reason = "unreadable" if refused else "not-a-video"
        raise VideoError(reason, f"{path.name!r} cannot be opened: {words(error, log)}") from error
    # PyAV asks FFmpeg to invent missing presentation times; for packed B-frames in AVI it invents wrong ones.
    container.flags &= ~_GENPTS
    return container
