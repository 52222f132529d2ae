"""The paper's weakly supervised baseline: how well clusters of a small labelled set tell its classes (3.2.2).

"k-means clustering is applied to the output representation of the RGB stream. The clusters are used for
nearest-neighbors classification and the accuracy is the fitness of the individual", averaged over 20 runs.
Larger is better.

The paper is silent on the number of clusters, on what is done to the features first, and on which videos are
classified. Here, in each run, one half of every class is clustered and gives each cluster the name of its
commonest label; the other half is classified by its nearest centre, and accuracy is of that half alone. A
cluster that is named by the very videos that it then classifies would flatter many small clusters: with as
many clusters as videos it is right about everything.

Shape legend: N labelled rows, A rows that are clustered and name, B rows that are classified, D features,
K clusters, C classes.
"""

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive, numpy_generator
from elo_cli.fitness import FitnessReport
from elo_cli.vectors.clusters import count, distinct_centres, k_means, majority, root_mean_square
from elo_cli.vectors.scaling import check_scaling, scaled_or_collapsed

NEEDS_LABELS = True


def measure(
    features: Features, *, seed: int, labelled_clusters: int | None = None, runs: int = 20, scaling: str = "standardize"
) -> FitnessReport:
    """Measure the accuracy of named clusters on rows that did not name them, averaged over runs; larger is better.

    It runs on one thread, so that the number is the same from run to run and for every thread count.

    Args:
        features: rows with labels; those without are left out.
        seed: the halves and the k-means of each run follow from it.
        labelled_clusters: k; the paper is silent on it. None: as many as classes. At most the rows of one half.
        runs: how many runs are averaged, each with halves of its own; 20 in the paper.
        scaling: what is done to features first, over all labelled rows, as `elo_cli.vectors.scaling.scale` says; the
            paper is silent on it.

    Returns:
        The report, with value in [0, 1]: the share of rows that are classified rightly; 0 when collapsed. Its
        details hold the settings and `clusters`, `classes`, `rows` (with label), `unlabelled` (rows left out),
        `chance` (the accuracy of always answering the commonest class), `std` over runs and `runs_accuracy`.

    Raises:
        DataError: no row has a label, there is one class only, or a class has a single row.
        UsageError: a setting is out of its range, or there are more clusters than rows of one half.
    """
    check_scaling(scaling)
    if runs < 1:
        raise UsageError(f"weak cannot average over {runs} runs.", hint="Set runs to 1 or more; the paper has 20.")
    rows, label_N, classes = _labelled(features)
    clusters = len(classes) if labelled_clusters is None else labelled_clusters
    half = sum((size + 1) // 2 for size in np.bincount(label_N))
    if not 1 <= clusters <= half:
        raise UsageError(
            f"weak was asked for {clusters} clusters of {half} rows, the half of {len(rows)}.",
            hint="Leave labelled_clusters out for as many as classes, or set it between 1 and the rows of one half.",
        )
    details: dict[str, Any] = {
        "labelled_clusters": labelled_clusters,
        "runs": runs,
        "scaling": scaling,
        "clusters": clusters,
        "classes": len(classes),
        "rows": len(rows),
        "unlabelled": len(features) - len(rows),
        "chance": float(np.bincount(label_N).max() / len(rows)),
    }
    with threadpool_limits(limits=1):
        matrix_ND, reason = scaled_or_collapsed(features.matrix_ND[rows], scaling, clusters)
        accuracies: list[float] = []
        for run in range(runs if reason is None else 0):
            accuracy = _accuracy(matrix_ND, label_N, clusters, derive(seed, "weak", run))
            if accuracy is None:
                reason = f"fewer rows than the {clusters} clusters are distinct beyond rounding"
                break
            accuracies.append(accuracy)
    if reason is not None:
        return FitnessReport(0.0, larger_is_better=True, collapsed=reason, details=details)
    details |= {"std": float(np.std(accuracies)), "runs_accuracy": accuracies}
    return FitnessReport(float(np.mean(accuracies)), larger_is_better=True, details=details)


def halves(label_N: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Part rows at random into two halves of every class; of an odd number the first half gets one more.

    Args:
        label_N: the class of each row, from 0.
        seed: decides which rows go where.

    Returns:
        The numbers of the rows of either half, ascending.
    """
    random = numpy_generator(seed, "halves")
    shuffled = [random.permutation(np.flatnonzero(label_N == label)) for label in range(int(label_N.max()) + 1)]
    first = [rows[: (len(rows) + 1) // 2] for rows in shuffled]
    second = [rows[(len(rows) + 1) // 2 :] for rows in shuffled]
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def _labelled(features: Features) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the rows that have a label, their labels as numbers, and the classes by number."""
    rows = [row for row, label in enumerate(features.labels) if label is not None]
    if not rows:
        raise DataError(
            f"weak needs labels, and none of {len(features)} rows has one.",
            hint="Preprocess labelled videos, in folders named by class or from a list; or give elo fitness its --labels FILE.",
        )
    labels = [str(features.labels[row]) for row in rows]
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise DataError(f"All {len(rows)} labelled rows have the label '{classes[0]}'.", hint="Give at least two classes.")
    index = {label: number for number, label in enumerate(classes)}
    label_N = np.array([index[label] for label in labels])
    lonely = [name for name, size in zip(classes, np.bincount(label_N), strict=True) if size < 2]
    if lonely:
        raise DataError(
            f"{len(lonely)} of {len(classes)} classes have a single row, such as '{lonely[0]}'.",
            hint="One half of a class names clusters and the other is classified: give two or more of each, or leave it out.",
        )
    return np.array(rows), label_N, classes


def _accuracy(matrix_ND: np.ndarray, label_N: np.ndarray, clusters: int, seed: int) -> float | None:
    """Return the accuracy of one run; None where the half has fewer different rows than clusters."""
    named_A, judged_B = halves(label_N, seed)
    fitted = k_means(matrix_ND[named_A], clusters, derive(seed, "k-means") % 2**32)
    if not distinct_centres(fitted.cluster_centers_, root_mean_square(matrix_ND)):
        return None
    label_K = majority(count(fitted.labels_, label_N[named_A], clusters, int(label_N.max()) + 1))
    return float(np.mean(label_K[fitted.predict(matrix_ND[judged_B])] == label_N[judged_B]))
