"""What decoders make of clips, below what they should make: a block for each term, a column for each clip.

Shape legend: T frames, H rows, W columns, F mel bands.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from elo_cli.figures.colours import flow_colours, full_colour, loudness, sound_colours
from elo_cli.figures.lettering import fitted, font

_TILE, _FRAMES, _GAP, _BETWEEN, _TITLE, _MARGIN, _HEADING = 72, 3, 2, 18, 26, 24, 64
_CELL = _FRAMES * (_TILE + _GAP) - _GAP
_NARROWEST = 560  # leaves room for the heading
_IN_A_COLUMN = 6  # blocks; of more there are two columns
_INK, _GREY, _PALE, _PAPER = (25, 25, 28), (100, 100, 107), (228, 228, 233), (244, 244, 247)


@dataclass(frozen=True)
class Decoded:
    """One term and the clips that have all it reads.

    Attributes:
        term: its name.
        pairs: what should be decoded and what is, of each clip: both uint8 (T, H, W, 3) of pictures, float (T, H, W, 2) of flow,
            or float (F, T) of sound; None for a clip that lacks it.
    """

    term: str
    pairs: Sequence[tuple[np.ndarray, np.ndarray] | None]


def decoded_block(decoded: Decoded) -> Image.Image:
    """Draw one term: above what should be decoded, below what is; of pictures the first, the middle and the last frame."""
    columns = len(decoded.pairs)
    block = Image.new("RGB", (max(_NARROWEST, columns * (_CELL + _BETWEEN) - _BETWEEN), _TITLE + 2 * _TILE + _GAP), _PAPER)
    draw = ImageDraw.Draw(block)
    draw.text((0, _TITLE - 8), fitted(decoded.term, block.width, font(14, bold=True)), _INK, font(14, bold=True), anchor="ls")
    for column, pair in enumerate(decoded.pairs):
        left = column * (_CELL + _BETWEEN)
        if pair is None:
            draw.rectangle((left, _TITLE, left + _CELL - 1, _TITLE + 2 * _TILE + _GAP - 1), _PALE)
            draw.text((left + _CELL // 2, _TITLE + _TILE), "not there", _GREY, font(13), anchor="mm")
            continue
        for row, picture in enumerate(_pictures(*pair)):
            block.paste(picture, (left, _TITLE + row * (_TILE + _GAP)))
    return block


def decoded_sheet(blocks: Sequence[Image.Image], heading: str, line: str) -> Image.Image:
    """Put blocks below one another, many of them in two columns.

    Args:
        blocks: at least one, all of one size.
        heading, line: what the sheet is, in large and in small letters.
    """
    columns = 1 if len(blocks) <= _IN_A_COLUMN else 2
    rows, (width, height) = -(-len(blocks) // columns), blocks[0].size
    room = columns * (width + _MARGIN) - _MARGIN
    sheet = Image.new("RGB", (room + 2 * _MARGIN, _MARGIN + _HEADING + rows * (height + _BETWEEN)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), fitted(heading, room, font(20, bold=True)), _INK, font(20, bold=True), anchor="lt")
    draw.text((_MARGIN, _MARGIN + 32), fitted(line, room, font(13)), _GREY, font(13), anchor="lt")
    for number, block in enumerate(blocks):
        column, row = divmod(number, rows)
        sheet.paste(block, (_MARGIN + column * (width + _MARGIN), _MARGIN + _HEADING + row * (height + _BETWEEN)))
    return sheet


def _pictures(target: np.ndarray, decoded: np.ndarray) -> tuple[Image.Image, Image.Image]:
    """Draw both on one scale, which is the target's."""
    if target.ndim == 2:
        loud = loudness(target)
        one, other = (sound_colours(each, loud, 0.5, (_CELL, _TILE)) for each in (target, decoded))
        return one, other
    if target.shape[-1] == 2:
        full_px = full_colour(target)
        target, decoded = flow_colours(target, full_px), flow_colours(decoded, full_px)
    return _strip(target), _strip(decoded)


def _strip(frames_THWC: np.ndarray) -> Image.Image:
    strip, count = Image.new("RGB", (_CELL, _TILE), _PAPER), len(frames_THWC)
    for place in range(min(_FRAMES, count)):
        frame = frames_THWC[place * (count - 1) // max(1, min(_FRAMES, count) - 1)]
        tile = Image.fromarray(np.ascontiguousarray(frame)).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
        strip.paste(tile, (place * (_TILE + _GAP), 0))
    return strip
