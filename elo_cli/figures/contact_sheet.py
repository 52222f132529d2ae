"""A contact sheet: for each clip a row of frames, below them its flow in colour, its edges if asked for, its spectrogram.

The rows of a clip share one axis of time: the frame in a cell is the one in the middle of the
stretch that the cell covers.

Shape legend: N frames shown, H rows, W columns.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from elo_cli.figures.colours import edge_colours, flow_colours, full_colour, loudness, sound_colours
from elo_cli.figures.lettering import fitted, font

BLOCK = 1008  # pixels: width of what is drawn of one clip
MOST_CLIPS = 24

_TILE_AREA = 16_000  # pixels of a frame, whatever its shape
_TILE_HEIGHT = 180  # at most
_CELLS = (2, 16)  # frames shown of a clip, at least and at most, if it has so many
_SPECTROGRAM, _BAR = 76, 26  # heights of a row of sound, and of a row that says what is missing
_GAP, _MARGIN, _BETWEEN = 3, 28, 32
_HEADING = 84
_SHAPE = 1.2  # width by height that the whole sheet should have
_INK, _GREY, _PALE, _PAPER = (25, 25, 28), (100, 100, 107), (228, 228, 233), (244, 244, 247)


@dataclass(frozen=True)
class Clip:
    """What is shown of one segment.

    Attributes:
        title, label: the id of its video, and what that shows; any characters, of any length.
        details: a line about it.
        start_s, seconds: where it starts in its video, and how long it is.
        frames_NHWC: uint8; those that `shown_frames` names.
        flow_NHW2: float32, the forward flow of the same frames in pixels; or None.
        edges_NHW3: float32, the edges of that flow, from 0; or None, and then nothing is said of them.
        spectrogram: (mels, frames) of log-mel power; or None.
        heard: how much of the clip's length the spectrogram covers, in (0, 1].
        no_flow, no_sound: said in their place where they are None.
    """

    title: str
    label: str
    details: str
    start_s: float
    seconds: float
    frames_NHWC: np.ndarray
    flow_NHW2: np.ndarray | None = None
    edges_NHW3: np.ndarray | None = None
    spectrogram: np.ndarray | None = None
    heard: float = 1.0
    no_flow: str = "no flow"
    no_sound: str = "no sound"


def shown_frames(height: int, width: int, frames: int) -> list[int]:
    """Choose the frames that are shown of a clip: evenly spread, as many as its shape leaves room for."""
    tile = math.sqrt(_TILE_AREA * width / height)
    count = min(max(round(BLOCK / tile), _CELLS[0]), _CELLS[1], frames)
    return [(2 * cell + 1) * frames // (2 * count) for cell in range(count)]


def contact_sheet(clips: Sequence[Clip], heading: str, line: str) -> Image.Image:
    """Draw a sheet.

    Args:
        clips: 1 to `MOST_CLIPS` of them.
        heading, line: what the sheet is, in large and in small letters.

    Returns:
        An RGB picture; the same for the same arguments.
    """
    if not 1 <= len(clips) <= MOST_CLIPS:
        raise ValueError(f"a sheet shows 1 to {MOST_CLIPS} clips, not {len(clips)}")
    blocks = [_block(clip) for clip in clips]
    columns = min(range(1, len(blocks) + 1), key=lambda count: abs(math.log(_shape(blocks, count) / _SHAPE)))
    places, size = _places(blocks, columns)
    sheet = Image.new("RGB", size, _PAPER)
    for block, place in zip(blocks, places, strict=True):
        sheet.paste(block, place)
    _head(sheet, heading, line)
    return sheet


def _shape(blocks: Sequence[Image.Image], columns: int) -> float:
    width, height = _places(blocks, columns)[1]
    return width / height


def _places(blocks: Sequence[Image.Image], columns: int) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Put each block below the shortest column; return their corners, and the size of the sheet."""
    ends = [_MARGIN + _HEADING] * columns
    places = []
    for block in blocks:
        column = ends.index(min(ends))
        places.append((_MARGIN + column * (BLOCK + _BETWEEN), ends[column]))
        ends[column] += block.height + _BETWEEN
    return places, (2 * _MARGIN + columns * (BLOCK + _BETWEEN) - _BETWEEN, max(ends) - _BETWEEN + _MARGIN)


def _head(sheet: Image.Image, heading: str, line: str) -> None:
    """Write what the sheet is, and beside it the wheel that explains the colours."""
    draw, wheel = ImageDraw.Draw(sheet), _wheel(_HEADING - 24)
    x = sheet.width - _MARGIN - wheel.width
    sheet.paste(wheel, (x, _MARGIN))
    small = font(13)
    words = ("flow: colour is the direction,", "white no motion")
    for number, text in enumerate(words):
        draw.text((x - 12, _MARGIN + 14 + 20 * number), text, _GREY, small, anchor="rt")
    room = x - 24 - max(small.getlength(text) for text in words) - _MARGIN
    draw.text((_MARGIN, _MARGIN + 6), fitted(heading, room, font(24, bold=True)), _INK, font(24, bold=True), anchor="lt")
    draw.text((_MARGIN, _MARGIN + 42), fitted(line, room, font(14)), _GREY, font(14), anchor="lt")


