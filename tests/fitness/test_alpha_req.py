"""α-ReQ: planted power laws, the fitted range, and spectra that are too short or lack directions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elo_cli.core.features import Features
from elo_cli.core.seeds import numpy_generator
from elo_cli.fitness import SHELF, alpha_req


def as_features(matrix: np.ndarray) -> Features:
    return Features(matrix, tuple(map(str, range(len(matrix)))), (None,) * len(matrix))


def with_law(alpha: float, dimensions: int, rows: int, *, missing: int = 0, offset: float = 0.0) -> np.ndarray:
    """Make rows whose covariance has exactly the eigenvalues i^-α; the last `missing` ones are 0."""
    random = numpy_generator(0, "law", dimensions, rows)
    noise = random.standard_normal((rows, dimensions))
    left, _ = np.linalg.qr(noise - noise.mean(axis=0))
    right, _ = np.linalg.qr(random.standard_normal((dimensions, dimensions)))
    deviation = np.arange(1, dimensions + 1) ** (-alpha / 2)
    deviation[dimensions - missing :] = 0
    law: np.ndarray = left * deviation @ right.T + offset
    return law


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 1.7, 3.0])
@pytest.mark.parametrize(("dimensions", "rows"), [(6, 40), (32, 100), (96, 300), (250, 400)])
def test_a_planted_law_is_found(alpha: float, dimensions: int, rows: int) -> None:
    report = alpha_req.measure(as_features(with_law(alpha, dimensions, rows, offset=5.0)), seed=0)
    assert report.details["alpha"] == pytest.approx(alpha, abs=1e-6)
    assert report.value == pytest.approx(abs(alpha - 1), abs=1e-6)
    assert not report.larger_is_better and report.score == -report.value
    assert report.details["r2"] == pytest.approx(1, abs=1e-6) or alpha == 0


@pytest.mark.parametrize(
    ("rows", "dimensions", "first", "last"),
    [(300, 96, 4, 48), (2000, 512, 4, 100), (40, 512, 4, 19), (300, 10, 3, 5), (7, 6, 1, 3)],
)
def test_the_range_is_the_documented_one(rows: int, dimensions: int, first: int, last: int) -> None:
    matrix = numpy_generator(0, "range").standard_normal((rows, dimensions))
    details = alpha_req.measure(as_features(matrix), seed=0).details
    assert (details["first"], details["last"]) == (first, last)


@settings(max_examples=60)
@given(st.lists(st.floats(1e-6, 1e6), min_size=6, max_size=40), st.integers(1, 3))
def test_the_fit_is_weighted_least_squares(values: list[float], first: int) -> None:
    ordered = np.sort(values)[::-1]
    last = len(values)
    ranks = np.arange(first, last + 1)
    root = np.sqrt(1 / ranks)  # NumPy's weights multiply the residual, not its square
    slope, constant = np.polyfit(np.log(ranks), np.log(ordered[first - 1 :]), 1, w=root)
    found = alpha_req.fit_power_law(ordered, first, last)
    assert found["alpha"] == pytest.approx(-slope, rel=1e-6, abs=1e-8)
    assert 0 <= found["r2"] <= 1
    assert math.isfinite(constant)


def test_wide_and_tall_matrices_agree() -> None:
    # The same rows, with directions added in which nothing varies: the smaller product changes, the spectrum does not.
    matrix = numpy_generator(0, "tall").standard_normal((60, 59))
    wide = np.hstack([matrix, np.zeros((60, 30))])
    first, second = (alpha_req.measure(as_features(each), seed=0) for each in (matrix, wide))
    assert first.value == pytest.approx(second.value, rel=1e-9)


def test_missing_directions_count_against_it() -> None:
    whole = alpha_req.measure(as_features(with_law(1.0, 96, 300)), seed=0)
    lacking = alpha_req.measure(as_features(with_law(1.0, 96, 300, missing=80)), seed=0)
    assert lacking.details["alpha"] > 5 and lacking.score < whole.score and lacking.collapsed is None


@pytest.mark.parametrize(("rows", "dimensions"), [(6, 50), (50, 5), (2, 2)])
def test_too_few_directions_are_named(rows: int, dimensions: int) -> None:
    report = alpha_req.measure(as_features(numpy_generator(0, "few").standard_normal((rows, dimensions))), seed=0)
    assert report.collapsed is not None and "too few for a law" in report.collapsed
    assert report.value == math.inf and report.score == -math.inf


def test_the_shelf_holds_it() -> None:
    assert SHELF.take("alpha-req") is alpha_req
