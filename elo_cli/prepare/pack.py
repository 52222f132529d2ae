"""One shard's work: decode its videos, compute flow and spectrogram, write the file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elo_cli.core.errors import VideoError
from elo_cli.core.settings import PreprocessSettings
from elo_cli.data.shard import SegmentRecord, ShardContent, VideoFailure, write_shard
from elo_cli.prepare.audio import log_mel
from elo_cli.prepare.decode import DecodedVideo, Segment, SegmentPlan, decode_video
from elo_cli.prepare.flow import dense_flow, quantise


@dataclass(frozen=True)
class SourceVideo:
    """A video to be packed: where it is, its id and its label."""

    path: str
    id: str
    label: str | None


@dataclass(frozen=True)
class ShardJob:
    """What one shard holds.

    Attributes:
        shard: the file to write.
        videos: in order.
        settings: how.
        lost: videos that took a worker down before, with the reason; they are not tried again.
    """

    shard: str
    videos: tuple[SourceVideo, ...]
    settings: PreprocessSettings
    lost: tuple[VideoFailure, ...] = ()


@dataclass(frozen=True)
class ShardSummary:
    """What became of a shard job."""

    shard: str
    videos: int
    segments: int
    failures: tuple[VideoFailure, ...]


def pack_shard(job: ShardJob, report: Callable[[str], None]) -> ShardSummary:
    """Do one shard; a video that cannot be used is recorded in it and costs nothing else.

    Args:
        job: the shard.
        report: is told the id of each video before it is begun.

    Raises:
        StorageError: the shard cannot be written.
    """
    content = ShardContent(failures=list(job.lost))
    lost = {failure.video for failure in job.lost}
    for source in job.videos:
        if source.id in lost:
            continue
        report(source.id)
        try:
            video = decode_video(Path(source.path), segment_plan(job.settings))
        except VideoError as error:
            content.failures.append(VideoFailure(source.id, error.reason, error.message))
            continue
        _add(content, source, video, job.settings)
    content.failures.sort(key=lambda failure: failure.video)
    write_shard(Path(job.shard), content)
    return ShardSummary(job.shard, len(job.videos), len(content.records), tuple(content.failures))


def segment_plan(settings: PreprocessSettings) -> SegmentPlan:
    """Say what decoding must bring; with flow, one frame more than is kept, for the last flow needs it."""
    extra = 0 if settings.flow == "none" else 1
    return SegmentPlan(
        fps=settings.fps,
        short_side=settings.short_side,
        segment_seconds=settings.segment_seconds + extra / settings.fps,
        max_segments=settings.max_segments,
        min_frames=max(2, round(settings.min_seconds * settings.fps)) + extra,
        audio_rate=settings.audio_rate if settings.audio else 0,
        max_pixels=settings.max_pixels,
    )


def _add(content: ShardContent, source: SourceVideo, video: DecodedVideo, settings: PreprocessSettings) -> None:
    missing_s = (video.promised_s or 0.0) - video.duration_s
    if video.bad_packets or missing_s > 1.0:
        # The frames decoded, but perhaps not as they were filmed: said, never hidden.
        content.warnings[source.id] = {"bad_packets": float(video.bad_packets), "missing_seconds": max(0.0, missing_s)}
    for segment in video.segments:
        tensors, scale = _tensors(segment, settings)
        frames, height, width, _ = tensors["rgb"].shape
        sound = tensors["audio"].shape[1] if "audio" in tensors else 0
        content.add(SegmentRecord(source.id, source.label, segment.start_s, frames, height, width, scale, sound), tensors)


def _tensors(segment: Segment, settings: PreprocessSettings) -> tuple[dict[str, np.ndarray], tuple[float, float] | None]:
    if settings.flow == "none":
        tensors, scale = {"rgb": segment.rgb_THWC}, None
    else:
        forward, backward = dense_flow(segment.rgb_THWC, settings.flow)
        tensors = {"rgb": segment.rgb_THWC[:-1]}
        tensors["flow"], forward_scale = quantise(forward)
        tensors["flow_backward"], backward_scale = quantise(backward)
        scale = (forward_scale, backward_scale)
    if segment.waveform is not None:
        samples = round(len(tensors["rgb"]) / settings.fps * settings.audio_rate)
        spectrogram = log_mel(
            segment.waveform[:samples],
            settings.audio_rate,
            window_s=settings.window_seconds,
            hop_s=settings.hop_seconds,
            mels=settings.mels,
        )
        tensors["audio"] = spectrogram.astype(np.float16)
    return tensors, scale
