"""One run of k-means, its centres, and what clusters hold."""

import math
import warnings

import numpy as np
import pytest

from elo_cli.vectors.clusters import count, distinct_centres, k_means, majority, root_mean_square


def test_planted_clusters_are_found() -> None:
    rows = np.array([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 2.0], [10.0, 4.0]])
    fitted = k_means(rows, 2, 0)
    assert sorted(fitted.cluster_centers_.tolist()) == [[0, 1], [10, 2]]
    assert fitted.inertia_ == pytest.approx(2 + 8)
    assert (k_means(rows, 2, 0).labels_ == fitted.labels_).all()


def test_empty_clusters_are_silent_and_found_in_the_centres() -> None:
    rows = np.repeat([[0.0], [1.0]], 4, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        centres = k_means(rows, 3, 0).cluster_centers_
    assert not distinct_centres(centres, root_mean_square(rows))
    assert distinct_centres(k_means(rows, 2, 0).cluster_centers_, root_mean_square(rows))
    assert distinct_centres(rows[:1], 1.0)


def test_root_mean_square() -> None:
    assert root_mean_square(np.array([[3.0, 4.0], [0.0, 1.0]])) == pytest.approx(math.sqrt(13))


def test_majority_breaks_ties_by_order_and_fills_empty_clusters() -> None:
    table = count(np.array([0, 0, 2, 2, 2]), np.array([1, 0, 1, 1, 0]), 3, 2)
    assert table.tolist() == [[1, 1], [0, 0], [1, 2]]
    assert majority(table).tolist() == [0, 1, 1]
