"""Decode a video file into a few segments of small pictures at a steady rate, with their sound.

A small file is read once, packets first, which tells where it really ends whatever its header
promises; a large one is taken at its header's word if there are packets near the promised end. Then
only what is kept gets decoded, segment by segment: memory follows the plan, not the file.
"""

import contextlib
import gc
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from elo_cli.core.errors import VideoError
from elo_cli.prepare.canvas import Canvas, orientation
from elo_cli.prepare.container import decoding, open_container, rate, video_streams, words
from elo_cli.prepare.motion_vectors import MotionField, exports_vectors
from elo_cli.prepare.pictures import Picture, PictureReader
from elo_cli.prepare.reel import SEEK_MARGIN_S, Extent, Reel, key_before
from elo_cli.prepare.segment import DecodedVideo, Segment, SegmentPlan, Span
from elo_cli.prepare.sound import SoundReader, sound_stream

SKIP_S = 4.0  # a gap shorter than this is decoded through: a seek would hardly save anything
EPSILON_S = 1.5e-3  # containers round times to milliseconds

_SIZE = re.compile(r"Picture size (\d+)x(\d+)")  # as FFmpeg complains of it

Stage = Callable[[str], None]
Keep = Callable[[Segment], None]


def _untold(stage: str) -> None:
    """Tell nobody."""


def decode_video(
    path: Path, plan: SegmentPlan, span: Span | None = None, *, at: Stage = _untold, keep: Keep | None = None
) -> DecodedVideo:
    """Decode the segments of one video.

    Args:
        path: the file.
        plan: what to keep.
        span: the part that is wanted; all of it if not given.
        at: is told each stage when it begins, one of `VIDEO_STAGES`.
        keep: takes each segment when it is ready, so that no more than one is in memory; without it
            they are returned.

    Raises:
        VideoError: with any of its reasons but timeout and crash, and FFmpeg's own words. Segments
            that were handed over before do not count.
    """
    kept: list[Segment] = []
    count = 0

    def deliver(segment: Segment) -> None:
        nonlocal count
        count += 1
        (keep or kept.append)(segment)

    try:
        with contextlib.ExitStack() as stack:
            film = _Film(stack, path, plan, at)
            video = film.decode(span or Span(), deliver)
            if not count and video.duration_s < film.duration_s:
                # The packets are there, but cannot be decoded to the end: what can be is planned anew.
                film = _Film(stack, path, plan, at)
                film.duration_s = video.duration_s
                video = film.decode(span or Span(), deliver)
    finally:
        # A closed container is a cycle that keeps its decoders and their frames; it is young, so this is quick.
        gc.collect(1)
    if not count:
        end = "" if span is None else f"{span.end_s:g} s" if span.end_s < math.inf else "its end"
        where = "" if span is None else f" from {span.start_s:g} s to {end}"
        raise VideoError(
            "too-short",
            f"{path.name!r} has {video.duration_s:.2f} s of moving pictures, which gives no segment of at least"
            f" {plan.min_frames} frames at {plan.fps:g} frames per second{where}.",
        )
    return replace(video, segments=tuple(kept))


