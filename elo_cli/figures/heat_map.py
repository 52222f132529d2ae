"""A loss as a heat map, like the paper's Figure 8: what a term reads downwards, its task across."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from PIL import Image, ImageDraw

from elo_cli.core.clip import MODALITIES
from elo_cli.core.weights import Term
from elo_cli.figures.lettering import fitted, font

_CELL_WIDTH, _CELL_HEIGHT, _MARGIN, _HEADING = 84, 34, 28, 76
_LABEL = 130  # width of the names of rows
_NARROWEST = 520  # leaves room for the heading
_INK, _GREY, _PALE, _PAPER = (25, 25, 28), (100, 100, 107), (228, 228, 233), (255, 255, 255)


@dataclass(frozen=True)
class Grid:
    """The weights of a loss in rows and columns.

    Attributes:
        rows: what is read: `rgb`, `rgb-flow`, `flow-to-rgb`, …
        columns: tasks, with the stage they act on: `distill.3`.
        weights: λ where there is such a term, None elsewhere; a list for each row.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    weights: tuple[tuple[float | None, ...], ...]


def grid(weights: Mapping[Term, float]) -> Grid:
    """Lay the terms of a loss out; single modalities first, then pairs, in the order of MODALITIES."""
    place = {(_read(term), _task(term)): weight for term, weight in weights.items()}
    rows = sorted({_read(term): _rank(term) for term in weights}.items(), key=lambda row: row[1])
    columns = sorted({(term.task, term.site or 0) for term in weights})
    names = tuple(task if not site else f"{task}.{site}" for task, site in columns)
    return Grid(
        tuple(name for name, _ in rows),
        names,
        tuple(tuple(place.get((row, column)) for column in names) for row, _ in rows),
    )


def heat_map(shown: Grid, heading: str, line: str) -> Image.Image:
    """Draw a grid: white is 0, dark is 1, and empty where there is no such term."""
    width = max(2 * _MARGIN + _LABEL + _CELL_WIDTH * len(shown.columns), _NARROWEST)
    picture = Image.new("RGB", (width, 2 * _MARGIN + _HEADING + _CELL_HEIGHT * (len(shown.rows) + 1)), _PAPER)
    draw = ImageDraw.Draw(picture)
    room = width - 2 * _MARGIN
    draw.text((_MARGIN, _MARGIN), fitted(heading, room, font(22, bold=True)), _INK, font(22, bold=True), anchor="lt")
    draw.text((_MARGIN, _MARGIN + 34), fitted(line, room, font(14)), _GREY, font(14), anchor="lt")
    top, left = _MARGIN + _HEADING, _MARGIN + _LABEL
    for number, name in enumerate(shown.columns):
        middle = left + _CELL_WIDTH * number + _CELL_WIDTH // 2
        draw.text((middle, top + _CELL_HEIGHT - 8), fitted(name, _CELL_WIDTH - 6, font(13)), _INK, font(13), anchor="ms")
    for row, (name, weights) in enumerate(zip(shown.rows, shown.weights, strict=True), start=1):
        above = top + _CELL_HEIGHT * row
        draw.text((left - 10, above + _CELL_HEIGHT // 2), fitted(name, _LABEL - 14, font(13)), _INK, font(13), anchor="rm")
        for column, weight in enumerate(weights):
            _cell(draw, left + _CELL_WIDTH * column, above, weight)
    return picture


def _cell(draw: ImageDraw.ImageDraw, left: int, top: int, weight: float | None) -> None:
    box = (left + 1, top + 1, left + _CELL_WIDTH - 2, top + _CELL_HEIGHT - 2)
    if weight is None:
        return
    red, green, blue, _ = matplotlib.colormaps["Blues"](weight, bytes=True)
    draw.rectangle(box, (int(red), int(green), int(blue)), _PALE)
    ink = _PAPER if weight > 0.55 else _INK
    middle = (left + _CELL_WIDTH // 2, top + _CELL_HEIGHT // 2)
    draw.text(middle, "0" if weight == 0 else f"{weight:.2f}", ink, font(13), anchor="mm")


def _read(term: Term) -> str:
    return str(term).partition(".")[0]


def _task(term: Term) -> str:
    return str(term).partition(".")[2]


def _rank(term: Term) -> tuple[int, bool, Sequence[int]]:
    order = [MODALITIES.index(name) if name in MODALITIES else len(MODALITIES) for name in term.modalities]
    return len(order), term.directed, order
