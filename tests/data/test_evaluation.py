"""What evaluation sees: evenly spread clips, crops along the longer side, the same with processes that read ahead."""

from pathlib import Path

import pytest
import torch

from elo_cli.core.clip import Source
from elo_cli.data import transforms
from elo_cli.data.evaluation import Views, evaluation_views
from elo_cli.data.loader import ClipReader
from elo_cli.data.transforms import Place, spread_places
from elo_cli.data.video_set import VideoSet
from tests.support.shards import CLIP, write_set


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    return write_set(tmp_path_factory.mktemp("set"))


def test_evaluation_sees_the_middle_of_evenly_spread_clips(videos: VideoSet) -> None:
    seen = list(evaluation_views(ClipReader(videos, CLIP), videos.videos[:2], Source("rgb"), Views(3)))
    assert [tuple(views.shape) for views in seen] == [(3, 3, 4, 16, 16)] * 2
    # Two segments of 14 frames end to end: the middles of thirds are at 4.67, 14 and 23.33.
    video = videos.videos[0]
    shard, place = videos.shards[video.segments[0].shard], transforms.central_place(20, 26)
    for view, (segment, start) in zip(seen[0], ((0, 3), (1, 0), (1, 7)), strict=True):
        frames = shard.read(video.segments[segment].index, "rgb", start, start + 4)
        assert torch.equal(view, transforms.rgb(frames, place, 16))


def test_crops_are_spread_along_the_longer_side(videos: VideoSet) -> None:
    assert spread_places(20, 26, 1) == [transforms.central_place(20, 26)]
    assert spread_places(20, 26, 3) == [Place(0, left, 20, 20, False) for left in (0, 3, 6)]
    assert spread_places(26, 20, 3) == [Place(top, 0, 20, 20, False) for top in (0, 3, 6)]
    assert spread_places(9, 9, 3) == [Place(0, 0, 9, 9, False)] * 3
    reader = ClipReader(videos, CLIP)
    (three,) = evaluation_views(reader, videos.videos[:1], Source("rgb"), Views(2, 3))
    (middle,) = evaluation_views(reader, videos.videos[:1], Source("rgb"), Views(2))
    assert len(three) == 6 and torch.equal(three[[1, 4]], middle)
    assert not torch.equal(three[0], three[1])


def test_processes_that_read_ahead_bring_the_same(videos: VideoSet, tmp_path: Path) -> None:
    reader = ClipReader(videos, CLIP)
    ahead = list(evaluation_views(reader, videos.videos, Source("flow"), Views(2), workers=2))
    alone = list(evaluation_views(reader, videos.videos, Source("flow"), Views(2)))
    assert len(ahead) == len(videos.videos) and all(map(torch.equal, ahead, alone))


def test_of_the_whole_frame_all_crops_are_the_same(videos: VideoSet) -> None:
    reader = ClipReader(videos, CLIP.model_copy(update={"frame": "whole"}))
    (seen,) = evaluation_views(reader, videos.videos[:1], Source("rgb"), Views(2))
    segment = videos.videos[0].segments[0]
    frames = videos.shards[segment.shard].read(segment.index, "rgb", 5, 9)
    assert torch.equal(seen[0], transforms.rgb(frames, Place(0, 0, 20, 26, False), 16))
    (three,) = evaluation_views(reader, videos.videos[:1], Source("rgb"), Views(2, 3))
    assert torch.equal(three, seen.repeat_interleave(3, 0))
