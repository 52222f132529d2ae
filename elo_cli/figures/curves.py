"""Accuracy against the number of labelled training videos: the paper's Figure 5, which is its Table 3."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from PIL import Image

from elo_cli.figures.lettering import fitted, font
from elo_cli.figures.plots import empty_plot, picture_of

Curve = Sequence[Mapping[str, Any]]

# Okabe and Ito's colours, which all kinds of colour vision tell apart; without their yellow, which is too pale for lines.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKS = "os^Dv"
_GREYS, _DASHES = ("#55555c", "#9a9aa2"), ((0, (5, 2)), (0, (2, 1.5)))  # of the paper's curves
_NAME, _ENTRY = 200, 0.24  # pixels of a name at most; height of an entry of the legend in inches
_MOST = 40  # entries of the legend; curves after them are drawn, not named


def accuracy_by_labels(curves: Mapping[str, Curve], *, dataset: str, paper: Mapping[str, Curve] | None = None) -> Image.Image:
    """Draw a line for each representation, with a bar of ± deviation where there is one, over a logarithmic axis.

    Args:
        curves: of each representation at least one point, with `labels` (at least 1), `accuracy`, a share, and `deviation`, a
            share or None.
        dataset: what was scored, said at the axis.
        paper: of each method of the paper the same, drawn dashed and named as the paper's; None to leave them out.
    """
    named = [*curves, *(paper or {})]
    height = max(4.2, _ENTRY * min(len(named), _MOST) + 0.8)
    figure, axes = empty_plot(8.6, height)
    lines: list[tuple[Line2D, str]] = []
    for number, (name, curve) in enumerate(curves.items()):
        labels, percent, spread = _points(curve)
        colour, mark = _COLOURS[number % len(_COLOURS)], _MARKS[number // len(_COLOURS) % len(_MARKS)]
        axes.errorbar(labels, percent, spread, color=colour, linestyle="none", capsize=3, elinewidth=1, alpha=0.8)
        lines.append((axes.plot(labels, percent, color=colour, marker=mark, markersize=5)[0], name))
    for number, (name, curve) in enumerate((paper or {}).items()):
        labels, percent, _ = _points(curve)
        colour, dashes = _GREYS[number % len(_GREYS)], _DASHES[number // len(_GREYS) % len(_DASHES)]
        lines.append((axes.plot(labels, percent, color=colour, linestyle=dashes, linewidth=1.2)[0], f"paper: {name}"))
    axes.set_xscale("log")
    axes.set_xlim(*_limits(point["labels"] for point in chain(*curves.values(), *(paper or {}).values())))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda labels, _: _short(labels)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="#e4e4e9", linewidth=0.8)
    axes.set_xlabel("labelled training videos")
    axes.set_ylabel(_plain(f"accuracy on {dataset} (%)", 380), parse_math=False)
    _legend(figure, lines[:_MOST])
    return picture_of(figure)


def _points(curve: Curve) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Return labels, accuracies and deviations in percent, by number of labels; NaN, which draws no bar, where there is none."""
    ordered = sorted(curve, key=lambda point: int(point["labels"]))
    spread = [np.nan if point.get("deviation") is None else point["deviation"] for point in ordered]
    return (
        [point["labels"] for point in ordered],
        100 * np.array([point["accuracy"] for point in ordered], dtype=float),
        100 * np.array(spread, dtype=float),
    )


def _limits(labels: Iterable[int]) -> tuple[float, float]:
    """Leave some room on both sides; matplotlib would leave none for a single number of labels."""
    there = list(labels)
    return min(there) / 1.25, max(there) * 1.25


def _short(labels: float) -> str:
    """Write a number of labels as the paper does: 400, 2k, 225k."""
    return f"{labels / 1000:g}k" if labels >= 1000 else f"{labels:g}"


def _plain(text: str, width: int) -> str:
    """Bring any text into a form that can be drawn in `width` pixels."""
    return fitted(text, width, font(13))


def _legend(figure: Figure, lines: Sequence[tuple[Line2D, str]]) -> None:
    """Name the curves at the right; names are put in afterwards, for matplotlib leaves out those that begin with `_`."""
    handles, names = zip(*lines, strict=True)
    numbers = [str(number) for number in range(len(names))]
    legend = figure.legend(handles, numbers, loc="outside right upper", frameon=False, fontsize=9)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)  # a name may hold a dollar
        text.set_text(_plain(name, _NAME))
