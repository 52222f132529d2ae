"""Tests of the contact sheet: what is drawn, where, and for clips of any shape and number."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from PIL import Image

from elo_cli.figures import contact_sheet as sheets
from elo_cli.figures.colours import flow_colours
from elo_cli.figures.contact_sheet import BLOCK, MOST_CLIPS, Clip, contact_sheet, shown_frames

RED, BLUE = (255, 0, 0), (0, 0, 255)
TOP = 28 + 84 + 54  # where the frames of the first clip begin
ROW = BLOCK * 3 // 4 // 7  # about the height of a frame of 4:3


def clip(height: int = 96, width: int = 128, frames: int = 50, **changes: Any) -> Clip:
    count = len(shown_frames(height, width, frames))
    pictures = np.zeros((count, height, width, 3), np.uint8)
    pictures[..., 0] = 255
    flow = np.zeros((count, height, width, 2), np.float32)
    tone = np.random.default_rng(0).normal(-6, 3, (16, 40)).astype(np.float16)
    fields: dict[str, Any] = {"start_s": 2.0, "seconds": 4.0, "frames_NHWC": pictures, "flow_NHW2": flow, "spectrogram": tone}
    return Clip("film.mp4", "run", "details", **(fields | changes))


def pixels(sheet: Image.Image) -> np.ndarray:
    return np.asarray(sheet)


@pytest.mark.parametrize(
    ("shape", "count"), [((96, 128), 7), ((128, 72), 11), ((72, 128), 6), ((128, 4000), 2), ((2560, 128), 16), ((1, 1), 8)]
)
def test_as_many_frames_as_fit_are_shown_evenly(shape: tuple[int, int], count: int) -> None:
    places = shown_frames(*shape, 1600)
    assert len(places) == count
    assert places == [int((cell + 0.5) * 1600 / count) for cell in range(count)]  # the middles of equal stretches
    assert shown_frames(*shape, 1) == [0] and shown_frames(*shape, 2) == [0, 1]


def test_the_rows_are_frames_flow_and_sound_in_the_same_columns() -> None:
    base = clip()
    pictures, flow = base.frames_NHWC.copy(), np.zeros_like(base.flow_NHW2)
    pictures[3:, ..., :] = BLUE
    flow[3:, ..., 0] = 2.0  # to the right
    quiet_then_loud = np.full((16, 40), -13.0, np.float16)
    quiet_then_loud[:, 17:] = 0.0
    drawn = pixels(contact_sheet([clip(frames_NHWC=pictures, flow_NHW2=flow, spectrogram=quiet_then_loud)], "h", "l"))
    turn = 28 + BLOCK * 3 // 7  # the fourth of seven cells begins here
    for x, colour in ((turn - 20, RED), (turn + 20, BLUE)):
        assert tuple(drawn[TOP + 40, x]) == colour
    below = TOP + ROW + 40
    assert tuple(drawn[below, turn - 20]) == (255, 255, 255)  # no motion
    wheel = flow_colours(np.array([[[[2.0, 0.0]]]]), 2.0)[0, 0, 0]
    assert tuple(drawn[below, turn + 20]) == tuple(wheel) and wheel[0] > 200 > wheel[2]
    sound = TOP + 2 * ROW + 40
    assert drawn[sound, turn - 30].sum() < 60 and drawn[sound, turn + 30].sum() > 500


def test_low_tones_are_below() -> None:
    low = np.full((16, 40), -13.0, np.float16)
    low[:4] = 0.0
    drawn = pixels(contact_sheet([clip(spectrogram=low)], "h", "l"))
    top = TOP + 2 * (ROW + 3)
    assert drawn[top + 10, 300].sum() < 60 and drawn[top + 70, 300].sum() > 500


def test_sound_that_ends_early_leaves_its_row_empty() -> None:
    drawn = pixels(contact_sheet([clip(heard=0.5)], "h", "l"))
    row = drawn[TOP + 2 * ROW + 40, 28 : 28 + BLOCK]
    assert np.ptp(row[: BLOCK // 2 - 2].astype(int), axis=0).max() > 50 and np.ptp(row[BLOCK // 2 + 2 :].astype(int)) < 10


def test_what_is_missing_is_said_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    bar = sheets._bar
    monkeypatch.setattr(sheets, "_bar", lambda text: (said.append(text), bar(text))[1])
    whole = contact_sheet([clip()], "h", "l")
    assert said == []
    bare = clip(flow_NHW2=None, spectrogram=None, no_flow="no flow (vp9 has none)", no_sound="no sound (silent)")
    sheet = contact_sheet([bare], "h", "l")
    assert said == ["no flow (vp9 has none)", "no sound (silent)"]
    assert sheet.width == whole.width and sheet.height < whole.height - 100


def test_flow_colours_are_those_of_the_wheel() -> None:
    to_all_sides = np.array([[[[4.0, 0], [0, 4.0], [-4.0, 0], [0, -4.0]], [[0, 0], [2.0, 0], [400.0, 0], [0, 0]]]], np.float32)
    colours = flow_colours(to_all_sides, 4.0)[0].astype(int)
    right, down, left, up = colours[0]
    assert right[0] > 200 and max(right[1:]) < 60  # red
    assert down[0] > 200 and down[1] > 150 and down[2] < 60  # yellow
    assert left[0] < 60 and min(left[1:]) > 150  # cyan
    assert up[2] > 200 and max(up[:2]) < 150  # blue
    assert (colours[1, 0] == 255).all()
    assert (abs(colours[1, 1] - (right + 255) / 2) <= 1).all()  # half as long, half as deep
    assert (colours[1, 2] == right).all()  # longer than the longest


def test_noise_is_not_drawn_as_motion() -> None:
    noise = np.full_like(clip().flow_NHW2, 0.02)
    drawn = pixels(contact_sheet([clip(flow_NHW2=noise)], "h", "l"))
    assert (drawn[TOP + ROW + 40, 40] > 235).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, MOST_CLIPS])
def test_no_two_clips_overlap(count: int) -> None:
    shapes = [(96, 128), (128, 72), (12, 400), (300, 16), (96, 96)]
    some = [clip(*shapes[number % 5], frames=10) for number in range(count)]
    blocks = [sheets._block(one) for one in some]
    sheet = contact_sheet(some, "heading", "line")
    for columns in range(1, count + 1):
        places, size = sheets._places(blocks, columns)
        taken = np.zeros(size[::-1], np.uint8)
        for (x, y), block in zip(places, blocks, strict=True):
            taken[y : y + block.height, x : x + block.width] += 1
            assert y >= 28 + 60 and x + block.width <= size[0] - 28 and y + block.height <= size[1] - 28
        assert taken.max() == 1
    assert 0.4 < sheet.width / sheet.height < 3


def test_the_same_clips_give_the_same_picture_and_odd_ones_do_not_fail() -> None:
    odd = dataclasses.replace(clip(1, 1, 1), title="中" * 300 + "\n", label="x" * 500, start_s=86_400.0, seconds=0.04)
    long = dataclasses.replace(clip(2, 4000, 3), seconds=3600.0, start_s=0.0)
    first, second = (contact_sheet([odd, long], "h" * 400, "l" * 400) for _ in range(2))
    assert (pixels(first) == pixels(second)).all()


@pytest.mark.parametrize(("start", "seconds"), [(0.0, 8.0), (2.3, 4.0), (86_400.0, 0.08), (0.0, 3600.0), (1234.5, 1e-3)])
def test_marks_of_time_are_round_and_do_not_touch(monkeypatch: pytest.MonkeyPatch, start: float, seconds: float) -> None:
    spans, times = [], []

    class Draw:
        def line(self, points: list[tuple[float, float]], colour: object) -> None:
            assert -1 <= points[0][0] <= BLOCK

        def text(self, place: tuple[float, float], text: str, colour: object, letters: Any, anchor: str) -> None:
            half = letters.getlength(text) / 2
            spans.append((place[0] - half, place[0] + half))
            times.append(float(text.removesuffix(" s")))

    sheets._axis(Draw(), 0, start, seconds)  # type: ignore[arg-type]
    assert 3 <= len(times) <= 10 and len(set(times)) == len(times)
    assert all(start - seconds / 1000 <= time <= start + seconds * 1.001 for time in times)
    assert spans[0][0] >= 0 and spans[-1][1] <= BLOCK
    assert all(left[1] < right[0] for left, right in itertools.pairwise(spans))


@pytest.mark.parametrize("count", [0, MOST_CLIPS + 1])
def test_a_sheet_has_bounds(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 24"):
        contact_sheet([clip()] * count, "h", "l")
