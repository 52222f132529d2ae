"""Which clips a step sees: a pure function of (seed, step, rank), without repeats, within the segment."""

import itertools
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from elo_cli.core.clip import Window
from elo_cli.core.errors import DataError
from elo_cli.core.train_settings import ClipSettings
from elo_cli.data.sampling import ClipChoice, ClipSampler, Partners, drawable, even_starts, paired_videos
from elo_cli.data.video_set import Video, VideoSet
from tests.support.shards import CLIP, write_set

ALL: frozenset[Window] = frozenset({"clip", "future", "shifted"})


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    return write_set(tmp_path_factory.mktemp("set"), videos=7, segments=3, height=2, width=2, deaf=())


def names(choices: list[ClipChoice]) -> list[str]:
    return [choice.video_id for choice in choices]


def test_draws_are_pure_and_differ_by_seed_step_and_rank(videos: VideoSet) -> None:
    def sampler(seed: int, rank: int) -> ClipSampler:
        return ClipSampler(videos, CLIP, ALL, 3, seed, rank, 2)

    steps = {(seed, rank, step): sampler(seed, rank).draw(step) for seed in (0, 1) for rank in (0, 1) for step in (5, 0, 17)}
    once = sampler(0, 0)
    once.draw(3)
    assert once.draw(17) == steps[0, 0, 17]
    assert once.draw(0) == steps[0, 0, 0]
    for one, other in itertools.combinations(steps.values(), 2):
        assert one != other


@pytest.mark.parametrize(("batch", "world"), [(2, 1), (3, 1), (3, 2), (7, 1), (2, 3), (5, 1)])
def test_no_video_twice_in_a_step_over_all_ranks_nor_in_an_epoch(videos: VideoSet, batch: int, world: int) -> None:
    samplers = [ClipSampler(videos, CLIP, ALL, batch, 4, rank, world) for rank in range(world)]
    steps = 7 // (batch * world)
    seen = []
    for epoch in range(6):
        drawn = []
        for step in range(epoch * steps, (epoch + 1) * steps):
            together = [name for sampler in samplers for name in names(sampler.draw(step))]
            assert len(set(together)) == batch * world
            drawn += together
        assert len(set(drawn)) == len(drawn)
        seen += drawn
    assert len(set(seen)) == 7, "the videos that an epoch leaves out differ from epoch to epoch"


def test_a_batch_larger_than_the_set_repeats_as_little_as_it_can(videos: VideoSet) -> None:
    drawn = names(ClipSampler(videos, CLIP, ALL, 14, 4).draw(0))
    assert sorted(drawn) == sorted(2 * [video.id for video in videos.videos])


@given(
    st.integers(2, 5),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 40),
    st.integers(0, 2**32),
    st.sets(st.sampled_from(sorted(ALL))),
)
def test_windows_lie_in_the_segment_and_apart(
    frames: int, stride: int, future: int, more: int, seed: int, asked: set[Window]
) -> None:
    clip = ClipSettings(frames=frames, stride=stride, future=future, size=16, crop_area=(0.5, 1.0), flip=0.5)
    length = clip.span + more
    sampler = ClipSampler.__new__(ClipSampler)
    sampler.clip, sampler.windows = clip, frozenset(asked)
    starts = sampler._starts(length, np.random.default_rng(seed))
    extent = frames * stride
    start = starts["clip"]
    assert 0 <= start <= length - clip.span
    if length >= extent:
        assert start + extent <= length, "there is sound until the end of the clip"
    if "future" in starts:
        assert starts["future"] == start + clip.span - 1 + stride
        assert starts["future"] + (future - 1) * stride < length
    if "shifted" in starts:
        assert abs(starts["shifted"] - start) >= extent
        assert 0 <= starts["shifted"] <= length - extent
    assert set(starts) <= asked | {"clip"}
    # Where there is room, the clip is put so that the window fits.
    room = extent + future * stride
    if "future" in asked and length >= (room if "shifted" not in asked else extent + room):
        assert "future" in starts
    if "shifted" in asked and length >= 2 * extent:
        assert "shifted" in starts
    if length < 2 * extent:
        assert "shifted" not in starts
    if length < clip.span + future * stride:
        assert "future" not in starts


@pytest.mark.parametrize(("frames", "stride"), [(3, 1), (2, 2)])
def test_the_other_stretch_is_every_one_that_does_not_overlap(frames: int, stride: int) -> None:
    clip = ClipSettings(frames=frames, stride=stride, future=1, size=16, crop_area=(0.5, 1.0), flip=0.5)
    sampler, extent, random = ClipSampler.__new__(ClipSampler), frames * stride, np.random.default_rng(0)
    sampler.clip, sampler.windows = clip, frozenset({"clip", "shifted"})
    length = 2 * extent + 2
    drawn = Counter((one["clip"], one["shifted"]) for one in (sampler._starts(length, random) for _ in range(6000)))
    starts = range(length - extent + 1)
    assert set(drawn) == {(a, b) for a in starts for b in starts if abs(a - b) >= extent}
    # Equally likely, in either order: the time in the segment does not tell which is the clip.
    assert chisquare(list(drawn.values())).pvalue > 1e-4