class _Film:
    """One opened video.

    Attributes:
        duration_s: from the first frame to the end, by the packets, else by the header.
    """

    def __init__(self, stack: contextlib.ExitStack, path: Path, plan: SegmentPlan, at: Stage) -> None:
        at("open")
        self._path, self._plan, self._at = path, plan, at
        container, self._log = stack.enter_context(open_container(path, plan.max_pixels))
        with decoding(path, self._log):
            streams = video_streams(container, path, plan.max_pixels, vectors=plan.vectors)
            voice = sound_stream(container) if plan.audio_rate else None
            reel = Reel(container, [*streams, voice] if voice else streams, self._log)
            self._stream, self._extent = _choose(container, reel, streams)
            self._promised_s = _promised(container, self._stream)
            at("decode")
            self._reader = PictureReader(reel, self._stream)
            self._first = self._first_picture()
            self._canvas = Canvas(self._first.frame, self._stream, plan.short_side, plan.max_pixels, plan.deinterlace)
            self.duration_s = self._duration()
        if voice and not reel.held:  # seeking for sound must not disturb the pictures
            container, _ = stack.enter_context(open_container(path, plan.max_pixels, self._log))
            with decoding(path, self._log):
                voice = sound_stream(container)
                reel = Reel(container, [voice] if voice else [], self._log)
        self._sound = SoundReader(reel, voice, plan.audio_rate, tracks=len(container.streams.audio))

    def _first_picture(self) -> Picture:
        first = self._reader.next()
        if first is None:
            said = words(None, self._log)
            large = any(int(width) * int(height) > self._plan.max_pixels for width, height in _SIZE.findall(said))
            reason = "too-large" if large else "out-of-memory" if "Cannot allocate" in said else "no-frames"
            raise VideoError(reason, f"Not one frame of {self._path.name!r} can be decoded: {said}")
        self._reader.put_back(first)
        return first

    def _duration(self) -> float:
        if self._extent is None:
            return self._promised_s or 0.0
        if self._extent.first_s is None:
            return self._extent.packets / rate(self._stream)
        return max(self._extent.end_s - self._first.time_s, 0.0)

    def decode(self, span: Span, deliver: Keep) -> DecodedVideo:
        """Decode the segments of a span and hand each over."""
        end_s = min(span.end_s, self.duration_s)
        free_s = span.start_s  # where the last segment ended
        for start_s in self._plan.starts(max(0.0, end_s - span.start_s)):
            with decoding(self._path, self._log):
                segment = self._segment(max(span.start_s + start_s, free_s), span.end_s)
            if segment is not None:
                free_s = segment.start_s + len(segment.rgb_THWC) / self._plan.fps
                deliver(segment)
        seen_s = self._reader.end_s - self._first.time_s
        context = self._stream.codec_context
        return DecodedVideo(
            segments=(),
            duration_s=seen_s if self._reader.exhausted else self.duration_s,
            promised_s=self._promised_s,
            source_size=self._canvas.source_size,
            source_fps=float(self._stream.average_rate) if self._stream.average_rate else None,
            codec=context.name,
            bad_packets=self._reader.bad_packets + self._sound.bad_packets,
            hearing=self._sound.hearing,
        )

    def _segment(self, start_s: float, end_s: float) -> Segment | None:
        """Decode the segment that begins at `start_s` or later; None where too little is left before `end_s`."""
        self._at("decode")
        self._approach(self._first.time_s + start_s)
        segment = self._gather(start_s, end_s)
        if segment is None or not self._plan.audio_rate:
            return segment
        self._at("sound")
        samples = round(len(segment.rgb_THWC) / self._plan.fps * self._plan.audio_rate)
        return replace(segment, waveform=self._sound.read(self._first.time_s + segment.start_s, samples))

    def _approach(self, time_s: float) -> None:
        """Seek close to a time of the stream's clock, where that saves decoding; go on from where it is otherwise."""
        if time_s - self._reader.end_s < SKIP_S:
            return
        key_s = key_before(self._extent, time_s)
        if self._extent is not None and (key_s is None or key_s <= self._reader.end_s + SEEK_MARGIN_S):
            return
        for margin_s in (0.0, 10.0):  # where a container has no index, FFmpeg may land too late
            try:
                self._reader.seek(time_s - margin_s)
            except av.error.FFmpegError:
                return  # it cannot seek: decode through
            landed = self._reader.next()
            if landed is not None:
                self._reader.put_back(landed)
                if landed.time_s <= time_s + EPSILON_S:
                    return

    def _gather(self, start_s: float, end_s: float) -> Segment | None:
        """Collect one segment from the first frame that appears at `start_s` or later; None where too little is left.

        Frame k of the segment is the last source frame that appears no later than k / fps after the
        segment's first.
        """
        reader, plan, origin_s = self._reader, self._plan, self._first.time_s
        if not plan.vectors:  # those lead from each picture to the next
            reader.demand.needed = lambda from_s, to_s: from_s >= origin_s + start_s - EPSILON_S
        shown = reader.next()
        while shown is not None and shown.time_s < origin_s + start_s - EPSILON_S:
            shown = reader.next()
        if shown is None:
            return None
        begin_s = shown.time_s
        count = max(1, round(plan.segment_seconds * plan.fps))
        if end_s < math.inf:
            count = min(count, math.floor((origin_s + end_s - begin_s + EPSILON_S) * plan.fps))
        if count < plan.min_frames:
            return None

        def first_from(time_s: float) -> int:
            """The first k of the segment whose time is not before this one; `count` beyond its end."""
            return math.ceil(min((time_s - EPSILON_S - begin_s) * plan.fps, count))

        def needed(from_s: float, to_s: float) -> bool:
            return first_from(from_s) == count or first_from(from_s) < first_from(to_s)

        if not plan.vectors:
            reader.demand.needed = needed
        sheet = _Sheet(self._canvas, count, self._field(shown) if plan.vectors else None)
        while sheet.filled < count:
            following = reader.next()
            until_s = shown.time_s + shown.duration_s if following is None else following.time_s
            sheet.show(shown, first_from(until_s))
            if following is None:
                break
            shown = following
        else:
            reader.put_back(shown)
        if sheet.filled < plan.min_frames or sheet.distinct < 2:  # one still picture is no video
            return None
        return Segment(begin_s - origin_s, sheet.frames(), None, sheet.vectors())

    def _field(self, picture: Picture) -> MotionField | None:
        """What gathers the codec's vectors from this picture on; None where it has none."""
        codec, frame = self._stream.codec_context.name, picture.frame
        if not exports_vectors(codec):
            return None
        return MotionField(codec, (frame.height, frame.width), self._canvas.size, orientation(frame))


