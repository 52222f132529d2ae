"""What is kept of a video: the plan, and a stretch of it in numbers.

Shape legend: T frames, H rows, W columns, C colours.
"""

import math
from dataclasses import dataclass

import numpy as np

from elo_cli.prepare.sound import Hearing


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
        deinterlace: show the first field of an interlaced frame alone.
        vectors: make flow of the codec's own motion vectors.
    """

    fps: float
    short_side: int
    segment_seconds: float
    max_segments: int
    min_frames: int
    audio_rate: int
    max_pixels: int
    deinterlace: bool = True
    vectors: bool = False

    def starts(self, length_s: float) -> list[float]:
        """Spread segments evenly over so many seconds: each lies in the middle of its share."""
        count = max(1, min(self.max_segments, math.floor((length_s + 1 / self.fps) / self.segment_seconds)))
        share_s = length_s / count
        return [max(0.0, index * share_s + (share_s - self.segment_seconds) / 2) for index in range(count)]


@dataclass(frozen=True)
class Span:
    """The part of a video that is wanted, in seconds after its first frame."""

    start_s: float = 0.0
    end_s: float = math.inf


@dataclass(frozen=True)
class Segment:
    """One stretch of a video.

    Attributes:
        start_s: when its first frame appears, in seconds after the video's first frame.
        rgb_THWC: uint8, contiguous; frame k is what is on screen at start_s + k / fps.
        waveform: float32 mono in [-1, 1] of round(T / fps * audio_rate) samples, the first at the
            time of frame 0; None where the video has no sound there, or digital silence.
        vectors: flow forward and backward, each (T-1, H, W, 2) float32 as `prepare.flow` has it, made of
            the codec's motion vectors; None where they were not asked for, or the codec has none.
    """

    start_s: float
    rgb_THWC: np.ndarray
    waveform: np.ndarray | None = None
    vectors: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class DecodedVideo:
    """The segments of one video and what else was learned of it.

    Attributes:
        segments: in order of time; empty where each was handed over when it was ready.
        duration_s: from the first frame to the end of the last one that is really in the file; of a file
            over `reel.HELD_BYTES` what its header promises, if there are packets near that time.
        promised_s: what the header says; None when it says nothing. A gap to `duration_s` is damage.
        source_size: (height, width) as displayed: after rotation, with square pixels.
        source_fps: average rate of the source; None when unknown.
        codec: FFmpeg's name of the decoder.
        bad_packets: packets that a decoder refused or complained about: possible silent damage.
        hearing: what became of its sound.
    """

    segments: tuple[Segment, ...]
    duration_s: float
    promised_s: float | None
    source_size: tuple[int, int]
    source_fps: float | None
    codec: str
    bad_packets: int
    hearing: Hearing