def test_every_start_is_drawn() -> None:
    sampler = ClipSampler.__new__(ClipSampler)
    sampler.clip, sampler.windows = CLIP, frozenset({"clip"})
    random = np.random.default_rng(0)
    assert {sampler._starts(9, random)["clip"] for _ in range(200)} == set(range(6))


def test_the_crop_does_not_depend_on_what_a_loss_reads(videos: VideoSet) -> None:
    few = ClipSampler(videos, CLIP, frozenset({"clip"}), 4, 0).draw(3)
    all_of_them = ClipSampler(videos, CLIP, ALL, 4, 0).draw(3)
    assert [(c.video_id, c.shot.segment, c.shot.place) for c in few] == [
        (c.video_id, c.shot.segment, c.shot.place) for c in all_of_them
    ]


def test_short_segments_are_passed_over(tmp_path: Path) -> None:
    mixed = write_set(tmp_path / "a", videos=2, segments=1, frames=5, height=2, width=2, deaf=())
    long_enough = ClipSettings(frames=5, stride=1, size=16, future=1, crop_area=(0.5, 1.0), flip=0.5)
    assert drawable(mixed, long_enough).tolist() == [0, 1]
    assert drawable(mixed, long_enough, [0]).tolist() == [1]
    with pytest.raises(DataError, match="All 2 videos that are long enough are held out"):
        drawable(mixed, long_enough, [0, 1])
    with pytest.raises(DataError, match="spans 6 stored frames, but the longest segment has 5"):
        ClipSampler(mixed, long_enough.model_copy(update={"frames": 6}), ALL, 2, 0)


def test_short_videos_are_drawn_from_where_that_is_asked(tmp_path: Path) -> None:
    videos = write_set(tmp_path / "a", videos=3, segments=2, frames=5, height=2, width=2, deaf=())
    clip = ClipSettings(frames=8, stride=1, size=16, future=1, crop_area=(0.5, 1.0), flip=0.5)
    assert drawable(videos, clip, short=True).tolist() == [0, 1, 2]
    assert drawable(videos, clip, [1], short=True).tolist() == [0, 2]
    with pytest.raises(DataError, match="All 3 videos that are long enough are held out"):
        drawable(videos, clip, range(3), short=True)
    sampler = ClipSampler(videos, clip, frozenset({"clip"}), 3, 0, short=True)
    drawn = [choice for step in range(5) for choice in sampler.draw(step)]
    assert {choice.shot.starts["clip"] for choice in drawn} == {0}, "a clip begins with what there is"
    assert len({(choice.video, choice.shot.segment.index) for choice in drawn}) > 3, "any segment, for none is long enough"
    fits = CLIP.model_copy(update={"frames": 4, "future": 1})
    both = [ClipSampler(videos, fits, ALL, 3, 0, short=short).draw(4) for short in (False, True)]
    assert both[0] == both[1], "where all are long enough it changes nothing"


def test_of_a_video_with_long_and_short_segments_the_long_ones_are_drawn() -> None:
    lengths = {0: 3, 1: 9, 2: 9}
    sampler = ClipSampler.__new__(ClipSampler)
    segments = [SimpleNamespace(index=index, record=SimpleNamespace(frames=frames)) for index, frames in lengths.items()]
    sampler.clip, sampler.windows, sampler.seed, sampler.batch = CLIP, frozenset({"clip"}), 0, 1
    sampler.rank, sampler.world, sampler._usable = 0, 1, np.array([0])
    sampler._videos = [SimpleNamespace(id="v", segments=segments)]  # type: ignore[assignment]
    assert {sampler.draw(step)[0].shot.segment.index for step in range(30)} == {1, 2}


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 20), st.integers(1, 9))
def test_even_starts_stay_inside_in_order(lengths: list[int], span: int, clips: int) -> None:
    windows = even_starts(lengths, span, clips)
    assert len(windows) == clips
    assert windows == sorted(windows)
    for segment, start in windows:
        assert 0 <= start <= max(0, lengths[segment] - span)


def test_even_starts_exactly() -> None:
    assert even_starts([10], 4, 1) == [(0, 3)]
    assert even_starts([10], 2, 2) == [(0, 2), (0, 6)]  # centres at 2.5 and 7.5, starts rounded to even
    assert even_starts([10, 10], 4, 2) == [(0, 3), (1, 3)]
    assert even_starts([3], 4, 2) == [(0, 0), (0, 0)]


