"""What a step costs here in time and memory, from trials of a few clips, and the largest batch that fits.

Memory and time are straight lines over the clips that go through the networks at a time. Where not even two clips can be
tried, smaller ones are, and a clip counts as so much of a whole one as it has of its pixels.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from elo_cli.core.train_settings import ClipSettings, TrainSettings
from elo_cli.engine.trial import FEWEST_STEPS, TrialCost
from elo_cli.executors import Lost
from elo_cli.workflows.trying import Trials

MARGIN = 0.1  # of the memory that is free; heaps grow ragged over a long training, and other programs need some too
_TRY_SECONDS = 60.0  # a trial is made if its steps are foretold to take no longer
_PAIR_SECONDS = 30.0  # likewise of those that the lines are drawn through
_STEPS = FEWEST_STEPS + 1  # the first takes about as long as two
_FIRST_LOAD = 2e8  # pixels × width × depth of the first trial: some seconds on a processor, under 6 GiB with all terms
_SECOND = (16, 8, 4, 3)  # clips of the second trial
_BISECTIONS = 3
_MOST = 65_536  # as settings allow
_BYTES = 4  # of a parameter's gradient
_WORKER_BYTES = 300 * 2**20  # of a process that loads clips, about
_AHEAD = 2  # batches that each of them has ready


@dataclass(frozen=True)
class Line:
    """fixed + each × clips."""

    fixed: float
    each: float

    def at(self, clips: float) -> float:
        """Read it off."""
        return self.fixed + self.each * clips

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]], least: float = 0.0) -> "Line":
        """Fit a line by least squares; neither of its numbers is negative.

        Args:
            points: clips, and what they took; through a single one goes the line from the origin.
            least: what a clip takes at least.
        """
        x, y = (math.fsum(values) / len(points) for values in zip(*points, strict=True))
        spread = math.fsum((a - x) ** 2 for a, _ in points)
        each = math.fsum((a - x) * (b - y) for a, b in points) / spread if spread else y / x
        each = max(each, least)
        if y - each * x < 0:
            return cls(0.0, max(least, math.fsum(a * b for a, b in points) / math.fsum(a * a for a, _ in points)))
        return cls(y - each * x, each)


@dataclass(frozen=True)
class Point:
    """One trial: clips at a time, each a share of a whole one, and what a step took."""

    clips: int
    share: float
    cost: TrialCost


@dataclass(frozen=True)
class Lines:
    """What a step takes, for any number of clips.

    Attributes:
        points: the trials.
        memory: bytes over clips at a time.
        time: seconds over clips at a time.
        loaders: processes that load clips, where their memory is that of training.
    """

    points: tuple[Point, ...]
    loaders: int = 0
    memory: Line = field(init=False)
    time: Line = field(init=False)

    def __post_init__(self) -> None:
        memory = [(point.clips * point.share, float(point.cost.peak_bytes)) for point in self.points]
        time = [(point.clips * point.share, point.cost.seconds) for point in self.points]
        object.__setattr__(self, "memory", Line.through(memory, self.clip_bytes))
        object.__setattr__(self, "time", Line.through(time))

    def also(self, point: Point) -> "Lines":
        """Draw them through one more trial."""
        return replace(self, points=(*self.points, point))

    @property
    def whole(self) -> bool:
        """Whether the clips were those of the settings, and no smaller ones."""
        return self.points[-1].share == 1

    @property
    def clip_bytes(self) -> float:
        """Bytes of a clip with everything that is loaded with it."""
        return self.points[-1].cost.clip_bytes / self.points[-1].share

    def bytes(self, batch: int, accumulate: int) -> float:
        """Memory of a step whose batch goes through the networks in so many parts."""
        part = batch / accumulate
        gradients = _BYTES * self.points[-1].cost.parameters if accumulate > 1 else 0
        return self.memory.at(part) + self.clip_bytes * (batch - part) + gradients + self._loading(batch)

    def seconds(self, batch: int, accumulate: int) -> float:
        """Time of such a step."""
        return accumulate * self.time.at(batch / accumulate)

    def largest(self, room: float, accumulate: int = 1) -> int:
        """The largest batch in so many parts that fits into so many bytes; 0 if not even two clips in each do."""
        base = self.bytes(0, accumulate)
        most = rounded(min(_MOST, max(0, int((room - base) / (self.bytes(1, accumulate) - base)))))
        return 0 if most < 2 * accumulate else most // accumulate * accumulate

    def parts(self, batch: int, accumulate: int, room: float) -> int | None:
        """The fewest parts, no fewer than now, in which a batch fits into so many bytes; None if it does in none."""
        for count in range(accumulate, batch // 2 + 1):
            if batch % count == 0 and self.bytes(batch, count) <= room:
                return count
        return None

    def _loading(self, batch: int) -> float:
        return self.loaders * (_WORKER_BYTES + _AHEAD * batch * self.clip_bytes)


def rounded(clips: int) -> int:
    """Round down to a number that a person would choose."""
    step = 1 << max(0, clips.bit_length() - 4)
    return clips // step * step


@dataclass
class Measured:
    """What was found of the steps of one training.

    Attributes:
        lines: None where no trial came to its end; `lost` says why.
        room: bytes that training may take: what is free without the margin.
        batch: a step with the batch and the parts of the settings, if it was tried.
        largest: most clips at a time that fit.
        verified: whether a step of so many, or of more, was made.
        recomputing: the same lines with `recompute`, where the batch does not fit without it.
        lost: trials that came to no end, as lines for a person.
        reason: how the first of them ended.
    """

    room: float
    lines: Lines | None = None
    batch: TrialCost | None = None
    largest: int = 0
    verified: bool = False
    recomputing: Lines | None = None
    lost: list[str] = field(default_factory=list)
    reason: str = ""

    def fits(self, batch: int, accumulate: int) -> bool:
        """Say whether the batch of the settings fits: it was tried, or the lines foretell it."""
        return self.batch is not None or (self.lines is not None and self.lines.bytes(batch, accumulate) <= self.room)


def measure(trials: Trials, available: int, loaders: int) -> Measured:
    """Find out what a step costs.

    Args:
        trials: of the training in question.
        available: bytes that a new process could take; on a GPU it is asked instead.
        loaders: processes that will load clips.

    Raises:
        EloError: the settings are impossible, or someone asked to stop.
    """
    given, found = trials.train, Measured((1 - MARGIN) * available)
    loaders = 0 if trials.on_gpu else loaders
    points = _points(trials, found)
    if not points:
        return found
    found.lines = Lines(tuple(points), loaders)
    if found.lines.whole:
        _try_batch(trials, found, found.lines)
    found.largest = found.lines.largest(found.room)
    if found.lines.whole:
        found.lines = _verify(trials, found, found.lines)
    if not found.fits(given.batch, given.accumulate) and not (given.recompute or trials.tired):
        again = list(_pair(trials, found, points[-1].share, recompute=True))
        found.recomputing = Lines(tuple(again), loaders) if len(again) > 1 else None
    return found


def shrunk(clip: ClipSettings, share: float) -> ClipSettings:
    """Make clips smaller; the share is one of `shares`."""
    for divisor in (1, 2, 4, 8, 16):
        frames = max(min(4, clip.frames), clip.frames // divisor)
        size = max(min(16, clip.size), clip.size // divisor)
        if frames * size**2 <= share * clip.frames * clip.size**2:
            break
    motion = clip.motion.model_copy(update={"frames": clip.motion.frames and max(2, clip.motion.frames // divisor)})
    smaller = {"frames": frames, "size": size, "future": max(1, clip.future // divisor), "motion": motion}
    return clip.model_copy(update=smaller)


def shares(clip: ClipSettings) -> list[float]:
    """List what clips may be made of a whole one, from a whole one downwards, by pixels."""
    pixels = clip.frames * clip.size**2
    found = [shrunk(clip, 8.0**-power) for power in range(5)]
    return sorted({each.frames * each.size**2 / pixels for each in found}, reverse=True)


def _points(trials: Trials, found: Measured) -> list[Point]:
    """Try two numbers of clips, as large as can be tried; a larger size of clip only after a smaller one foretold it."""
    steps = shares(trials.train.clip)
    load = 2 * trials.train.clip.frames * trials.train.clip.size**2 * trials.train.encoder.width * trials.train.encoder.depth
    level = next((number for number, share in enumerate(steps) if share * load <= _FIRST_LOAD), len(steps) - 1)
    best: list[Point] = []
    while True:
        points = list(_pair(trials, found, steps[level]))
        best = points if len(points) > 1 or not best else [*best, *points]
        if not points or not level:
            return best
        lines = Lines(tuple(best))
        likely = (
            number
            for number in range(level)
            if lines.memory.at(2 * steps[number]) <= found.room and _STEPS * lines.time.at(2 * steps[number]) <= _PAIR_SECONDS
        )
        level = next(likely, -1)
        if level < 0:
            return best


def _pair(trials: Trials, found: Measured, share: float, *, recompute: bool | None = None) -> Iterator[Point]:
    """Try two clips, and then as many more as are quick and sure to fit."""
    first = _attempt(trials, found, 2, share, recompute)
    if first is None:
        return
    yield Point(2, share, first)
    if first.free_bytes is not None:
        found.room = (1 - MARGIN) * first.free_bytes
    most = max(4, trials.train.batch)
    for clips in _SECOND:
        quick = _STEPS * first.seconds * clips / 2 <= _PAIR_SECONDS and first.peak_bytes * clips / 2 <= found.room
        if clips <= most and (quick or clips == _SECOND[-1]):
            second = _attempt(trials, found, clips, share, recompute)
            if second is not None:
                yield Point(clips, share, second)
            return


def _attempt(trials: Trials, found: Measured, clips: int, share: float, recompute: bool | None = None) -> TrialCost | None:
    train = trials.train
    update = {"clip": shrunk(train.clip, share), "batch": clips, "accumulate": 1}
    update |= {} if recompute is None else {"recompute": recompute}
    return _told(trials.attempt(train.model_copy(update=update)), found, f"{clips} clips")


def _told(outcome: TrialCost | Lost[object], found: Measured, what: str) -> TrialCost | None:
    if isinstance(outcome, TrialCost):
        return outcome
    found.lost.append(f"{what}: {outcome.story}")
    found.reason = found.reason or outcome.reason
    return None


def _try_batch(trials: Trials, found: Measured, lines: Lines) -> None:
    """Make steps as the settings have them, where they fit and are quick; the lines go through them too."""
    given: TrainSettings = trials.train
    same = [point.cost for point in lines.points if point.clips == given.batch and given.accumulate == 1]
    quick = _STEPS * lines.seconds(given.batch, given.accumulate) <= _TRY_SECONDS
    if same:
        found.batch = same[0]
    elif quick and lines.bytes(given.batch, given.accumulate) <= found.room:
        found.batch = _told(trials.attempt(given), found, f"{given.batch} clips")
        if found.batch is not None and given.accumulate == 1:
            found.lines = lines.also(Point(given.batch, 1.0, found.batch))


def _verify(trials: Trials, found: Measured, lines: Lines) -> Lines:
    """Make steps with the largest number of clips; where that dies, try fewer, between what went well and what did not.

    Returns:
        The lines, through what was tried too.
    """
    most = max(lines.points, key=lambda point: point.clips)
    well = most.clips
    if most.cost.peak_bytes <= found.room:
        found.largest = max(found.largest, well)
    for _ in range(1 + _BISECTIONS):
        if found.largest <= well or _STEPS * lines.seconds(found.largest, 1) > _TRY_SECONDS:
            break
        cost = _attempt(trials, found, found.largest, 1.0)
        if cost is None:
            found.largest = rounded((well + found.largest) // 2)
            continue
        lines, well = lines.also(Point(found.largest, 1.0, cost)), found.largest
        if cost.peak_bytes > found.room:
            found.largest = min(found.largest, lines.largest(found.room))
    found.verified = found.largest <= well
    return lines
