"""What evaluation sees of a video: the same views each time, clips evenly spread over it and crops of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from elo_cli.core.clip import Source
from elo_cli.data import transforms
from elo_cli.data.loader import ClipReader
from elo_cli.data.sampling import even_starts
from elo_cli.data.video_set import Video


@dataclass(frozen=True)
class Views:
    """Which views of a video are looked at; V = clips × crops, those of one clip side by side.

    Attributes:
        clips: evenly spread over the video.
        crops: of each clip: 1, the largest square in the middle, or more, evenly spread along the longer side. Of clips that
            show the whole frame there is one.
    """

    clips: int = 1
    crops: int = 1

    @property
    def count(self) -> int:
        """V."""
        return self.clips * self.crops


class _Seen(Dataset[Tensor]):
    """The views of each video: (V, C, T, H, W)."""

    def __init__(self, reader: ClipReader, videos: Sequence[Video], source: Source, views: Views) -> None:
        self.reader, self.videos, self.source, self.views = reader, videos, source, views

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, number: int) -> Tensor:
        video = self.videos[number]
        lengths = [segment.record.frames for segment in video.segments]
        tensors = []
        for place_in_time, start in even_starts(lengths, self.reader.clip.span, self.views.clips):
            segment = video.segments[place_in_time]
            for place in transforms.seen_places(segment.record.height, segment.record.width, self.reader.clip, self.views.crops):
                tensor = self.reader.read(segment, self.source, start, place)
                assert tensor is not None, self.source
                tensors.append(tensor)
        return torch.stack(tensors) if len(tensors) > 1 else tensors[0][None]  # which copies nothing


def evaluation_views(
    reader: ClipReader, videos: Sequence[Video], source: Source, views: Views, workers: int = 0
) -> Iterator[Tensor]:
    """Yield the views of each video, (V, C, T, H, W), in the order of the videos.

    Args:
        reader: of the preprocessed set that holds the videos.
        videos: to be looked at.
        source: one modality of the clip itself; every segment must have it.
        views: which clips and crops.
        workers: processes that read ahead; with none, each video is read when it is asked for.
    """
    seen = _Seen(reader, videos, source, views)
    if not workers:
        return (seen[number] for number in range(len(seen)))
    loader = DataLoader(seen, batch_size=None, num_workers=workers, multiprocessing_context="spawn")
    return iter(loader)
