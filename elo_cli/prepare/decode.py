"""Decode a video file into a few segments of small pictures at a steady rate, with their sound.

Shape legend: T frames, H rows, W columns, C colours.

The packets are read through once without decoding, which tells where the video really ends whatever
its header promises; then only what is kept gets decoded. Memory follows the plan, not the file.
"""

import bisect
import gc
import math
from dataclasses import dataclass, replace
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from elo_cli.core.errors import VideoError
from elo_cli.prepare.container import Extent, open_container, rate, scan, video_streams, words
from elo_cli.prepare.pictures import SEEK_MARGIN_S, Canvas, Picture, PictureReader
from elo_cli.prepare.sound import has_sound, read_waveforms

SCAN_BYTES = 2**28  # larger files are taken at their header's word, unless it turns out wrong
SKIP_S = 4.0  # a gap shorter than this is decoded through: a seek would hardly save anything
EPSILON_S = 1.5e-3  # containers round times to milliseconds


@dataclass(frozen=True)
class SegmentPlan:
    """What to keep of each video.

    Attributes:
        fps: frames per second of a segment, whatever the rate of the source.
        short_side: pixels of the shorter side; pictures are always resized to it, up or down.
        segment_seconds: length of one segment.
        max_segments: at most so many, evenly spread over the video, never overlapping.
        min_frames: a segment of fewer frames is dropped.
        audio_rate: samples per second of the waveform; 0 leaves sound alone.
        max_pixels: bound on width times height of a source frame.
    """

    fps: float
    short_side: int
    segment_seconds: float
    max_segments: int
    min_frames: int
    audio_rate: int
    max_pixels: int


@dataclass(frozen=True)
class Segment:
    """One stretch of a video.

    Attributes:
        start_s: when its first frame appears, in seconds after the video's first frame.
        rgb_THWC: uint8, contiguous; frame k is what is on screen at start_s + k / fps.
        waveform: float32 mono in [-1, 1] of round(T / fps * audio_rate) samples, the first at the
            time of frame 0; None where the video has no sound there, or digital silence.
    """

    start_s: float
    rgb_THWC: np.ndarray
    waveform: np.ndarray | None


@dataclass(frozen=True)
class DecodedVideo:
    """The segments of one video and what else was learned of it.

    Attributes:
        segments: in order of time, at least one.
        duration_s: from the first frame to the end of the last one that is really in the file; of a file
            over SCAN_BYTES what its header promises, unless decoding met the end before.
        promised_s: what the header says; None when it says nothing. A gap to `duration_s` is damage.
        source_size: (height, width) as displayed: after rotation, with square pixels.
        source_fps: average rate of the source; None when unknown.
        codec: FFmpeg's name of the decoder.
        bad_packets: packets that the decoder refused or complained about: possible silent damage.
    """

    segments: tuple[Segment, ...]
    duration_s: float
    promised_s: float | None
    source_size: tuple[int, int]
    source_fps: float | None
    codec: str
    bad_packets: int


@dataclass(frozen=True)
class _Look:
    """What is known before decoding: which stream, and where its packets lie unless only the header was read."""

    index: int
    extent: Extent | None
    promised_s: float | None


def decode_video(path: Path, plan: SegmentPlan) -> DecodedVideo:
    """Decode the segments of one video.

    Raises:
        VideoError: with any of its reasons but timeout and crash, and FFmpeg's own words.
    """
    try:
        video = _decode_fitting(path, plan)
    finally:
        # A closed container is a cycle that keeps its decoders and their frames; it is young, so this is quick.
        gc.collect(1)
    if not video.segments:
        raise VideoError(
            "too-short",
            f"{path.name!r} has {video.duration_s:.2f} s of moving pictures, which gives no segment of at least"
            f" {plan.min_frames} frames at {plan.fps:g} frames per second.",
        )
    return video


def _decode_fitting(path: Path, plan: SegmentPlan) -> DecodedVideo:
    """Decode, and once more with other places where the film turns out shorter than thought."""
    look = _look(path, plan, thorough=False)
    video, complete = _decode(path, plan, look, math.inf)
    if not complete and look.extent is None:  # the header promised too much
        look = _look(path, plan, thorough=True)
        video, complete = _decode(path, plan, look, math.inf)
    if not complete:  # the packets are there but cannot be decoded to the end
        video, _ = _decode(path, plan, look, video.duration_s)
    return video


def _look(path: Path, plan: SegmentPlan, *, thorough: bool) -> _Look:
    """Choose the stream, and read through its packets unless the file is large and its header promises a duration."""
    with open_container(path, plan.max_pixels) as (container, _):
        streams = video_streams(container, path, plan.max_pixels)
        promised = {stream.index: _promised(container, stream) for stream in streams}
        best = streams[0]
        if not thorough and container.size > SCAN_BYTES and promised[best.index]:
            return _Look(best.index, None, promised[best.index])
        extents = scan(container, streams)
        # A track may be announced and empty, or hold one still picture.
        best = next((stream for stream in streams if extents[stream.index].packets > 1), best)
        return _Look(best.index, extents[best.index], promised[best.index])


