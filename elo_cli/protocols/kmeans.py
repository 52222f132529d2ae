"""The k-means protocol (Table 1): clusters of the training side, named by their majority, classify the test side.

The paper says "k-means clustering of the representations" and no more; here k is the number of
training classes, and accuracy is averaged over runs of different seeds.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score
from threadpoolctl import threadpool_limits

from elo_cli.core.errors import UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive
from elo_cli.protocols import Scores, Sides, mean_per_class, standardised
from elo_cli.vectors.clusters import count, k_means, majority


def evaluate(train: Features, test: Features, *, seed: int, clusters: int | None = None, runs: int = 10) -> Scores:
    """Score features, the means of a video's views, by clustering; it runs on one thread and is the same for every thread count.

    Args:
        train: labelled rows to cluster, standardised first.
        test: labelled rows; each goes to the cluster with the nearest centre.
        seed: each run draws from its own seed derived from it.
        clusters: k; None for the number of training classes.
        runs: how many k-means runs are averaged.

    Returns:
        Means over runs, larger is better, in [0, 1], and with `_std` deviations over several runs
        (but of the accuracy per class):
        `accuracy` (clusters carry the majority label of their TRAINING rows), `accuracy_per_class`
        (its mean over test classes), `nmi` (normalised mutual information of clusters and test labels),
        and, as upper bounds that name clusters by looking at the test labels, `hungarian` (one
        cluster for one class, the best assignment) and `purity` (any cluster for its majority). Then
        `clusters`, `runs`, `unseen_classes`, `unseen_rows`. No classes are given to rows: runs differ.

    Raises:
        DataError: as the shelf's contract says.
        UsageError: there are more clusters than training rows, or a setting is out of its range.
    """
    sides = standardised(train, test)
    if clusters is None:
        clusters = sides.seen
    if not 1 <= clusters <= len(train):
        raise UsageError(
            f"k-means was asked for {clusters} clusters of {len(train)} training rows.",
            hint="Leave clusters out for the number of training classes, or set it between 1 and the number of rows.",
        )
    if runs < 1:
        raise UsageError(f"k-means cannot average over {runs} runs.", hint="Set runs to 1 or more; 10 is usual.")
    with threadpool_limits(limits=1):
        scored = [_score(sides, clusters, derive(seed, "kmeans", run) % 2**32) for run in range(runs)]
    scores, right_RM = [score for score, _ in scored], np.stack([right_M for _, right_M in scored])
    metrics = {"accuracy_per_class": mean_per_class(right_RM.mean(axis=0), sides.test_M)}
    for name in scores[0]:
        values = [score[name] for score in scores]
        metrics[name] = float(np.mean(values))
        if runs > 1:
            metrics[f"{name}_std"] = float(np.std(values, ddof=1))
    counts = {"clusters": float(clusters), "runs": float(runs)}
    shares = tuple(f"{name}{end}" for name in ("accuracy", "hungarian", "purity") for end in ("", "_std"))
    return Scores(metrics | counts | sides.unseen(), shares=shares, right=tuple(right_RM.mean(axis=0).tolist()))


def _score(sides: Sides, clusters: int, seed: int) -> tuple[dict[str, float], np.ndarray]:
    """Score one k-means run, and say which test rows it gets right."""
    fitted = k_means(sides.train_ND, clusters, seed)  # fewer distinct rows than clusters: their accuracy says it
    cluster_M = fitted.predict(sides.test_MD)
    label_K = majority(count(fitted.labels_, sides.train_N, clusters, sides.seen))
    correct_M = label_K[cluster_M] == sides.test_M
    table_KC = count(cluster_M, sides.test_M, clusters, len(sides.classes))
    rows, columns = linear_sum_assignment(table_KC, maximize=True)
    scores = {
        "accuracy": float(correct_M.mean()),
        "nmi": float(normalized_mutual_info_score(sides.test_M, cluster_M)),
        "hungarian": float(table_KC[rows, columns].sum() / len(cluster_M)),
        "purity": float(table_KC.max(axis=1).sum() / len(cluster_M)),
    }
    return scores, correct_M
