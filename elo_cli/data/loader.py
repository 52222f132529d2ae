"""Clips from shards: the batch of each training step, and the clips of each video for evaluation."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from elo_cli.core.clip import ClipBatch, Source, Window
from elo_cli.core.settings import ClipSettings
from elo_cli.data import transforms
from elo_cli.data.sampling import ClipChoice, ClipSampler, even_starts
from elo_cli.data.video_set import Segment, Video, VideoSet


@dataclass(frozen=True)
class StoredRates:
    """Rates of a preprocessed set: frames, and spectrogram frames, for each second; mel bands."""

    fps: float
    hop_seconds: float
    mels: int

    def audio_frames(self, stored_frames: int) -> int:
        """Spectrogram frames in the time of so many stored frames."""
        return max(1, round(stored_frames / self.fps / self.hop_seconds))


class ClipReader:
    """Reads windows of segments and makes tensors of them."""

    def __init__(self, videos: VideoSet, clip: ClipSettings, rates: StoredRates) -> None:
        self.videos, self.clip, self.rates = videos, clip, rates

    def read(self, segment: Segment, source: Source, start: int, place: transforms.Place) -> Tensor | None:
        """Read one source; None where the segment does not have it."""
        record, size = segment.record, self.clip.size
        shard = self.videos.shards[segment.shard]
        count = self.clip.future if source.window == "future" else self.clip.frames
        if source.modality == "audio":
            if not record.audio_frames:
                return None
            first, length = self.rates.audio_frames(start) if start else 0, self.rates.audio_frames(count * self.clip.stride)
            missing = max(0, first + length - record.audio_frames)
            if missing > 2:  # more than rounding: the sound ends before the clip, and padding would tell its direction
                return None
            first = max(0, first - missing)
            stored = shard.read(segment.index, "audio", first, min(first + length, record.audio_frames))
            silent = stored.min() == stored.max()  # where the sound has not begun, or has ended
            return None if silent else transforms.audio(stored, length)
        if source.modality == "flow" and record.flow_scale is None:
            return None
        chosen = np.minimum(np.arange(count) * self.clip.stride, record.frames - 1 - start)
        name = {"flow": "flow_backward" if source.backward else "flow"}.get(source.modality, "rgb")
        frames_THWC = shard.read(segment.index, name, start, start + int(chosen[-1]) + 1)[chosen]
        if source.modality == "flow":
            assert record.flow_scale is not None
            return transforms.flow(frames_THWC, record.flow_scale[int(source.backward)], place, size)
        clip_CTHW = transforms.rgb(frames_THWC, place, size)
        return transforms.grey(clip_CTHW) if source.modality == "grey" else clip_CTHW

    def shape(self, source: Source) -> tuple[int, ...]:
        """The shape of what `read` returns."""
        count = self.clip.future if source.window == "future" else self.clip.frames
        if source.modality == "audio":
            return (1, self.rates.mels, self.rates.audio_frames(count * self.clip.stride))
        return ({"rgb": 3, "grey": 1, "flow": 2}[source.modality], count, self.clip.size, self.clip.size)


class TrainingClips(Dataset[ClipBatch]):
    """The batch of each step; item number = step, whatever came before."""

    def __init__(self, reader: ClipReader, sampler: ClipSampler, sources: frozenset[Source]) -> None:
        self.reader, self.sampler = reader, sampler
        self.sources = tuple(sorted(sources, reverse=True))  # rgb before grey, which is made from it

    def __getitem__(self, step: int) -> ClipBatch:
        choices = self.sampler.draw(step)
        clips = [self._clip(choice) for choice in choices]
        inputs, present = {}, {}
        for source in self.sources:
            tensors = [clip.get(source) for clip in clips]
            empty = torch.zeros(self.reader.shape(source))
            inputs[source] = torch.stack([empty if tensor is None else tensor for tensor in tensors])
            present[source] = torch.tensor([tensor is not None for tensor in tensors])
        video_B = torch.tensor([choice.video for choice in choices])
        return ClipBatch(inputs, present, tuple(choice.video_id for choice in choices), video_B)

    def _clip(self, choice: ClipChoice) -> dict[Source, Tensor | None]:
        record, clip = choice.segment.record, self.reader.clip
        place = transforms.training_place(choice.place, record.height, record.width, clip.crop_area, clip.flip)
        read: dict[Source, Tensor | None] = {}
        for source in self.sources:
            start = choice.starts.get(source.window)
            same = read.get(Source("rgb", source.window))
            if start is None:
                read[source] = None
            elif source.modality == "grey" and same is not None:
                read[source] = transforms.grey(same)
            else:
                read[source] = self.reader.read(choice.segment, source, start, place)
        return read

    def batches(self, start: int, stop: int, workers: int) -> Iterator[ClipBatch]:
        """Yield the batches of steps start … stop-1, read ahead by `workers` processes."""
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(start, stop),
            num_workers=workers,
            multiprocessing_context="spawn" if workers else None,
            persistent_workers=False,
        )
        return iter(loader)


def training_clips(
    videos: VideoSet, clip: ClipSettings, rates: StoredRates, sources: frozenset[Source], *, batch: int, seed: int
) -> TrainingClips:
    """Put together what reads the batches of a training run.

    Raises:
        DataError: no segment is as long as a clip.
    """
    windows: frozenset[Window] = frozenset(source.window for source in sources)
    return TrainingClips(ClipReader(videos, clip, rates), ClipSampler(videos, clip, windows, batch, seed), sources)


def evaluation_clips(
    reader: ClipReader, videos: Iterable[Video], source: Source, clips: int
) -> Iterator[tuple[Video, list[Tensor]]]:
    """Yield each video with its evenly spread, centrally cropped clips of one source."""
    for video in videos:
        lengths = [segment.record.frames for segment in video.segments]
        tensors = []
        for number, start in even_starts(lengths, reader.clip.span, clips):
            segment = video.segments[number]
            place = transforms.central_place(segment.record.height, segment.record.width)
            tensor = reader.read(segment, source, start, place)
            assert tensor is not None, source
            tensors.append(tensor)
        yield video, tensors