def _promised(container: InputContainer, stream: VideoStream) -> float | None:
    """The duration that the header gives, in seconds."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _decode(path: Path, plan: SegmentPlan, look: _Look, limit_s: float) -> tuple[DecodedVideo, bool]:
    """Decode the segments planned for the first `limit_s` seconds, and say whether the film was as long as thought."""
    with open_container(path, plan.max_pixels) as (container, log):
        stream = next(s for s in video_streams(container, path, plan.max_pixels) if s.index == look.index)
        reader = PictureReader(container, stream, log)
        first = reader.next()
        if first is None:
            reason = "too-large" if any("Picture size" in line for _, _, line in log) else "no-frames"
            raise VideoError(reason, f"Not one frame of {path.name!r} can be decoded: {words(None, log)}")
        reader.put_back(first)
        canvas = Canvas(first.frame, stream, plan.short_side, plan.max_pixels)
        duration_s = min(limit_s, _duration(look, first, rate(stream)))
        segments: list[Segment] = []
        free_s = 0.0  # where the last segment ended
        for start_s in _starts(duration_s, plan):
            _approach(reader, first.time_s + max(start_s, free_s), look)
            segment = _gather(reader, canvas, plan, first.time_s, max(start_s, free_s))
            if segment is not None:
                segments.append(segment)
                free_s = segment.start_s + len(segment.rgb_THWC) / plan.fps
        seen_s = reader.end_s - first.time_s
        complete = not reader.exhausted or seen_s > duration_s - max(0.1, 2 / plan.fps)
        video = DecodedVideo(
            segments=tuple(segments),
            duration_s=seen_s if reader.exhausted else duration_s,
            promised_s=look.promised_s,
            source_size=canvas.source_size,
            source_fps=float(stream.average_rate) if stream.average_rate else None,
            codec=stream.codec_context.name,
            bad_packets=reader.bad_packets,
        )
        heard = bool(segments) and bool(plan.audio_rate) and has_sound(container)
    return (_with_sound(path, plan, video, first.time_s) if heard else video), complete


def _duration(look: _Look, first: Picture, frames_per_s: float) -> float:
    """Seconds from the first frame to the end, by the packets, else by the header."""
    if look.extent is None:
        return look.promised_s or 0.0
    if look.extent.first_s is None:
        return look.extent.packets / frames_per_s
    return max(look.extent.end_s - first.time_s, 0.0)


def _starts(duration_s: float, plan: SegmentPlan) -> list[float]:
    """Spread segments evenly: each lies in the middle of its share of the video."""
    length_s = plan.segment_seconds
    count = max(1, min(plan.max_segments, math.floor((duration_s + 1 / plan.fps) / length_s)))
    share_s = duration_s / count
    return [max(0.0, index * share_s + (share_s - length_s) / 2) for index in range(count)]


def _approach(reader: PictureReader, time_s: float, look: _Look) -> None:
    """Seek close to `time_s`, where that saves decoding; `reader` goes on from where it is otherwise."""
    if time_s - reader.end_s < SKIP_S:
        return
    if look.extent is not None:
        keys = look.extent.keys_s
        before = bisect.bisect_right(keys, time_s - SEEK_MARGIN_S)
        if not before or keys[before - 1] <= reader.end_s + SEEK_MARGIN_S:
            return
    for margin_s in (0.0, 10.0):  # where a container has no index, FFmpeg may land too late
        try:
            reader.seek(time_s - margin_s)
        except av.error.FFmpegError:
            return  # it cannot seek: decode through
        landed = reader.next()
        if landed is not None:
            reader.put_back(landed)
            if landed.time_s <= time_s + EPSILON_S:
                return


def _gather(reader: PictureReader, canvas: Canvas, plan: SegmentPlan, origin_s: float, start_s: float) -> Segment | None:
    """Collect one segment from the first frame that appears at `start_s` or later; None where too little is left.

    `origin_s` is the video's first frame on the stream's clock. Frame k of the segment is the last
    source frame that appears no later than k / fps after the segment's first.
    """
    shown = reader.next()
    while shown is not None and shown.time_s < origin_s + start_s - EPSILON_S:
        shown = reader.next()
    if shown is None:
        return None
    begin_s = shown.time_s
    count = max(1, round(plan.segment_seconds * plan.fps))
    rgb_THWC = np.empty((count, *canvas.size, 3), np.uint8)
    filled = distinct = 0
    while filled < count:
        following = reader.next()
        until_s = shown.time_s + shown.duration_s if following is None else following.time_s
        # The first k whose time is not before `until_s`.
        upto = min(count, max(filled, math.ceil(min((until_s - EPSILON_S - begin_s) * plan.fps, count))))
        if upto > filled:
            rgb_THWC[filled:upto] = canvas.draw(shown.frame)
            filled, distinct = upto, distinct + 1
        if following is None:
            break
        shown = following
    else:
        reader.put_back(shown)
    if filled < plan.min_frames or distinct < 2:  # one still picture is no video
        return None
    return Segment(begin_s - origin_s, rgb_THWC if filled == count else rgb_THWC[:filled].copy(), None)


def _with_sound(path: Path, plan: SegmentPlan, video: DecodedVideo, origin_s: float) -> DecodedVideo:
    """Add the waveforms to the segments."""
    spans = [
        (origin_s + segment.start_s, round(len(segment.rgb_THWC) / plan.fps * plan.audio_rate)) for segment in video.segments
    ]
    waveforms = read_waveforms(path, spans, plan.audio_rate, plan.max_pixels)
    heard = [replace(segment, waveform=wave) for segment, wave in zip(video.segments, waveforms, strict=True)]
    return replace(video, segments=tuple(heard))
