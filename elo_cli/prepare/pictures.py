"""One video stream as frames in presentation order, and each frame as a small upright RGB picture.

Shape legend: H rows, W columns of the small picture.
"""

import math
from typing import NamedTuple

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from elo_cli.core.errors import VideoError
from elo_cli.prepare.container import Log, rate, read_packets, trim

MAX_ASPECT = 16.0  # a strip longer than this is no picture, and resized by its short side it would be huge
MAX_PIXEL_ASPECT = 8.0  # a pixel more oblong than this is a broken header
SEEK_MARGIN_S = 0.5  # FFmpeg seeks by decoding time, which runs ahead of presentation time
# SWS_FULL_CHR_H_INT: without it swscale takes a table for RGB whose white is 253 and whose chroma is halved once more.
SHRINK, ENLARGE = (int(method) | 0x2000 for method in (Interpolation.AREA, Interpolation.BILINEAR))
# Before PyAV 17 scaling had one thread and no such argument.
_ONE_THREAD: dict[str, int] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


class Picture(NamedTuple):
    """A source frame, when it appears and for how long, in seconds of the stream's clock."""

    time_s: float
    duration_s: float
    frame: VideoFrame


class PictureReader:
    """Frames of one stream in presentation order, with times that always grow.

    Attributes:
        bad_packets: packets that the decoder refused, or decoded with complaints: possible damage.
        end_s: when the last frame read so far disappears.
        exhausted: whether the stream has come to its end.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, log: Log) -> None:
        self.bad_packets = 0
        self.end_s = 0.0
        self.exhausted = False
        self._container, self._stream, self._log = container, stream, log
        self._packets = read_packets(container, [stream])
        self._ready: list[Picture] = []  # in reverse order
        self._unit = float(stream.time_base or 0)
        self._period = 1.0 / rate(stream)
        self._last: float | None = None
        self._resume = 0.0  # time of a frame without any, where none came before
        self._settled = True

    def next(self) -> Picture | None:
        """Return the next frame; None at the end of the stream."""
        while not self._ready:
            try:
                packet = next(self._packets)
            except StopIteration:
                self.exhausted = True
                return None
            frames: list[VideoFrame] = []
            complaints = len(self._log)
            try:
                frames = [] if packet is None else packet.decode()
                bad = packet is None or any(frame.is_corrupt for frame in frames)
            except av.error.FFmpegError:  # the next packet may be whole: decoding goes on
                bad = True
            # Right after a seek a decoder may lack references that it then never shows.
            self._settled = self._settled or bool(frames)
            self.bad_packets += self._settled and (bad or len(self._log) > complaints)
            trim(self._log)
            self._ready = [self._timed(frame) for frame in frames][::-1]
        return self._ready.pop()

    def put_back(self, picture: Picture) -> None:
        """Make `next` return this frame once more."""
        self._ready.append(picture)

    def seek(self, time_s: float) -> None:
        """Go on from the last keyframe that is surely before `time_s`.

        Raises:
            av.error.FFmpegError: the container cannot seek.
        """
        target = time_s - SEEK_MARGIN_S
        self._container.seek(math.floor(target / self._unit), stream=self._stream, backward=True)
        self._packets = read_packets(self._container, [self._stream])
        self._ready, self._last, self._resume = [], None, target
        self.exhausted = self._settled = False

    def _timed(self, frame: VideoFrame) -> Picture:
        """Give a frame its time: the presentation time, else the decoding time, else one period after the last."""
        stamp = frame.pts if frame.pts is not None else frame.dts
        last = self._last
        time = None if stamp is None or not self._unit else stamp * self._unit
        if time is None or (last is not None and time <= last):
            time = self._resume if last is None else last + self._period
        duration = (frame.duration or 0) * self._unit
        if not 0 < duration <= 10:  # unknown, or nonsense
            duration = self._period
        self._last, self.end_s = time, time + duration
        return Picture(time, duration, frame)


class Canvas:
    """Draw source frames upright, with square pixels, at one size.

    Attributes:
        source_size: (height, width) as displayed: after rotation, with square pixels.
        size: (H, W) of what `draw` returns; the shorter of them is `short_side`.

    Raises:
        VideoError: too-large, when the picture is a strip longer than `MAX_ASPECT`.
    """

    def __init__(self, frame: VideoFrame, stream: VideoStream, short_side: int, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._transposed, self._flip_rows, self._flip_columns = orientation(frame)
        aspect = float(stream.sample_aspect_ratio or 1)
        if not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
            aspect = 1.0
        height, width = frame.height, max(1, round(frame.width * aspect))
        self.source_size = (width, height) if self._transposed else (height, width)
        ratio = max(height, width) / min(height, width)
        if ratio > MAX_ASPECT:
            raise VideoError("too-large", f"A picture of {width}x{height} is a strip: over {MAX_ASPECT:g} to 1.")
        long_side = max(short_side, round(short_side * ratio))
        self._height, self._width = (short_side, long_side) if height <= width else (long_side, short_side)
        self.size = (self._width, self._height) if self._transposed else (self._height, self._width)
        self._reformatter = VideoReformatter()

    def draw(self, frame: VideoFrame) -> np.ndarray:
        """Return the frame as (H, W, 3) uint8 RGB of full range; a view that need not be contiguous.

        Colours follow the matrix and the range that the frame names (BT.601 and limited where it names
        none); the transfer of HDR is kept, there is no tone mapping.

        Raises:
            VideoError: too-large, when the stream has changed to larger frames.
        """
        if frame.width * frame.height > self._max_pixels:
            raise VideoError("too-large", f"A frame of {frame.width}x{frame.height} is over {self._max_pixels} pixels.")
        shrinks = frame.width * frame.height >= self._width * self._height
        small = self._reformatter.reformat(
            frame,
            self._width,
            self._height,
            "rgb24",
            interpolation=SHRINK if shrinks else ENLARGE,
            src_color_range=frame.color_range,
            **_ONE_THREAD,
        )
        picture: np.ndarray = small.to_ndarray()
        if self._transposed:
            picture = picture.transpose(1, 0, 2)
        if self._flip_rows:
            picture = picture[::-1]
        return picture[:, ::-1] if self._flip_columns else picture


def orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Read how a stored frame must be turned to stand upright: transpose, then flip rows, then flip columns.

    The display matrix takes a stored (x, y) to (a·x + c·y, b·x + d·y); of it the nearest of the eight
    quarter turns and mirrorings is kept.
    """
    if "DISPLAYMATRIX" not in frame.side_data:
        return False, False, False
    matrix = frame.side_data["DISPLAYMATRIX"]  # type: ignore[typeddict-item]  # PyAV describes a mapping as a TypedDict
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, d < 0, a < 0
    return True, b < 0, c < 0
