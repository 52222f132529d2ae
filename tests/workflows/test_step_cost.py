"""The lines that memory and time are read off, and how the largest batch is looked for."""

from typing import Any, cast

import pytest

from elo_cli.core.train_settings import ClipSettings, EncoderSettings, TrainSettings
from elo_cli.engine.trial import TrialCost
from elo_cli.executors import Lost
from elo_cli.workflows.cost_tables import tables, told
from elo_cli.workflows.step_cost import MARGIN, Line, Measured, measure, rounded, shares, shrunk
from elo_cli.workflows.trying import Trials

MIB = 2**20
SMALL = TrainSettings(
    clip=ClipSettings(frames=4, size=16, future=2), encoder=EncoderSettings(depth=10, width=4), batch=32, steps=10
)


class Made:
    """Trials whose costs are made up: 100 MiB, and 10 for each clip; 0.1 s, and 0.01 for each; more than a bound dies."""

    on_gpu, tired = False, False

    def __init__(self, train: TrainSettings, dies_above: float = float("inf"), slow: float = 1.0) -> None:
        self.train, self.dies_above, self.slow = train, dies_above, slow
        self.tried: list[int] = []

    def attempt(self, train: TrainSettings) -> TrialCost | Lost[Any]:
        share = train.clip.frames * train.clip.size**2 / (self.train.clip.frames * self.train.clip.size**2)
        clips = train.batch / train.accumulate * share
        self.tried.append(train.batch)
        each = 5 if train.recompute else 10
        size = int((100 + each * clips) * MIB)
        if size > self.dies_above * MIB:
            return Lost(None, "step 1", "", "out-of-memory", "it needs more memory than there is")
        return TrialCost(self.slow * (0.1 + 0.01 * clips), size, None, 1000, int(MIB // 8 * share))


def look(made: Made, mib: float, loaders: int = 0) -> Measured:
    """Measure with so many MiB that may be used."""
    return measure(cast(Trials, made), round(mib / (1 - MARGIN) * MIB), loaders)


def test_a_line_is_found_again() -> None:
    line = Line.through([(2, 7.0), (8, 19.0), (16, 35.0)])
    assert line.fixed == pytest.approx(3) and line.each == pytest.approx(2) and line.at(100) == pytest.approx(203)
    assert Line.through([(0, 1.0), (1, 1.0), (2, 4.0)]).each == pytest.approx(1.5), "least squares"


def test_a_line_never_falls_and_begins_at_nothing_or_more() -> None:
    assert Line.through([(2, 5.0), (4, 4.0)]) == Line(4.5, 0)
    assert Line.through([(2, 5.0), (4, 4.0)], least=1.0) == Line(1.5, 1)
    assert Line.through([(1, 1.0), (2, 4.0)]) == Line(0, 9 / 5)
    assert Line.through([(4, 8.0)]) == Line(0, 2)


def test_numbers_are_rounded_down_to_plain_ones() -> None:
    assert [rounded(clips) for clips in (2, 7, 15, 17, 33, 63, 115, 1000)] == [2, 7, 15, 16, 32, 60, 112, 960]


def test_the_largest_batch_is_tried() -> None:
    made = Made(SMALL)
    found = look(made, 1000)
    assert found.lines is not None
    assert found.lines.memory.fixed == pytest.approx(100 * MIB) and found.lines.memory.each == pytest.approx(10 * MIB)
    assert (found.largest, found.verified) == (88, True) and made.tried == [2, 16, 32, 88]
    assert found.batch is not None and found.fits(32, 1)
    result = told(found, SMALL)
    assert result["largest_batch"] == 88 and result["batch"]["measured"] and result["training_seconds"] == pytest.approx(4.2)


def test_loaders_need_memory_too() -> None:
    assert look(Made(SMALL), 2000, loaders=0).largest > look(Made(SMALL), 2000, loaders=4).largest > 0


def test_what_dies_is_survived_by_trying_fewer() -> None:
    made = Made(SMALL, dies_above=800)
    found = look(made, 1000)
    assert (found.largest, found.verified) == (60, True) and made.tried == [2, 16, 32, 88, 60]
    assert found.lost == ["88 clips: it needs more memory than there is"]


def test_what_would_take_minutes_is_not_tried() -> None:
    made = Made(SMALL, slow=25)
    found = look(made, 1000)
    assert (found.largest, found.verified) == (88, False) and made.tried[-1] == 32
    assert any("from a straight line" in row[-1] for row in next(tables(found, SMALL, "pretrain")).rows)


@pytest.mark.parametrize(
    ("mib", "settings"),
    [
        (302, ["--set pretrain.accumulate=2", "--set pretrain.recompute=true", "--set pretrain.batch=20"]),
        (200, ["--set pretrain.accumulate=4", "--set pretrain.accumulate=2 --set pretrain.recompute=true"]),
    ],
)
def test_what_does_not_fit_is_told_how_it_would(mib: float, settings: list[str]) -> None:
    found = look(Made(SMALL), mib)
    assert found.batch is None and not found.fits(32, 1) and found.recomputing is not None
    *_, ways = tables(found, SMALL, "pretrain")
    assert [row[0] for row in ways.rows][: len(settings)] == settings


def test_clips_too_large_to_be_tried_are_judged_by_smaller_ones() -> None:
    train = SMALL.model_copy(
        update={"clip": ClipSettings(frames=32, size=224), "encoder": EncoderSettings(depth=50, width=64), "batch": 512}
    )
    found = look(Made(train, slow=1e4), 200)
    assert found.lines is not None and not found.lines.whole and not found.fits(512, 1)
    assert found.lines.memory.each == pytest.approx(10 * MIB, rel=0.01) and found.largest == 10 and not found.verified


def test_a_trial_that_never_ends_well_leaves_its_story() -> None:
    found = look(Made(SMALL, dies_above=0), 1000)
    assert found.lines is None and found.reason == "out-of-memory" and not found.fits(32, 1)
    assert told(found, SMALL)["fits"] is False and list(tables(found, SMALL, "pretrain")) == []


def test_clips_shrink_by_steps() -> None:
    clip = ClipSettings(frames=32, size=224, future=4)
    made = [(each.frames, each.size) for each in (shrunk(clip, share) for share in shares(clip))]
    assert made == [(32, 224), (16, 112), (8, 56), (4, 28), (4, 16)]
    assert shares(SMALL.clip) == [1.0]


@pytest.mark.parametrize("accumulate", [1, 2, 4, 16])
@pytest.mark.parametrize("room", [150, 300, 900])
def test_the_largest_batch_in_parts_is_read_off_with_all_that_stays_in_memory(accumulate: int, room: int) -> None:
    lines = look(Made(SMALL), 2000).lines
    assert lines is not None
    most = lines.largest(room * MIB, accumulate)
    fitting = [
        clips
        for clips in range(2 * accumulate, 20_000, accumulate)
        if rounded(clips) == clips and lines.bytes(clips, accumulate) <= room * MIB
    ]
    assert most == (fitting[-1] // accumulate * accumulate if fitting else 0)


@pytest.mark.parametrize(("batch", "accumulate"), [(16, 2), (32, 2), (512, 16)])
def test_what_is_said_of_parts_is_of_parts(batch: int, accumulate: int) -> None:
    given = SMALL.model_copy(update={"batch": batch, "accumulate": accumulate})
    found = look(Made(given), 300)
    lines = found.lines
    assert lines is not None
    result = told(found, given)
    largest = result["largest_batch"]
    assert largest % accumulate == 0 and lines.bytes(largest, accumulate) <= found.room
    assert result["fits"] == (batch <= largest) or found.batch is not None
    first, *others = tables(found, given, "pretrain")
    [row] = [row for row in first.rows if "largest that fits" in row[3]]
    assert row[0] == str(largest)
    ways = [way for table in others if table.title == "So it would fit" for way, *_ in table.rows]
    for way in ways:
        if "pretrain.batch" in way:
            assert "--set pretrain.accumulate=1" in way
