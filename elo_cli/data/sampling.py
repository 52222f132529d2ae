"""Which clips a training step sees: a pure function of (seed, step, rank).

Videos are visited in a new random order in every epoch, in whole steps: the few that would not fill
the last one wait for another epoch. So a step never holds a video twice, on whichever ranks, as long
as it takes no more clips than there are videos.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from elo_cli.core.clip import Window
from elo_cli.core.errors import DataError
from elo_cli.core.seeds import numpy_generator
from elo_cli.core.train_settings import ClipSettings
from elo_cli.data.augment import Look, draw_look
from elo_cli.data.video_set import Segment, Video, VideoSet

_TRIES = 100  # draws of two stretches apart, until the first of them has a partner


@dataclass(frozen=True)
class Shot:
    """Windows of one segment that are cropped, mirrored and coloured alike.

    Attributes:
        segment: the segment they are drawn from.
        starts: first stored frame of each window; a window that does not fit is missing.
        place: crop and mirroring, as numbers in [0, 1]: (area, y, x, flip, aspect).
        look: how its colours are changed.
    """

    segment: Segment
    starts: dict[Window, int]
    place: tuple[float, float, float, float, float]
    look: Look


@dataclass(frozen=True)
class ClipChoice:
    """One clip of a batch.

    Attributes:
        video: number of its video in the set.
        shots: the clip with the windows of its segment, and the clip it is paired with, if it is with any.
    """

    video: int
    video_id: str
    shots: tuple[Shot, ...]

    @property
    def shot(self) -> Shot:
        """The clip itself."""
        return self.shots[0]


class Partners:
    """The clips that one of a segment may be paired with: those of the same video that begin `pair_seconds` from it.

    Args:
        segment: the segment of the clip.
        segments: those of its video that clips are drawn from, itself among them.
        clip: the geometry of clips, and how far apart the two begin.
        fps: stored frames a second.

    Attributes:
        counts: for each first frame of a clip of the segment, how many clips it may be paired with.
    """

    def __init__(self, segment: Segment, segments: Sequence[Segment], clip: ClipSettings, fps: float) -> None:
        least, most = pair_frames(clip, fps)
        own_S = np.arange(max(0, segment.record.frames - clip.extent) + 1)
        self._segments: list[Segment] = []
        lows, counts = [], []
        begin_s, end_s = segment.record.start_s - clip.pair_seconds[1], clip.pair_seconds[1] + _end(segment, fps)
        for other in segments:
            if other.record.start_s > end_s or _end(other, fps) < begin_s:
                continue  # of a long video most are
            last = max(0, other.record.frames - clip.extent)
            at_S = own_S - round((other.record.start_s - segment.record.start_s) * fps)  # frames from the other's beginning
            for low_S, high_S in ((at_S - most, at_S - least), (at_S + max(least, 1), at_S + most)):  # before it, and after
                low_S = low_S.clip(0)
                count_S = (high_S.clip(max=last) - low_S + 1).clip(0)
                if count_S.any():
                    self._segments.append(other)
                    lows.append(low_S)
                    counts.append(count_S)
        self._low_RS, self._count_RS = np.array(lows), np.array(counts)
        self.counts: np.ndarray = self._count_RS.sum(0) if counts else np.zeros(len(own_S), np.int64)

    def draw(self, start: int, random: np.random.Generator) -> tuple[Segment, int]:
        """Draw one of the clips that the clip from frame `start` on may be paired with, all equally likely."""
        number = int(random.integers(self.counts[start]))
        ends_R = np.cumsum(self._count_RS[:, start])
        row = int(np.searchsorted(ends_R, number, side="right"))
        return self._segments[row], int(self._low_RS[row, start] + number - (ends_R[row] - self._count_RS[row, start]))


def _end(segment: Segment, fps: float) -> float:
    return segment.record.start_s + segment.record.frames / fps


def pair_frames(clip: ClipSettings, fps: float) -> tuple[int, int]:
    """Return the least and the greatest number of stored frames between the beginnings of two clips that are paired."""
    least, most = clip.pair_seconds
    return math.ceil(round(least * fps, 6)), math.floor(round(most * fps, 6))


def paired_videos(videos: VideoSet, clip: ClipSettings, numbers: np.ndarray) -> int:
    """Count those of some videos that have two clips far enough from one another, and near enough, to be paired."""
    least, most = pair_frames(clip, videos.rates.fps)
    if least > most:
        return 0
    alone = videos.videos.longest[numbers] - clip.extent >= least  # within one segment
    several = np.flatnonzero(~alone & (videos.videos.carrying("rgb")[numbers] > 1))
    return int(alone.sum()) + sum(_paired(videos.videos[int(numbers[row])], clip, videos.rates.fps) for row in several)


def _paired(video: Video, clip: ClipSettings, fps: float) -> bool:
    segments = [segment for segment in video.segments if segment.record.frames >= clip.reach]
    return any(Partners(segment, segments, clip, fps).counts.any() for segment in segments)


class ClipSampler:
    """Draws the clips of each step.

    Args:
        videos: the preprocessed set.
        clip: the geometry of clips.
        windows: the windows that some term reads.
        batch: clips for each rank and step.
        seed: the run's seed.
        without: numbers of videos that no clip is drawn from.
        short: draw from videos whose segments are all shorter than a clip too; it repeats their last frame.

    Raises:
        DataError: no segment is as long as a clip.
    """

    def __init__(
        self,
        videos: VideoSet,
        clip: ClipSettings,
        windows: frozenset[Window],
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        *,
        without: Collection[int] = (),
        short: bool = False,
    ) -> None:
        self.clip, self.windows, self.batch, self.seed, self.rank, self.world = clip, windows, batch, seed, rank, world
        self._videos, self._fps = videos.videos, videos.rates.fps
        self._usable = drawable(videos, clip, without, short=short)

    @property
    def drawn(self) -> int:
        """How many videos clips are drawn from."""
        return len(self._usable)

    def draw(self, step: int) -> list[ClipChoice]:
        """Name the clips of one step."""
        first = (step * self.world + self.rank) * self.batch
        return [self._clip(position) for position in range(first, first + self.batch)]

    def videos(self, step: int) -> tuple[str, ...]:
        """Name the videos whose clips all ranks see in one step."""
        together = self.batch * self.world
        return tuple(self._videos[self._video(position)].id for position in range(step * together, (step + 1) * together))

    def _video(self, position: int) -> int:
        together = self.batch * self.world
        # An epoch has whole steps, unless the set is smaller than one.
        count = len(self._usable)
        visited = count // together * together or count
        epoch, offset = divmod(position, visited)
        return int(self._usable[_order(self.seed, epoch, count)[offset]])

    def _clip(self, position: int) -> ClipChoice:
        video = self._video(position)
        random = numpy_generator(self.seed, "clip", position)
        drawn = self._videos[video]
        segments = [segment for segment in drawn.segments if segment.record.frames >= self.clip.reach] or drawn.segments
        segment = segments[int(random.integers(len(segments)))]
        # The crop is drawn first: it is the same whichever windows a loss reads.
        area, y, x, flip = (float(value) for value in random.random(4))
        partners = None
        if "paired" in self.windows:
            segment, partners = self._paired(segment, segments)
        starts = self._starts(segment.record.frames, random, partners)
        # What came later draws from a generator of its own, so that it changes no other draw.
        random = numpy_generator(self.seed, "look", position)
        look = draw_look(random, self.clip.augment)
        first = Shot(segment, starts, (area, y, x, flip, float(random.random())), look)
        if partners is None or not partners.counts[starts["clip"]]:
            return ClipChoice(video, drawn.id, (first,))
        random = numpy_generator(self.seed, "pair", position)
        other, start = partners.draw(starts["clip"], random)
        look = draw_look(random, self.clip.augment)
        area, y, x, flip, aspect = (float(value) for value in random.random(5))
        return ClipChoice(video, drawn.id, (first, Shot(other, {"paired": start}, (area, y, x, flip, aspect), look)))

    def _paired(self, segment: Segment, segments: Sequence[Segment]) -> tuple[Segment, Partners]:
        """Return a segment with the partners of its clips: this one, or where its clips have none, the next that has some."""
        place = segments.index(segment)
        found = ((one, Partners(one, segments, self.clip, self._fps)) for one in (*segments[place:], *segments[:place]))
        first = next(found)
        return first if first[1].counts.any() else next((each for each in found if each[1].counts.any()), first)

    def _starts(self, frames: int, random: np.random.Generator, partners: Partners | None = None) -> dict[Window, int]:
        # The sound of a clip lasts until its next frame would come, so a clip keeps that much room.
        extent = self.clip.extent
        last = max(0, frames - extent)
        future = self.clip.future * self.clip.stride
        latest = last - future if "future" in self.windows and last >= future else last
        starts: dict[Window, int] = {}
        if "shifted" in self.windows and last >= extent:
            # Where no two stretches leave room for the future of both, some clips go without theirs.
            for _ in range(1 if partners is None else _TRIES):
                starts["clip"], starts["shifted"] = _apart(latest if latest >= extent else last, extent, random)
                if partners is None or partners.counts[starts["clip"]]:
                    break
        else:
            paired = np.flatnonzero(partners.counts[: latest + 1]) if partners is not None else ()
            starts["clip"] = int(random.choice(paired)) if len(paired) else int(random.integers(latest + 1))
        if "future" in self.windows and starts["clip"] + self.clip.span + future <= frames:
            starts["future"] = starts["clip"] + self.clip.frames * self.clip.stride
        return starts


def _apart(last: int, extent: int, random: np.random.Generator) -> tuple[int, int]:
    """Draw two starts in [0, last] that are at least `extent` apart.

    All such pairs are equally likely, in either order: nothing of the time in its segment tells which
    of the two a clip is.
    """
    one, other = (int(start) for start in random.choice(last - extent + 2, 2, replace=False))
    return (one, other - 1 + extent) if one < other else (one - 1 + extent, other)


def drawable(videos: VideoSet, clip: ClipSettings, without: Collection[int] = (), *, short: bool = False) -> np.ndarray:
    """Return the numbers of the videos that clips can be drawn from, ascending: those with a segment that is long enough.

    Args:
        without: numbers of videos that are held out.
        short: any length is long enough.

    Raises:
        DataError: there is none.
    """
    longest = videos.videos.longest
    usable = np.flatnonzero(longest >= (1 if short else clip.reach))
    if not len(usable):
        raise DataError(
            f"A clip spans {clip.reach} stored frames, but the longest segment has {longest.max()}.",
            hint="Lower clip.frames or clip.stride (or those of clip.motion), or preprocess with a higher preprocess.fps or"
            " longer segments.",
        )
    left = np.setdiff1d(usable, list(without))
    if not len(left):
        raise DataError(f"All {len(usable)} videos that are long enough are held out.", hint="Preprocess more videos.")
    return left


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, videos: int) -> np.ndarray:
    return numpy_generator(seed, "epoch", epoch).permutation(videos)


def even_starts(lengths: list[int], span: int, clips: int) -> list[tuple[int, int]]:
    """Spread `clips` windows evenly over segments laid end to end, for evaluation.

    Args:
        lengths: stored frames of each segment, in order of time.
        span: stored frames of a window.
        clips: how many windows.

    Returns:
        (segment, first frame) for each; a window never crosses from one segment into the next, and
        in a segment shorter than `span` it starts at 0 (the reader repeats the last frame).
    """
    total = sum(lengths)
    ends = np.cumsum(lengths)
    windows = []
    for number in range(clips):
        middle = (number + 0.5) * total / clips
        segment = int(np.searchsorted(ends, middle, side="right"))
        offset = middle - (ends[segment] - lengths[segment])
        start = round(offset - span / 2)
        windows.append((segment, max(0, min(start, lengths[segment] - span))))
    return windows
