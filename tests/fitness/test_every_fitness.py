"""One battery for every fitness there is: collapse, scale, threads, determinism, details."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from elo_cli.core.features import Features
from elo_cli.core.seeds import numpy_generator
from elo_cli.fitness import SHELF, FitnessReport

NAMES = SHELF.names()
# Few runs and clusters, so that a case takes milliseconds.
SETTINGS: dict[str, dict[str, Any]] = {"zipf": {"clusters": 6, "runs": 2}, "weak": {"labelled_clusters": 6, "runs": 2}}
CLUSTERING = {"zipf", "weak"}  # those that need some different rows
NOISE = numpy_generator(0, "noise").standard_normal((60, 16))
LABELS = tuple("abcd" * 15)

pytestmark = pytest.mark.parametrize("name", NAMES)


def measure(name: str, matrix: np.ndarray, seed: int = 0, **changes: Any) -> FitnessReport:
    features = Features(matrix, tuple(map(str, range(len(matrix)))), LABELS[: len(matrix)])
    report: FitnessReport = SHELF.take(name).measure(features, seed=seed, **{**SETTINGS.get(name, {}), **changes})
    return report


COLLAPSED = {
    "nan": (np.where(np.eye(60, 16) * np.arange(60)[:, None] == 3, np.nan, NOISE), "1 of 60 rows hold NaN"),
    "infinite": (np.where(np.arange(60)[:, None] < 2, np.inf, NOISE), "2 of 60 rows hold NaN"),
    "zeros": (np.zeros((60, 16)), "all rows are equal"),
    "equal": (np.full((60, 16), 0.1), "all rows are equal"),
    "equal up to rounding": (1 + 1e-7 * NOISE, "all rows are equal up to rounding"),
    "tiny and equal up to rounding": (1e-30 * (1 + 1e-7 * NOISE), "all rows are equal up to rounding"),
    "no features": (np.empty((60, 0)), "no feature varies"),
}
FEW = {
    "too few distinct": (np.repeat(NOISE[:4], 15, axis=0), "only 4 of 60 rows are distinct"),
    "too few distinct up to rounding": (np.repeat(NOISE[:4], 15, axis=0) + 1e-8 * NOISE, "distinct"),
}


@pytest.mark.parametrize("kind", [*COLLAPSED, *FEW])
def test_collapse_comes_out_worst_and_by_name(name: str, kind: str) -> None:
    matrix, reason = (COLLAPSED | FEW)[kind]
    report = measure(name, matrix)
    if kind in FEW and name not in CLUSTERING:
        assert report.collapsed is None and report.score < measure(name, NOISE).score  # it scores few directions low
        return
    assert report.collapsed is not None and reason in report.collapsed
    assert report.value == (0.0 if report.larger_is_better else math.inf)
    assert report.score == -math.inf
    json.dumps(report.details, allow_nan=False)


def test_features_of_few_directions_lose_against_full_ones(name: str) -> None:
    few = NOISE[:, :2] @ numpy_generator(0, "mix").standard_normal((2, 16))
    if name not in CLUSTERING:  # of noise, clusters say nothing
        assert measure(name, few).score < measure(name, NOISE).score


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(1e-12, 1e12))
def test_the_size_of_features_does_not_matter(name: str, factor: float) -> None:
    first, again = measure(name, NOISE), measure(name, NOISE * factor)
    assert again.value == pytest.approx(first.value, rel=1e-6)
    assert again.collapsed is None


def test_features_far_beyond_and_below_float32_are_measured(name: str) -> None:
    values = [measure(name, NOISE * factor).value for factor in (1.0, 1e-150, 1e150)]
    assert values[1:] == pytest.approx([values[0]] * 2, rel=1e-6)


def test_a_function_of_features_seed_and_settings(name: str) -> None:
    np.random.seed(1)
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr,index]
    matrix = NOISE.copy()
    assert measure(name, matrix, seed=4) == measure(name, NOISE, seed=4)
    assert (matrix == NOISE).all(), "features are left as they are"
    assert (np.random.get_state()[1] == before).all(), "and so is the global generator"  # type: ignore[index]


def test_the_seed_decides_what_is_drawn(name: str) -> None:
    first, other = measure(name, NOISE, seed=4), measure(name, NOISE, seed=5)
    assert (first == other) == (name not in CLUSTERING)


def test_the_number_of_threads_changes_no_bit(name: str) -> None:
    matrix = numpy_generator(0, "large").standard_normal((600, 128))
    features = Features(matrix, tuple(map(str, range(600))), tuple("abcd" * 150))
    reports = []
    for threads in (1, 4):
        with threadpool_limits(limits=threads):
            reports.append(SHELF.take(name).measure(features, seed=0, **SETTINGS.get(name, {})))
    assert reports[0] == reports[1]


def test_float32_rows_are_measured_like_the_same_numbers_in_float64(name: str) -> None:
    small = NOISE.astype(np.float32)
    assert measure(name, small) == measure(name, small.astype(np.float64))


def test_details_are_json(name: str) -> None:
    report = measure(name, NOISE)
    assert json.loads(json.dumps(report.details, allow_nan=False)) == report.details
    assert math.isfinite(report.value) and report.collapsed is None and math.isfinite(report.score)
