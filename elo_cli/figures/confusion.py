"""What a classifier takes for what: true classes downwards, predicted ones across, each row in shares of itself.

Shape legend: C classes; D predicted classes: the same C, and after them, if there is one more, the test videos that could not be
read; S steps of the scale.
"""

from collections.abc import Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from elo_cli.figures.lettering import fitted, font

_SIDE = 960  # pixels that the matrix may take, as long as its cells are not less than one
_LARGEST_CELL, _LEAST_FOR_NUMBERS = 72, 30
_NAMES = 150  # pixels for the names of classes
_LETTERS, _APART = 11, 12  # their size, and how far two of them are apart at least; nearer ones are left out
_MARGIN, _HEADING, _AXIS, _GAP = 28, 76, 22, 9
_SCALE_WIDTH, _SCALE_HEIGHT, _SCALE_NOTE = 260, 12, 230
_NARROWEST = 560  # leaves room for the heading
_INK, _GREY, _PALE, _PAPER = (25, 25, 28), (100, 100, 107), (228, 228, 233), (255, 255, 255)
_COLOURS = "Blues"  # from pale to dark in one hue, which no kind of colour vision confuses


def confusion_picture(table_CD: np.ndarray, classes: Sequence[str], title: str, line: str) -> Image.Image:
    """Draw a confusion matrix, coloured by the share of each true class; the diagonal is what is right.

    Args:
        table_CD: how many test videos of each true class were given each class, (C, C), or (C, C + 1) with those that could not
            be read in the last column. A class without test videos is drawn empty.
        classes: their names, of any length and characters; where there are many, not all of them are drawn.
        title, line: what it is of, in large and in small letters.

    Returns:
        A picture of at most about 1,250 by 1,350 pixels; of more than 960 classes neighbours share a pixel.
    """
    share_CD, tested_C = _shares(table_CD)
    names = [*classes, *["unreadable"] * (table_CD.shape[1] - len(classes))]
    cell = max(1, min(_LARGEST_CELL, _SIDE // len(names)))
    width, height = (min(_SIDE, cell * count) for count in (len(names), len(classes)))
    left, top = _MARGIN + _AXIS + _NAMES + _GAP, _MARGIN + _HEADING + _AXIS + _NAMES + _GAP
    size = max(_NARROWEST, left + width + _MARGIN), top + height + 2 * _MARGIN + 3 * _SCALE_HEIGHT
    picture = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(picture)
    _headings(draw, title, line, size[0] - 2 * _MARGIN)
    colours = Image.fromarray(_colours(share_CD, tested_C))
    enlarged = width >= len(names)
    picture.paste(colours.resize((width, height), Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX), (left, top))
    draw.rectangle((left - 1, top - 1, left + width, top + height), None, _PALE)
    if cell >= _LEAST_FOR_NUMBERS:
        _numbers(draw, share_CD, (left, top), cell)
    if len(names) > len(classes) and cell > 1:  # what was not classified stands apart
        draw.line([(left + cell * len(classes), top), (left + cell * len(classes), top + height)], _GREY)
    _names(picture, classes, len(classes), (left, top), height / len(classes), upright=False)
    _names(picture, names, len(classes), (left, top), width / len(names), upright=True)
    draw.text((left + width // 2, top - _GAP - _NAMES - _AXIS // 2), "predicted", _GREY, font(13), anchor="mm")
    _upright(picture, "true class", (_MARGIN + _AXIS // 2, top + height // 2), font(13), _GREY, centred=True)
    _scale(picture, (min(left, size[0] - _MARGIN - _SCALE_WIDTH - _SCALE_NOTE), top + height + _MARGIN))
    return picture


def _shares(table_CD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row in shares of its sum, zeros where that is zero; and which rows have any."""
    sums_C = table_CD.sum(axis=1)
    return table_CD / np.maximum(sums_C, 1)[:, None], sums_C > 0


def _colours(share_CD: np.ndarray, tested_C: np.ndarray) -> np.ndarray:
    """Return colours, uint8 (C, D, 3): of the square root of the share, so that rare confusions are seen too; 0 is white."""
    colours_CD3 = matplotlib.colormaps[_COLOURS](np.sqrt(share_CD), bytes=True)[..., :3].copy()
    colours_CD3[share_CD == 0] = _PAPER
    colours_CD3[~tested_C] = _PALE
    return np.ascontiguousarray(colours_CD3)


def _headings(draw: ImageDraw.ImageDraw, title: str, line: str, room: int) -> None:
    draw.text((_MARGIN, _MARGIN), fitted(title, room, font(22, bold=True)), _INK, font(22, bold=True), anchor="lt")
    draw.text((_MARGIN, _MARGIN + 34), fitted(line, room, font(14)), _GREY, font(14), anchor="lt")


def _numbers(draw: ImageDraw.ImageDraw, share_CD: np.ndarray, corner: tuple[int, int], cell: int) -> None:
    """Write percents into the cells that are not empty."""
    for (row, column), share in np.ndenumerate(share_CD):
        if share:
            middle = corner[0] + cell * column + cell // 2, corner[1] + cell * row + cell // 2
            ink, text = _PAPER if share > 0.25 else _INK, f"{100 * share:.0f}" if share >= 0.005 else "<1"
            draw.text(middle, text, ink, font(13 if cell > 40 else 11), anchor="mm")


def _names(
    picture: Image.Image, names: Sequence[str], classes: int, corner: tuple[int, int], cell: float, *, upright: bool
) -> None:
    """Write the names beside their rows, or above their columns; of many every second, third, … with a mark at its place.

    What comes after the classes is always named.
    """
    left, top = corner
    letters = font(13 if cell > 40 else _LETTERS)
    draw, every = ImageDraw.Draw(picture), max(1, int(np.ceil(_APART / cell)))
    after = list(range(classes, len(names)))
    for number in [*range(0, classes - (every - 1 if after else 0), every), *after]:
        text, middle = fitted(names[number], _NAMES, letters), round(cell * (number + 0.5))
        if upright:
            draw.line([(left + middle, top - 5), (left + middle, top - 2)], _GREY)
            _upright(picture, text, (left + middle, top - _GAP), letters, _INK)
        else:
            draw.line([(left - 5, top + middle), (left - 2, top + middle)], _GREY)
            draw.text((left - _GAP, top + middle), text, _INK, letters, anchor="rm")


def _upright(
    picture: Image.Image,
    text: str,
    foot: tuple[int, int],
    letters: ImageFont.FreeTypeFont,
    ink: tuple[int, int, int],
    *,
    centred: bool = False,
) -> None:
    """Write a text from below upwards; `foot` is the middle of its beginning, or of the whole."""
    length, height = max(1, round(letters.getlength(text))), sum(letters.getmetrics())
    mask = Image.new("L", (length, height))
    ImageDraw.Draw(mask).text((0, height // 2), text, 255, letters, anchor="lm")
    turned = mask.transpose(Image.Transpose.ROTATE_90)
    place = foot[0] - height // 2, foot[1] - (length // 2 if centred else length)
    picture.paste(Image.new("RGB", turned.size, ink), place, turned)


def _scale(picture: Image.Image, corner: tuple[int, int]) -> None:
    """Draw which colour is which share."""
    (left, top), draw = corner, ImageDraw.Draw(picture)
    steps_1S = np.linspace(0, 1, _SCALE_WIDTH)[None] ** 2
    strip = Image.fromarray(_colours(steps_1S, np.array([True])))
    picture.paste(strip.resize((_SCALE_WIDTH, _SCALE_HEIGHT), Image.Resampling.NEAREST), corner)
    draw.rectangle((left - 1, top - 1, left + _SCALE_WIDTH, top + _SCALE_HEIGHT), None, _PALE)
    for percent in (0, 5, 25, 50, 100):
        at = left + (percent / 100) ** 0.5 * (_SCALE_WIDTH - 1)
        draw.line([(at, top + _SCALE_HEIGHT), (at, top + _SCALE_HEIGHT + 3)], _GREY)
        draw.text((at, top + _SCALE_HEIGHT + 6), f"{percent}%", _GREY, font(11), anchor="mt")
    said = "of the true class's test videos"
    draw.text((left + _SCALE_WIDTH + 24, top + _SCALE_HEIGHT // 2), said, _GREY, font(12), anchor="lm")
