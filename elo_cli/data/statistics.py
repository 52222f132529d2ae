"""What a preprocessed set holds, in numbers: counts, bytes, labels and how unevenly they are spread, flow.

One pass over the shards' headers, in memory that does not grow with the number of segments; the flow
itself is read for a sample of them only.
"""

import array
import heapq
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xxhash
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from elo_cli.data.header import canonical
from elo_cli.data.records import SegmentRecord, VideoFailure, VideoRecord
from elo_cli.data.shard import Shard

SAMPLED_SEGMENTS = 512  # whose flow is looked at
SAMPLED_FRAMES = 8  # of each of them

STEEPEST = 64.0  # the exponent of two labels of which one is 2^64 times as frequent: no set reaches it
_MODALITIES = {"rgb": "rgb", "flow": "flow", "flow_backward": "flow", "flow_scale": "flow", "audio": "audio"}


@dataclass(frozen=True)
class ZipfFit:
    """How a Zipf law p_i = i^-s / H_{k,s} fits the shares of k labels, the most frequent first.

    Attributes:
        exponent: the s of the greatest likelihood, at least 0; 0 is: all equally frequent.
        divergence: KL(shares ‖ law) in nats for that s.
        divergence_at_one: the same for s = 1, the law that the fitness `zipf` expects unless told otherwise.
    """

    exponent: float
    divergence: float
    divergence_at_one: float


def fit_zipf(counts: Iterable[float]) -> ZipfFit | None:
    """Fit Zipf's law to counts, or shares, in any order; None where fewer than two are positive."""
    ranked_K = np.sort(np.array([count for count in counts if count > 0], np.float64))[::-1]
    if len(ranked_K) < 2:
        return None
    share_K = ranked_K / ranked_K.sum()
    log_rank_K = np.log(np.arange(1, len(ranked_K) + 1))
    entropy, mean_log_rank = -float(np.sum(share_K * np.log(share_K))), float(np.sum(share_K * log_rank_K))

    def divergence(exponent: float) -> float:
        # The likelihood of the counts is their sum times -(entropy + divergence): one has its peak where the other is least.
        return max(0.0, exponent * mean_log_rank + float(logsumexp(-exponent * log_rank_K)) - entropy)

    found = minimize_scalar(divergence, bounds=(0.0, STEEPEST), method="bounded", options={"xatol": 1e-9})
    exponent = min((0.0, float(found.x)), key=divergence)  # the search never tries the bound itself
    return ZipfFit(exponent, divergence(exponent), divergence(1.0))


@dataclass(frozen=True, order=True)
class _Pick:
    """A segment of the sample; those of the least `lot` are in it, whatever the order of the shards."""

    lot: int
    path: Path
    segment: int
    frames: int


@dataclass(frozen=True)
class FlowFigures:
    """The flow of a sample of segments, in pixels of the stored frame for one frame interval.

    Attributes:
        magnitude_px: mean length of the forward flow over pixels and frames.
        error_bound_px: half of the scale, forward and backward, mean over frames: rounding to 8 bits
            changes no component of the flow by more.
        frames: how many were read for the magnitude.
        segments: how many segments they come from.
        complete: whether these are all the segments with flow.
    """

    magnitude_px: float
    error_bound_px: float
    frames: int
    segments: int
    complete: bool


