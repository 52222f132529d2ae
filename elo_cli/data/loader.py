"""Clips from shards: the batch of each training step."""

from collections.abc import Collection, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from elo_cli import dist
from elo_cli.core.clip import CHANNELS, MODALITIES, ClipBatch, Source, Window
from elo_cli.core.errors import UsageError
from elo_cli.core.train_settings import ClipSettings
from elo_cli.data import transforms
from elo_cli.data.augment import Look
from elo_cli.data.sampling import ClipChoice, ClipSampler
from elo_cli.data.video_set import Segment, StoredRates, VideoSet


class ClipReader:
    """Reads windows of segments and makes tensors of them."""

    def __init__(self, videos: VideoSet, clip: ClipSettings) -> None:
        # Not the set itself: worker processes get a copy of this.
        self.shards, self.rates, self.clip = videos.shards, videos.rates, clip

    def read(
        self, segment: Segment, source: Source, start: int, place: transforms.Place, look: Look | None = None
    ) -> Tensor | None:
        """Read one source; None where the segment does not have it."""
        record, size = segment.record, self.clip.size
        shard = self.shards[segment.shard]
        count, stride = self.clip.timing(source.modality, source.window)
        if source.modality == "audio":
            if not record.audio_frames:
                return None
            first, length = self.rates.audio_frames(start) if start else 0, self.rates.audio_frames(count * stride)
            missing = max(0, first + length - record.audio_frames)
            if missing > 2:  # more than rounding: the sound ends before the clip, and padding would tell its direction
                return None
            first = max(0, first - missing)
            stored = shard.read(segment.index, "audio", first, min(first + length, record.audio_frames))
            silent = stored.min() == stored.max()  # where the sound has not begun, or has ended
            return None if silent else transforms.audio(stored, length)
        moving = source.modality in ("flow", "motion")
        if moving and not record.flow:
            return None
        chosen = np.minimum(np.arange(count) * stride, record.frames - 1 - start)
        name = ("flow_backward" if source.backward else "flow") if moving else "rgb"
        stop = start + int(chosen[-1]) + 1
        step = stride if chosen[-1] == (count - 1) * stride else 1  # only what the clip shows is read
        frames_THWC = shard.read(segment.index, name, start, stop, step)[chosen // step]
        if moving:
            scale_T = shard.read(segment.index, "flow_scale", start, stop, step)[chosen // step, int(source.backward)]
            return transforms.flow(frames_THWC, scale_T, place, size)
        clip_CTHW = transforms.rgb(frames_THWC, place, size, look)
        return transforms.grey(clip_CTHW) if source.modality == "grey" else clip_CTHW


def source_shape(source: Source, clip: ClipSettings, rates: StoredRates) -> tuple[int, ...]:
    """The shape of one clip of a source, without the batch."""
    count, stride = clip.timing(source.modality, source.window)
    if source.modality == "audio":
        return (1, rates.mels, rates.audio_frames(count * stride))
    return (CHANNELS["flow" if source.modality == "motion" else source.modality], count, clip.size, clip.size)


def source_shapes(clip: ClipSettings, rates: StoredRates) -> dict[Source, tuple[int, ...]]:
    """The shape of every source that a term may ask for."""
    windows: tuple[Window, ...] = ("clip", "future", "shifted", "paired")
    sources = [Source(name, window) for name in MODALITIES for window in windows]
    return {source: source_shape(source, clip, rates) for source in [*sources, Source("flow", "clip", True)]}


class _Clips(Dataset[ClipBatch]):
    """The batch of clips that are named; the name is what asks for it. Rank r has those from r·B of the whole batch."""

    def __init__(self, reader: ClipReader, sources: tuple[Source, ...], rank: int, world: int) -> None:
        self.reader, self.sources, self.rank, self.world = reader, sources, rank, world

    def __getitem__(self, choices: list[ClipChoice]) -> ClipBatch:
        clips = [self._clip(choice) for choice in choices]
        inputs, present = {}, {}
        for source in self.sources:
            tensors = [clip.get(source) for clip in clips]
            shape = source_shape(source, self.reader.clip, self.reader.rates)
            inputs[source] = torch.stack([torch.zeros(shape) if tensor is None else tensor for tensor in tensors])
            present[source] = torch.tensor([tensor is not None for tensor in tensors])
        video_B = torch.tensor([choice.video for choice in choices])
        ids, size = tuple(choice.video_id for choice in choices), len(choices)
        return ClipBatch(inputs, present, ids, video_B, self.rank * size, self.world * size)

    def _clip(self, choice: ClipChoice) -> dict[Source, Tensor | None]:
        read: dict[Source, Tensor | None] = {}
        for shot in choice.shots:
            record = shot.segment.record
            place = transforms.training_place(shot.place, record.height, record.width, self.reader.clip)
            for source in (source for source in self.sources if source.window in shot.starts):
                same = read.get(Source("rgb", source.window))
                if source.modality == "grey" and same is not None:
                    read[source] = transforms.grey(same)
                else:
                    read[source] = self.reader.read(shot.segment, source, shot.starts[source.window], place, shot.look)
        return read


class TrainingClips:
    """The batch of each step; item number = step, whatever came before.

    The clips of a step are named where `batches` is called, and its workers are told no more than
    these names: what is known of millions of segments is in memory once.
    """

    def __init__(self, reader: ClipReader, sampler: ClipSampler, sources: frozenset[Source]) -> None:
        self.sampler = sampler
        self.sources = tuple(sorted(sources, reverse=True))  # rgb before grey, which is made from it
        self._clips = _Clips(reader, self.sources, sampler.rank, sampler.world)

    def __getitem__(self, step: int) -> ClipBatch:
        return self._clips[self.sampler.draw(step)]

    def videos(self, step: int) -> tuple[str, ...]:
        """Return the ids of the videos whose clips a step sees, on all ranks."""
        return self.sampler.videos(step)

    def batches(self, start: int, stop: int, workers: int) -> Iterator[ClipBatch]:
        """Yield the batches of steps start … stop-1, read ahead by `workers` processes; with none, each when it is asked for."""
        if not workers:
            return (self[step] for step in range(start, stop))
        loader = DataLoader(
            self._clips,
            batch_size=None,
            sampler=_Draws(self.sampler, range(start, stop)),
            num_workers=workers,
            multiprocessing_context="spawn",
            persistent_workers=False,
        )
        return iter(loader)


class _Draws:
    """The clips of each step, drawn when its turn comes."""

    def __init__(self, sampler: ClipSampler, steps: range) -> None:
        self._sampler, self._steps = sampler, steps

    def __iter__(self) -> Iterator[list[ClipChoice]]:
        return (self._sampler.draw(step) for step in self._steps)

    def __len__(self) -> int:
        return len(self._steps)


def training_clips(
    videos: VideoSet,
    clip: ClipSettings,
    sources: frozenset[Source],
    *,
    batch: int,
    seed: int,
    without: Collection[int] = (),
    short: bool = False,
) -> TrainingClips:
    """Put together what reads this rank's part of the batches of a training run.

    Args:
        batch: clips of a step, on all ranks together; each has as many.
        without: numbers of held-out videos.
        short: draw from videos that are shorter than a clip too; it repeats their last frame.

    Raises:
        UsageError: a batch cannot be divided among the ranks.
        DataError: no segment is as long as a clip.
    """
    ranks = dist.world()
    if batch % ranks:
        raise UsageError(
            f"A batch of {batch} clips cannot be divided among {ranks} processes.",
            hint=f"Set batch to a multiple of {ranks}, or start another number of processes.",
        )
    windows: frozenset[Window] = frozenset(source.window for source in sources)
    sampler = ClipSampler(videos, clip, windows, batch // ranks, seed, dist.rank(), ranks, without=without, short=short)
    return TrainingClips(ClipReader(videos, clip), sampler, sources)
