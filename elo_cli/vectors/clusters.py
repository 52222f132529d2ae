"""Clusters of vectors: one run of k-means, whether its centres differ, and what they hold of labelled rows.

Whoever wants the same numbers for every thread count limits the threads to one around these.

Shape legend: N rows, D features, K clusters, C classes.
"""

import math
import warnings

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from elo_cli.vectors.scaling import ROUNDING


def k_means(matrix_ND: np.ndarray, clusters: int, seed: int) -> KMeans:
    """Run k-means once, from k-means++ centres.

    Args:
        matrix_ND: at least as many rows as clusters. Where fewer are distinct, some clusters stay empty;
            `distinct_centres` tells.
        clusters: k.
        seed: of scikit-learn's generator, in [0, 2**32).

    Returns:
        scikit-learn's estimator, fitted: `cluster_centers_`, `labels_`, `inertia_`, `predict`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it says that fewer rows are distinct
        return KMeans(clusters, n_init=1, random_state=seed).fit(matrix_ND)


def root_mean_square(matrix_ND: np.ndarray) -> float:
    """Return the root of the mean squared length of the rows."""
    return math.sqrt(np.mean(np.sum(matrix_ND**2, axis=1)))


def distinct_centres(centres_KD: np.ndarray, size: float) -> bool:
    """Say whether all centres differ by more than rounding; `size` is what the rows' `root_mean_square` says."""
    return len(centres_KD) < 2 or float(pdist(centres_KD).min()) > ROUNDING * size


def count(cluster_N: np.ndarray, label_N: np.ndarray, clusters: int, classes: int) -> np.ndarray:
    """Return how many rows of each class each cluster holds: (clusters, classes)."""
    table_KC = np.zeros((clusters, classes), dtype=np.int64)
    np.add.at(table_KC, (cluster_N, label_N), 1)
    return table_KC


def majority(table_KC: np.ndarray) -> np.ndarray:
    """Return the commonest class of each cluster; the first of several, and of all rows where a cluster is empty."""
    label_K: np.ndarray = table_KC.argmax(axis=1)
    label_K[table_KC.sum(axis=1) == 0] = table_KC.sum(axis=0).argmax()
    return label_K
