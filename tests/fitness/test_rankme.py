"""RankMe: spectra whose rank is known, and the formula of the paper."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elo_cli.core.features import Features
from elo_cli.core.seeds import numpy_generator
from elo_cli.fitness import SHELF, rankme


def as_features(matrix: np.ndarray) -> Features:
    return Features(matrix, tuple(map(str, range(len(matrix)))), (None,) * len(matrix))


def with_spectrum(values: list[float], rows: int = 30) -> np.ndarray:
    """Make a matrix of these singular values, turned at random."""
    random = numpy_generator(0, "turn", *map(str, values))
    left, _ = np.linalg.qr(random.standard_normal((rows, len(values))))
    right, _ = np.linalg.qr(random.standard_normal((len(values), len(values))))
    turned: np.ndarray = left * values @ right.T
    return turned


@pytest.mark.parametrize("rank", [1, 2, 7, 20])
def test_equal_directions_count_fully(rank: int) -> None:
    report = rankme.measure(as_features(with_spectrum([3.0] * rank)), seed=0)
    assert report.value == pytest.approx(rank, rel=1e-4)
    assert report.details["largest_share"] == pytest.approx(1 / rank)
    assert report.larger_is_better and report.score == report.value


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=12))
def test_it_is_the_formula_of_the_paper(values: list[float]) -> None:
    shares = [value / sum(values) + 1e-7 for value in values]
    expected = math.exp(-sum(share * math.log(share) for share in shares))
    assert rankme.measure(as_features(with_spectrum(values)), seed=0).value == pytest.approx(expected, rel=1e-6)


def test_missing_directions_count_for_their_epsilon() -> None:
    matrix = np.hstack([with_spectrum([1.0, 1.0]), np.zeros((30, 5))])
    entropy = -2 * (0.5 + 1e-7) * math.log(0.5 + 1e-7) - 5 * 1e-7 * math.log(1e-7)
    assert rankme.measure(as_features(matrix), seed=0).value == pytest.approx(math.exp(entropy), rel=1e-6)


def test_features_are_not_centred() -> None:
    matrix = with_spectrum([1.0] * 8)
    assert rankme.measure(as_features(matrix + 100), seed=0).value < 1.1 < rankme.measure(as_features(matrix), seed=0).value


def test_the_number_of_rows_bounds_it() -> None:
    report = rankme.measure(as_features(numpy_generator(0, "wide").standard_normal((5, 50))), seed=0)
    assert 4 < report.value <= 5.001 and report.details["possible"] == 5


def test_the_shelf_holds_it() -> None:
    assert SHELF.take("rankme") is rankme
