"""The retrieval protocol: each test video asks for the training videos that are nearest to it.

As CoCLR (Han et al. 2020) and MVCGC score it: R@k is the share of queries with at least one video of their own class among
the k nearest by the cosine. Features are centred first, as CoCLR's published code does; but on the mean of the training side
alone, on both sides, so that no query's answer depends on the other queries.

Shape legend: N training rows, M test rows, B rows of a block, D features, K neighbours.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from elo_cli.core.features import Features
from elo_cli.protocols import Scores, Sides, checked, mean_per_class
from elo_cli.vectors.neighbours import cosines

DEPTHS = (1, 5, 10, 20, 50)


def evaluate(train: Features, test: Features, *, seed: int) -> Scores:
    """Score features, the means of a video's views, by retrieval; it is the same for every thread count.

    Args:
        train: labelled rows to search in.
        test: labelled rows; each is a query.
        seed: not used; nothing is drawn.

    Returns:
        `accuracy`, which is R@1; `recall_1` to `recall_50`, R@k for k = 1, 5, 10, 20, 50 as far as N goes; `map`, the mean
        over queries of the average precision of the whole ranking, 0 for a query whose class training does not have;
        `accuracy_per_class`, the mean over test classes of R@1; larger is better, in [0, 1]. Then `unseen_classes`,
        `unseen_rows`. The class given to a row is that of the nearest.

    Raises:
        DataError: as the shelf's contract says.
    """
    sides = checked(train, test)
    with threadpool_limits(limits=1):
        nearest_M, first_M, precision_M = _rank(sides)
    correct_M = first_M == 0
    recalls = {f"recall_{depth}": float(np.mean(first_M < depth)) for depth in DEPTHS if depth <= len(train)}
    metrics = {
        "accuracy": float(correct_M.mean()),
        **recalls,
        "map": float(precision_M.mean()),
        "accuracy_per_class": mean_per_class(correct_M, sides.test_M),
    }
    return Scores(metrics | sides.unseen(), sides.names(sides.train_N[nearest_M]), shares=("accuracy", "map", *recalls))


def _rank(sides: Sides) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each query its nearest row, the place of the first of its class (N without), and the average precision."""
    queries, rows = len(sides.test_M), len(sides.train_N)
    nearest_M, first_M, precision_M = np.empty(queries, np.int64), np.empty(queries, np.int64), np.empty(queries)
    mean_D = sides.train_ND.mean(axis=0)
    for block, cosine_BN in cosines(sides.test_MD - mean_D, sides.train_ND - mean_D):
        order_BN = np.argsort(-cosine_BN, axis=1, kind="stable")
        relevant_BN = sides.train_N[order_BN] == sides.test_M[block, None]
        nearest_M[block] = order_BN[:, 0]
        first_M[block] = np.where(relevant_BN.any(axis=1), relevant_BN.argmax(axis=1), rows)
        share_BN = np.cumsum(relevant_BN, axis=1) / np.arange(1, rows + 1)
        precision_M[block] = (share_BN * relevant_BN).sum(axis=1) / np.maximum(relevant_BN.sum(axis=1), 1)
    return nearest_M, first_M, precision_M
