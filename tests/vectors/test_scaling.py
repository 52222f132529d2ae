"""Scalings do what they say, keep the size of features out, and what cannot be told apart is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elo_cli.core.errors import UsageError
from elo_cli.core.seeds import numpy_generator
from elo_cli.vectors.scaling import SCALINGS, check_scaling, collapse, scale, scaled_or_collapsed

NOISE = numpy_generator(0, "noise").standard_normal((80, 4))


def test_scalings_do_what_they_say() -> None:
    matrix = np.hstack([NOISE * [1, 5, 0.1, 2] + [3, 0, 0, -9], np.full((80, 1), 1 / 3)])
    standard = scale(matrix, "standardize")
    assert standard.shape == (80, 4)
    assert standard.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-9)
    assert standard.std(axis=0) == pytest.approx(np.ones(4))
    assert np.linalg.norm(scale(matrix, "unit"), axis=1) == pytest.approx(np.ones(80))
    assert np.mean(np.sum(scale(matrix, "rms") ** 2, axis=1)) == pytest.approx(1)
    white = scale(np.hstack([matrix, matrix[:, :2]]), "whiten")
    assert white.shape == (80, 4)
    assert white.T @ white / 80 == pytest.approx(np.eye(4), abs=1e-6)
    assert scale(matrix, "none") is matrix


@settings(max_examples=60, deadline=None)
@given(scaling=st.sampled_from([name for name in SCALINGS if name != "none"]), exponent=st.integers(-60, 60))
def test_a_power_of_two_changes_no_bit(scaling: str, exponent: int) -> None:
    if scaling == "whiten":  # the eigenvectors' solver looks at the size
        assert scale(NOISE * 2.0**exponent, scaling) == pytest.approx(scale(NOISE, scaling), rel=1e-6)
    else:
        assert (scale(NOISE * 2.0**exponent, scaling) == scale(NOISE, scaling)).all()


def test_a_row_of_zeros_has_no_direction_and_stays() -> None:
    assert scale(np.array([[0.0, 0.0], [3.0, 4.0]]), "unit").tolist() == [[0, 0], [0.6, 0.8]]


@pytest.mark.parametrize(
    ("matrix", "clusters", "reason"),
    [
        (np.full((3, 2), np.nan), 1, "3 of 3 rows hold NaN"),
        (np.empty((3, 0)), 1, "no feature varies"),
        (np.empty((0, 3)), 1, "no feature varies"),
        (np.zeros((3, 2)), 1, "all rows are equal"),
        (np.array([[0.0], [-0.0]]), 1, "all rows are equal"),
        (1 + 1e-8 * NOISE, 1, "up to rounding"),
        (np.repeat(NOISE[:2], 3, axis=0), 3, "only 2 of 6 rows are distinct, fewer than the 3 clusters"),
        (np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 2.0]]), 3, "only 2 of 3"),
        (np.repeat(NOISE[:2], 3, axis=0), 2, None),
        (1e-300 * NOISE, 80, None),
        (1e300 * NOISE, 80, None),
    ],
)
def test_what_cannot_be_told_apart_is_named(matrix: np.ndarray, clusters: int, reason: str | None) -> None:
    found = collapse(matrix, clusters)
    assert (found is None) if reason is None else (found is not None and reason in found)


def test_a_scaling_that_makes_rows_equal_is_found() -> None:
    ray = np.linspace(1, 9, 60)[:, None] * NOISE[:1]
    assert scaled_or_collapsed(ray, "unit", 2)[1] is not None
    scaled, reason = scaled_or_collapsed(ray.astype(np.float32), "rms", 2)
    assert reason is None and scaled.dtype == np.float64


def test_an_unknown_scaling_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        check_scaling("standardise")
    assert "Did you mean 'standardize'?" in caught.value.hint