def _block(clip: Clip) -> Image.Image:
    """Draw one clip."""
    frames = _strip(clip.frames_NHWC)
    details, rows = clip.details, [frames]
    if clip.flow_NHW2 is None:
        rows.append(_bar(clip.no_flow))
    else:
        full_px = full_colour(clip.flow_NHW2)
        rows.append(_strip(flow_colours(clip.flow_NHW2, full_px)))
        details += f" · full colour of the flow: {full_px:.1f} px a frame"
    if clip.edges_NHW3 is not None:
        rows.append(_strip(edge_colours(clip.edges_NHW3)))
    rows.append(_bar(clip.no_sound) if clip.spectrogram is None else _sound(clip.spectrogram, clip.heard))
    top = 54
    block = Image.new("RGB", (BLOCK, top + sum(row.height + _GAP for row in rows) + 20), _PAPER)
    draw = ImageDraw.Draw(block)
    label = fitted(clip.label, BLOCK / 3, font(14))
    room = BLOCK - font(14).getlength(label) - 24
    draw.text((0, 20), fitted(clip.title, room, font(18, bold=True)), _INK, font(18, bold=True), anchor="ls")
    draw.text((BLOCK, 20), label, _GREY, font(14), anchor="rs")
    draw.text((0, 43), fitted(details, BLOCK, font(14)), _GREY, font(14), anchor="ls")
    for row in rows:
        block.paste(row, (0, top))
        top += row.height + _GAP
    _axis(draw, top, clip.start_s, clip.seconds)
    return block


def _strip(pictures_NHWC: np.ndarray) -> Image.Image:
    """Put pictures side by side, each in the middle of its cell."""
    count, height, width = pictures_NHWC.shape[:3]
    edges = [round(cell * (BLOCK + _GAP) / count) for cell in range(count + 1)]
    room = min(right - left for left, right in itertools.pairwise(edges)) - _GAP
    scale = min(room / width, _TILE_HEIGHT / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    strip = Image.new("RGB", (BLOCK, size[1]), _PALE if size[0] < room else _PAPER)
    for picture, left in zip(pictures_NHWC, edges, strict=False):
        tile = Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.LANCZOS)
        strip.paste(tile, (left + (room - size[0]) // 2, 0))
    return strip


def _sound(spectrogram: np.ndarray, heard: float) -> Image.Image:
    """Draw a spectrogram, low tones below, from its own quiet to its own loud."""
    size = max(1, round(BLOCK * min(heard, 1.0))), _SPECTROGRAM
    row = Image.new("RGB", (BLOCK, _SPECTROGRAM), _PALE)
    row.paste(sound_colours(spectrogram, loudness(spectrogram), 3.0, size), (0, 0))
    return row


def _bar(text: str) -> Image.Image:
    """Say what is missing."""
    bar = Image.new("RGB", (BLOCK, _BAR), _PALE)
    ImageDraw.Draw(bar).text((BLOCK // 2, _BAR // 2), fitted(text, BLOCK - 16, font(13)), _GREY, font(13), anchor="mm")
    return bar


def _axis(draw: ImageDraw.ImageDraw, top: int, start_s: float, seconds: float) -> None:
    """Mark round times of the video below a clip."""
    step = _round_step(seconds / 8)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    number = math.ceil(start_s / step - 1e-6)
    while number * step <= start_s + seconds + 1e-6:
        text, x = f"{number * step:.{digits}f} s", (number * step - start_s) / seconds * (BLOCK - 1)
        half = font(12).getlength(text) / 2
        draw.line([(x, top - _GAP), (x, top + 2)], _GREY)
        draw.text((min(max(x, half), BLOCK - half), top + 5), text, _GREY, font(12), anchor="mt")
        number += 1


def _round_step(least: float) -> float:
    """Return the next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _wheel(size: int) -> Image.Image:
    """Draw motion to all sides: a disk in which the flow of each place points away from the centre."""
    side = 4 * size
    along = (np.arange(side) + 0.5) / side * 2 - 1
    flow_HW2 = np.stack(np.meshgrid(along, along), axis=-1).astype(np.float32)
    colours = flow_colours(flow_HW2[None], 1.0)[0]
    colours[np.linalg.norm(flow_HW2, axis=-1) > 1] = _PAPER
    return Image.fromarray(colours).resize((size, size), Image.Resampling.LANCZOS)
