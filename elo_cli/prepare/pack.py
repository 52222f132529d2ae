"""One shard's work: decode its videos, compute flow and spectrogram, write the file."""

import functools
import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from elo_cli.core.errors import EloError, VideoError
from elo_cli.core.settings import PreprocessSettings
from elo_cli.data.jpeg import encode_flow, encode_frames
from elo_cli.data.records import SegmentRecord, VideoFailure, VideoRecord, failures_path, write_failures
from elo_cli.data.shard_writer import ShardWriter
from elo_cli.prepare.audio import log_mel
from elo_cli.prepare.decode import decode_video
from elo_cli.prepare.fingerprint import fingerprint
from elo_cli.prepare.flow import FlowMethod, flow_method, quantise
from elo_cli.prepare.segment import DecodedVideo, Segment, SegmentPlan, Span

Report = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class SourceVideo:
    """A video to be packed: where it is, what it is called, and which part of it is wanted."""

    path: str
    id: str
    label: str | None = None
    split: str | None = None
    span: Span | None = None


@dataclass(frozen=True)
class ShardJob:
    """What one shard holds.

    Attributes:
        shard: the file to write.
        videos: in order.
        settings: how.
        lost: videos that took a worker down before, or are gone, with the reason; they are not tried.
        owner: who publishes the shard; as in `core.files.partial_file`.
    """

    shard: str
    videos: tuple[SourceVideo, ...]
    settings: PreprocessSettings
    lost: tuple[VideoFailure, ...] = ()
    owner: str = ""


@dataclass(frozen=True)
class ShardSummary:
    """What became of a shard job."""

    shard: str
    videos: int
    segments: int
    failures: tuple[VideoFailure, ...]


def pack_shard(job: ShardJob, report: Report) -> ShardSummary:
    """Do one shard; a video that cannot be used is recorded beside it and costs nothing else.

    The shard is left as a partial file: to wait for the disk is the business of whoever publishes it,
    so that this process goes on decoding meanwhile.

    Args:
        job: the shard.
        report: is told the id of each video and the stage it is at, when the stage begins.

    Raises:
        StorageError: the shard cannot be written.
    """
    path = Path(job.shard)
    failures = {failure.video: failure for failure in job.lost}
    with ShardWriter(path, job.settings.content(), job.owner) as writer:
        for source in job.videos:
            if source.id in failures:
                continue
            packing = _Packing(writer, source, job.settings, report)
            try:
                packing.run()
            except VideoError as error:
                failures[source.id] = VideoFailure(source.id, packing.stage, error.reason, error.message)
            except (EloError, OSError):
                raise
            except MemoryError:
                message = f"It needs more than the {job.settings.worker_memory:g} GiB that a worker may allocate."
                failures[source.id] = VideoFailure(source.id, packing.stage, "out-of-memory", message)
            except Exception as error:  # of two million videos, one that nobody foresaw must not stop the others
                message = f"Its frames or sound cannot be worked on: {type(error).__name__}: {error}"
                failures[source.id] = VideoFailure(source.id, packing.stage, "decode-error", message)
            if source.id in failures:
                writer.drop_video(source.id)
            # Containers and frames are in cycles with what they hold, and old by now. What a worker has imported is
            # frozen, so that this takes less than a millisecond.
            gc.collect()
        if failures:
            write_failures(path, list(failures.values()))
        else:  # an earlier start may have lost a video that was good after all
            failures_path(path).unlink(missing_ok=True)
        if len(failures) < len(job.videos):
            writer.finish()
        return ShardSummary(job.shard, len(job.videos), writer.segments, tuple(failures.values()))


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
        deinterlace=settings.deinterlace,
        vectors=settings.flow == "motion-vectors",
    )


@functools.lru_cache(maxsize=1)
def _method(name: str, weights: str | None) -> FlowMethod:
    """Build what estimates flow, once in each worker process."""
    return flow_method(name, Path(weights) if weights else None, device="auto")