@dataclass
class SetStatistics:
    """Counts that grow shard by shard.

    Attributes:
        videos, segments, frames, bytes: how many; bytes are those of the shard files.
        seconds: the segments' length.
        segments_with_flow, segments_with_sound: segments.
        modality_bytes: bytes of tensors by modality.
        sound, flowless, labels, splits, codecs: videos by what became of their sound, by why there is no
            flow, by label, split and codec; what is not known is not counted.
        source_fps, source_sizes: videos by frames a second (two decimals), by (height, width) of the source.
        stored_sizes: segments by (height, width).
        durations_s: seconds decoded of each video.
        suspects: videos that may be damaged: id, bad packets, seconds that are missing at the end.
        failures: videos that could not be used, by (stage, reason).
        settings: shards by the settings that decide content, as canonical JSON.
    """

    videos: int = 0
    segments: int = 0
    frames: int = 0
    bytes: int = 0
    seconds: float = 0.0
    segments_with_flow: int = 0
    segments_with_sound: int = 0
    modality_bytes: Counter[str] = field(default_factory=Counter)
    sound: Counter[str] = field(default_factory=Counter)
    flowless: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    codecs: Counter[str] = field(default_factory=Counter)
    source_fps: Counter[float] = field(default_factory=Counter)
    source_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    stored_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    durations_s: "array.array[float]" = field(default_factory=lambda: array.array("d"))
    suspects: list[tuple[str, int, float]] = field(default_factory=list)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    settings: Counter[str] = field(default_factory=Counter)
    _picks: list[tuple[int, _Pick]] = field(default_factory=list)

    def add(self, shard: Shard) -> None:
        """Count the videos and segments of a shard.

        Raises:
            DataError: its metadata are of another form; nothing is counted.
        """
        settings, videos, segments = shard.settings, shard.videos, shard.segments
        sizes, fps = shard.tensor_bytes(), float(settings["fps"])
        self.bytes += shard.path.stat().st_size
        self.settings[canonical(settings)] += 1
        for name, size in sizes.items():
            kind = name.partition(".")[2].removesuffix("_jpeg").removesuffix("_ends")
            self.modality_bytes[_MODALITIES.get(kind, "other")] += size
        for video, record in videos.items():
            self._add_video(video, record)
        for number, segment in enumerate(segments):
            self._add_segment(shard.path, number, segment, fps)

    def add_failures(self, failures: Iterable[VideoFailure]) -> None:
        """Count videos that could not be used."""
        self.failures.update((failure.stage, failure.reason) for failure in failures)

    def flow(self) -> FlowFigures | None:
        """Read the flow of the sample; None where there is none.

        Raises:
            DataError: it cannot be read.
        """
        picks = sorted(pick for _, pick in self._picks)
        if not picks:
            return None
        lengths, scales = [], []
        for pick in picks:
            shard = Shard(pick.path)
            scale_T2 = shard.read(pick.segment, "flow_scale", 0, pick.frames)
            scales.append(scale_T2)
            count = min(SAMPLED_FRAMES, pick.frames)
            for frame in [(2 * place + 1) * pick.frames // (2 * count) for place in range(count)]:
                flow_HW2 = shard.read(pick.segment, "flow", frame, frame + 1)[0] * scale_T2[frame, 0]
                lengths.append(float(np.hypot(flow_HW2[..., 0], flow_HW2[..., 1]).mean(dtype=np.float64)))
        return FlowFigures(
            magnitude_px=math.fsum(lengths) / len(lengths),
            error_bound_px=float(np.concatenate(scales).mean(dtype=np.float64)) / 2,
            frames=len(lengths),
            segments=len(picks),
            complete=len(picks) == self.segments_with_flow,
        )

    def _add_video(self, video: str, record: VideoRecord) -> None:
        self.videos += 1
        self.sound[record.sound] += 1
        self.codecs[record.codec] += 1
        self.source_sizes[record.source_height, record.source_width] += 1
        self.durations_s.append(record.duration_s)
        for counter, value in ((self.labels, record.label), (self.splits, record.split), (self.flowless, record.flow)):
            if value is not None:
                counter[value] += 1
        if record.source_fps:
            self.source_fps[round(record.source_fps, 2)] += 1
        if record.possibly_damaged:
            self.suspects.append((video, record.bad_packets, round(record.missing_s, 3)))

    def _add_segment(self, path: Path, number: int, segment: SegmentRecord, fps: float) -> None:
        self.segments += 1
        self.frames += segment.frames
        self.seconds += segment.frames / fps
        self.stored_sizes[segment.height, segment.width] += 1
        self.segments_with_sound += segment.audio_frames > 0
        if not segment.flow:
            return
        self.segments_with_flow += 1
        lot = xxhash.xxh3_64_intdigest(f"{segment.video}\n{segment.start_s}".encode(errors="surrogatepass"))
        entry = (-lot, _Pick(lot, path, number, segment.frames))  # the largest lot is the first to go
        (heapq.heappush if len(self._picks) < SAMPLED_SEGMENTS else heapq.heappushpop)(self._picks, entry)
