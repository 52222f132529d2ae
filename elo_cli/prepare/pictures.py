"""One video stream as frames in presentation order, with times that always grow."""

from collections.abc import Iterator
from typing import NamedTuple, cast

from av.frame import Frame
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from elo_cli.prepare.container import rate
from elo_cli.prepare.foresight import Demand
from elo_cli.prepare.reel import SEEK_MARGIN_S, Reel


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
        demand: which of the pictures that are still to be decoded may not be missing; the last one never is.
            Where frames are interlaced a picture may be two packets, and where a film is damaged decoders make up
            what is lost from whatever came before: from there on everything is decoded.
    """

    def __init__(self, reel: Reel, stream: VideoStream) -> None:
        self.bad_packets = 0
        self.end_s = 0.0
        self.exhausted = False
        self.demand = Demand()
        self._reel, self._stream = reel, stream
        self._decoding: Iterator[tuple[list[Frame], bool]] = reel.decode(stream, None, self.demand)
        self._ready: list[Picture] = []  # in reverse order
        self._unit = float(stream.time_base or 0)
        self._period = 1.0 / rate(stream)
        self._last: float | None = None
        self._resume = 0.0  # time of a frame without any, where none came before
        self._settled = True

    def next(self) -> Picture | None:
        """Return the next frame; None at the end of the stream."""
        while not self._ready:
            found = next(self._decoding, None)
            if found is None:
                self.exhausted = True
                return None
            frames, bad = found
            # Right after a seek a decoder may lack references that it then never shows.
            self._settled = self._settled or bool(frames)
            if self._settled and bad:
                self.bad_packets += 1
                self.demand.everything = True
            self._ready = [self._timed(cast(VideoFrame, frame)) for frame in frames][::-1]
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
        self._decoding = self._reel.decode(self._stream, target, self.demand)
        self._ready, self._last, self._resume = [], None, target
        self.exhausted = self._settled = False

    def _timed(self, frame: VideoFrame) -> Picture:
        """Give a frame its time: the presentation time, else the decoding time, else one period after the last."""
        self.demand.everything = self.demand.everything or frame.interlaced_frame
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