class _Sheet:
    """The pictures of one segment while they are drawn; with the codec's vectors between them, if asked for."""

    def __init__(self, canvas: Canvas, count: int, field: MotionField | None) -> None:
        self.filled = self.distinct = 0
        self._canvas, self._field = canvas, field
        self._rgb_THWC = np.empty((count, *canvas.size, 3), np.uint8)

    def show(self, picture: Picture, upto: int) -> None:
        """Draw a source frame into all places before `upto` that are still free: none, one, or many."""
        if self._field is not None:
            self._field.add(picture.frame)
        if upto <= self.filled:
            return
        if self._field is not None:
            for _ in range(self.filled, upto):
                self._field.mark()
        self._rgb_THWC[self.filled : upto] = self._canvas.draw(picture.frame)
        self.filled, self.distinct = upto, self.distinct + 1

    def frames(self) -> np.ndarray:
        """Return the frames that are there, (T, H, W, 3)."""
        return self._rgb_THWC[: self.filled]

    def vectors(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the flow between them by the codec's vectors, forward and backward, each (T-1, H, W, 2), if there are any."""
        flow = None if self._field is None else self._field.finish()
        return (flow.forward, flow.backward) if flow is not None and flow.measured > 0 else None


def _choose(container: InputContainer, reel: Reel, streams: list[VideoStream]) -> tuple[VideoStream, Extent | None]:
    """Choose the stream, and say where its packets lie; None where the header is taken at its word."""
    best = streams[0]
    promised_s = _promised(container, best)
    if not reel.held and promised_s and reel.reaches(best, float((best.start_time or 0) * (best.time_base or 0)) + promised_s):
        return best, None
    extents = {stream.index: reel.extent(stream, 1 / rate(stream)) for stream in streams}
    # A track may be announced and empty, or hold one still picture.
    best = next((stream for stream in streams if extents[stream.index].packets > 1), best)
    return best, extents[best.index]


def _promised(container: InputContainer, stream: VideoStream) -> float | None:
    """The duration that the header gives, in seconds."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None