def pairs(video: Video, clip: ClipSettings, fps: float) -> dict[tuple[int, int], set[tuple[int, int]]]:
    """By brute force: for each clip (segment, start) of a video those that begin the right time from it."""
    places = [
        (segment.index, start, segment.record.start_s + start / fps)
        for segment in video.segments
        if segment.record.frames >= clip.reach
        for start in range(max(0, segment.record.frames - clip.extent) + 1)
    ]
    least, most = clip.pair_seconds
    return {
        (index, start): {(i, s) for i, s, other in places if least - 1e-6 <= abs(other - at) <= most + 1e-6}
        for index, start, at in places
    }


@pytest.mark.parametrize("apart", [(0.5, 10.0), (0.0, 0.3), (0.9, 1.1), (1.5, 2.5), (3.0, 3.0), (0.33, 0.61)])
@pytest.mark.parametrize("motion", [{}, {"frames": 3, "stride": 3}])
def test_partners_are_all_clips_of_the_video_that_begin_the_right_time_away(
    videos: VideoSet, apart: tuple[float, float], motion: dict[str, int]
) -> None:
    clip = ClipSettings(frames=4, stride=1, size=16, motion=motion, pair_seconds=apart)  # type: ignore[arg-type]
    video = videos.videos[2]
    wanted = pairs(video, clip, videos.rates.fps)
    for segment in video.segments:
        partners = Partners(segment, video.segments, clip, videos.rates.fps)
        for start, count in enumerate(partners.counts):
            expected = wanted[segment.index, start]
            assert count == len(expected)
            random = np.random.default_rng(start)
            drawn = Counter((other.index, at) for other, at in (partners.draw(start, random) for _ in range(40 * count)))
            assert set(drawn) <= expected
            if 1 < count <= 12:
                assert chisquare([drawn[each] for each in sorted(expected)]).pvalue > 1e-6
    assert paired_videos(videos, clip, np.arange(7)) == (7 if any(wanted.values()) else 0)


def test_a_pair_has_a_crop_and_a_look_of_its_own_and_other_draws_stay(videos: VideoSet) -> None:
    both = ClipSampler(videos, CLIP, frozenset({"clip", "paired"}), 7, 0)
    alone = ClipSampler(videos, CLIP, frozenset({"clip"}), 7, 0)
    for step in range(4):
        for choice, other in zip(both.draw(step), alone.draw(step), strict=True):
            assert (choice.video, choice.shot.place, choice.shot.look) == (other.video, other.shot.place, other.shot.look)
            first, second = choice.shots
            assert set(second.starts) == {"paired"} and set(first.starts) == {"clip"}
            assert first.place != second.place
            at, later = (
                shot.segment.record.start_s + start / videos.rates.fps
                for shot, start in ((first, first.starts["clip"]), (second, second.starts["paired"]))
            )
            assert 0.5 - 1e-6 <= abs(at - later) <= 10


def test_a_clip_is_drawn_where_it_has_a_partner(tmp_path: Path) -> None:
    # 14 frames: clips start at 0 to 10, and only the first and the last five have a partner 6 to 10 frames from them.
    lone = write_set(tmp_path, videos=3, segments=1, height=2, width=2, deaf=())
    clip = CLIP.model_copy(update={"pair_seconds": (0.7, 1.0)})
    sampler = ClipSampler(lone, clip, frozenset({"clip", "paired"}), 3, 0)
    drawn = [choice for step in range(40) for choice in sampler.draw(step)]
    assert all(len(choice.shots) == 2 for choice in drawn)
    assert {choice.shot.starts["clip"] for choice in drawn} == {0, 1, 2, 3, 7, 8, 9, 10}
    short = clip.model_copy(update={"pair_seconds": (1.2, 9.0)})
    assert paired_videos(lone, short, np.arange(3)) == 0
    assert all(len(choice.shots) == 1 for choice in ClipSampler(lone, short, frozenset({"clip", "paired"}), 3, 0).draw(0))


def test_a_clip_has_a_partner_beside_another_stretch_too(tmp_path: Path) -> None:
    lone = write_set(tmp_path, videos=3, segments=1, frames=30, height=2, width=2, deaf=())
    clip = CLIP.model_copy(update={"pair_seconds": (2.0, 9.0)})  # only clips from the first or last 6 frames have one
    sampler = ClipSampler(lone, clip, frozenset({"clip", "shifted", "paired"}), 3, 0)
    drawn = [choice for step in range(40) for choice in sampler.draw(step)]
    assert all(len(choice.shots) == 2 and "shifted" in choice.shot.starts for choice in drawn)