@dataclass
class _Packing:
    """One video on its way into a shard."""

    writer: ShardWriter
    source: SourceVideo
    settings: PreprocessSettings
    report: Report
    stage: str = field(default="", init=False)
    flowless: str | None = field(default=None, init=False)  # why there is no flow

    def run(self) -> None:
        """Decode, compute and store.

        Raises:
            VideoError: it cannot be used; what was stored of it must be dropped.
        """
        path = Path(self.source.path)
        self._enter("open")
        mark, size = fingerprint(path)
        video = decode_video(path, segment_plan(self.settings), self.source.span, at=self._enter, keep=self._keep)
        self.writer.add_video(self.source.id, self._record(video, mark, size))

    def _enter(self, stage: str) -> None:
        if stage != self.stage:  # a report wakes the parent process
            self.stage = stage
            self.report(self.source.id, stage)

    def _record(self, video: DecodedVideo, mark: str, size: int) -> VideoRecord:
        if self.flowless is not None:
            self.flowless = f"{video.codec} {self.flowless}"
        return VideoRecord(
            label=self.source.label,
            split=self.source.split,
            fingerprint=mark,
            bytes=size,
            duration_s=video.duration_s,
            promised_s=video.promised_s,
            source_height=video.source_size[0],
            source_width=video.source_size[1],
            source_fps=video.source_fps,
            codec=video.codec,
            bad_packets=video.bad_packets,
            sound=video.hearing,
            flow=self.flowless if self.settings.flow != "none" else "off",
        )

    def _keep(self, segment: Segment) -> None:
        settings, frames = self.settings, len(segment.rgb_THWC)
        tensors: dict[str, np.ndarray] = {}
        if settings.flow != "none":
            frames -= 1  # the last one was there for the last flow
            self._enter("flow")
            tensors |= self._flow(segment)
        rgb_THWC = segment.rgb_THWC[:frames]
        if segment.waveform is not None:
            self._enter("sound")
            tensors["audio"] = self._spectrogram(segment.waveform, frames)
        self._enter("store")
        if settings.storage == "jpeg":
            tensors["rgb_jpeg"], tensors["rgb_ends"] = encode_frames(rgb_THWC, settings.jpeg_quality)
        else:
            tensors["rgb"] = rgb_THWC
        height, width = rgb_THWC.shape[1:3]
        sound = tensors["audio"].shape[1] if "audio" in tensors else 0
        record = SegmentRecord(self.source.id, segment.start_s, frames, height, width, "flow_scale" in tensors, sound)
        self.writer.add_segment(record, tensors)

    def _flow(self, segment: Segment) -> dict[str, np.ndarray]:
        if self.settings.flow != "motion-vectors":
            forward, backward = _method(self.settings.flow, self.settings.flow_weights)(segment.rgb_THWC)
        elif segment.vectors is not None:
            forward, backward = segment.vectors
        else:
            self.flowless = "without motion vectors that FFmpeg exports"
            return {}
        tensors: dict[str, np.ndarray] = {}
        scales = []
        for name, flow in (("flow", forward), ("flow_backward", backward)):
            stored, scale_T = quantise(flow)
            scales.append(scale_T)
            if self.settings.storage == "jpeg":
                tensors[f"{name}_jpeg"], tensors[f"{name}_ends"] = encode_flow(stored, self.settings.jpeg_quality)
            else:
                tensors[name] = stored
        return tensors | {"flow_scale": np.stack(scales, axis=1)}

    def _spectrogram(self, waveform: np.ndarray, frames: int) -> np.ndarray:
        settings = self.settings
        return log_mel(
            waveform[: round(frames / settings.fps * settings.audio_rate)],
            settings.audio_rate,
            window_s=settings.window_seconds,
            hop_s=settings.hop_seconds,
            mels=settings.mels,
        ).astype(np.float16)
