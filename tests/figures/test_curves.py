"""Accuracy by number of labels: drawn whatever the numbers and names are, and what is in it can be seen."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from elo_cli.figures.curves import accuracy_by_labels

BLUE, ORANGE = (0, 114, 178), (213, 94, 0)  # the first two of Okabe and Ito's colours that are used


def curve(slope: float, deviation: float | None = None, counts: tuple[int, ...] = (12, 48, 192, 768)) -> list[dict[str, Any]]:
    return [{"labels": n, "accuracy": slope * np.log(n), "deviation": deviation} for n in counts]


def pixels(picture: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    """The rows and columns, (2, n), of a colour left of the legend."""
    rgb = np.asarray(picture.convert("RGB")).astype(int)[:, : picture.width * 3 // 4]
    return np.array(np.nonzero((np.abs(rgb - colour) < 12).all(axis=2)))


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and bool(np.array_equal(np.asarray(one), np.asarray(other)))


def test_larger_accuracies_are_higher_and_more_labels_further_right() -> None:
    picture = accuracy_by_labels({"elo": curve(0.1), "untrained": curve(0.05)}, dataset="hmdb51")
    upper, lower = pixels(picture, BLUE), pixels(picture, ORANGE)
    assert upper.shape[1] > 300 and lower.shape[1] > 300
    assert upper[0].mean() < lower[0].mean(), "rows are counted from above"
    begin, end = upper[0][upper[1] < np.percentile(upper[1], 10)], upper[0][upper[1] > np.percentile(upper[1], 90)]
    assert begin.mean() > end.mean()


def test_the_axis_of_labels_is_logarithmic() -> None:
    """Points at 10, 100 and 1000 labels stand equally far apart."""
    straight = [{"labels": 10**power, "accuracy": 0.2 * power, "deviation": None} for power in (1, 2, 3)]
    rows, columns = pixels(accuracy_by_labels({"elo": straight}, dataset="d"), BLUE)
    fit = np.polyfit(columns, rows, 1)
    assert np.abs(np.polyval(fit, columns) - rows).max() < 8, "a straight line, but for its marks"


def test_deviations_are_bars_where_there_are_any() -> None:
    without = accuracy_by_labels({"elo": curve(0.1)}, dataset="d")
    zero, small, large = (accuracy_by_labels({"elo": curve(0.1, by)}, dataset="d") for by in (0.0, 0.02, 0.1))
    height = [np.ptp(pixels(picture, BLUE)[0]) for picture in (without, small, large)]
    assert not same(without, small) and not same(small, large) and not same(without, zero)
    assert height[0] > 0
    mixed = [{**point, "deviation": point["deviation"] if number else None} for number, point in enumerate(curve(0.1, 0.1))]
    assert not same(accuracy_by_labels({"elo": mixed}, dataset="d"), large)


def test_points_may_come_in_any_order() -> None:
    points = curve(0.1, 0.02)
    assert same(accuracy_by_labels({"elo": points}, dataset="d"), accuracy_by_labels({"elo": points[::-1]}, dataset="d"))


def test_the_papers_curves_are_drawn_only_if_given() -> None:
    ours, theirs = {"elo": curve(0.1)}, {"ELO (unsupervised)": curve(0.08, counts=(400, 2000, 225_000))}
    alone, beside = accuracy_by_labels(ours, dataset="d"), accuracy_by_labels(ours, dataset="d", paper=theirs)
    assert same(alone, accuracy_by_labels(ours, dataset="d", paper={}))
    grey = (0x55, 0x55, 0x5C)
    columns = np.unique(pixels(beside, grey)[1])
    assert np.diff(columns).max() >= 3, "dashed"
    assert pixels(beside, grey).shape[1] > pixels(alone, grey).shape[1] + 100
    named = accuracy_by_labels(ours, dataset="d", paper={"Another name": next(iter(theirs.values()))})
    assert not same(named, beside)


@pytest.mark.parametrize(
    "names", [["$\\frac{"], ["_hidden"], ["x" * 5000], ["中文\n\x07\udcff"], ["", "$x$ _"], [f"r{i}" for i in range(60)]]
)
def test_names_of_any_kind(names: list[str]) -> None:
    picture = accuracy_by_labels({name: curve(0.01 * (n + 1)) for n, name in enumerate(names)}, dataset=names[0])
    assert picture.width < 1000 and picture.height < 1300
    plain = accuracy_by_labels({f"{n}": curve(0.01 * (n + 1)) for n in range(len(names))}, dataset=names[0])
    assert not same(picture, plain), "names are drawn"


@pytest.mark.parametrize(
    "points", [[(1, 0.0, None)], [(100, 1.0, 0.5)], [(12, 0.5, 0.1), (13, 0.5, None)], [(1, 0.1, 0.0), (10**7, 0.9, 0.0)]]
)
def test_few_and_far_points(points: list[tuple[int, float, float | None]]) -> None:
    curves = {"elo": [{"labels": n, "accuracy": a, "deviation": d} for n, a, d in points]}
    assert pixels(accuracy_by_labels(curves, dataset="d"), BLUE).shape[1] > 10
