"""The nearest-neighbour protocol: the training videos that are nearest to a test video vote on its class.

As in Wu et al. 2018 and DINO (Caron et al. 2021): features are of unit length and not centred, nearness is the cosine, and
each of the k nearest votes for its class with weight exp(cosine / temperature). k is chosen in the training side alone.

Shape legend: N training rows, M test rows, D features, K neighbours, C classes.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from elo_cli.core.errors import UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive
from elo_cli.protocols import Scores, Sides, checked, mean_per_class
from elo_cli.vectors.folds import Folds, parted
from elo_cli.vectors.neighbours import nearest

GRID = (1, 5, 10, 20, 50, 200)


def evaluate(
    train: Features,
    test: Features,
    *,
    seed: int,
    grid: tuple[int, ...] = GRID,
    temperature: float = 0.07,
    folds: int = 3,
) -> Scores:
    """Score features, the means of a video's views, by their neighbours; it is the same for every thread count.

    Args:
        train: labelled rows.
        test: labelled rows.
        seed: decides the folds of the cross-validation.
        grid: the values of k to choose from; those above N are left out. In a fold, a k above its rows means all of them.
        temperature: of the votes, positive.
        folds: of the cross-validation, at least 2; fewer where the smallest class has fewer groups or rows. It parts no group.

    Returns:
        `accuracy` (top 1), `accuracy_top5` (among the five classes of most votes; a class without a vote is not among them)
        and `accuracy_per_class` (the mean over test classes), larger is better, in [0, 1]; `neighbours`, the chosen k, the
        smallest of several equally good ones; `cross_validated`, 1 when it was chosen, 0 when there was one value or a class
        has a single row: then k is the smallest of the grid; `k_accuracy`, its accuracy in cross-validation, and `grouped`, 1
        when that kept groups whole (both left out without); `unseen_classes`, `unseen_rows`.

    Raises:
        DataError: as the shelf's contract says.
        UsageError: a setting is out of its range, or no value of the grid is as small as N.
    """
    if not grid or min(grid) < 1 or not temperature > 0 or folds < 2:
        raise UsageError(
            f"grid={grid}, temperature={temperature}, folds={folds} cannot be.",
            hint="Numbers of neighbours are 1 or more, the temperature is positive, folds are 2 or more.",
        )
    sides = checked(train, test)
    usable = sorted({count for count in grid if count <= len(train)})
    if not usable:
        raise UsageError(
            f"Training has {len(train)} rows, fewer than {min(grid)} neighbours.", hint="Add smaller numbers to knn's grid."
        )
    count, chosen = usable[0], dict[str, float]()
    with threadpool_limits(limits=1):
        parts = None if len(usable) == 1 else parted(sides.train_N, train.groups, folds, derive(seed, "knn") % 2**32)
        if parts is not None:
            count, accuracy = _choose(sides, parts, usable, temperature)
            chosen = {"k_accuracy": accuracy, "grouped": float(parts.grouped)}
        (votes_MC,) = _votes(sides.test_MD, sides.train_ND, sides.train_N, sides.seen, [count], temperature)
    ranked_MC = np.argsort(-votes_MC, axis=1, kind="stable")
    voted_MC = np.take_along_axis(votes_MC, ranked_MC, axis=1) > -np.inf
    hit_MC = (ranked_MC == sides.test_M[:, None]) & voted_MC
    metrics = {
        "accuracy": float(hit_MC[:, 0].mean()),
        "accuracy_top5": float(hit_MC[:, :5].any(axis=1).mean()),
        "accuracy_per_class": mean_per_class(hit_MC[:, 0], sides.test_M),
        "neighbours": float(count),
        "cross_validated": float(parts is not None),
    }
    return Scores(metrics | chosen | sides.unseen(), sides.names(ranked_MC[:, 0]))


def _choose(sides: Sides, parts: Folds, counts: list[int], temperature: float) -> tuple[int, float]:
    """Return the number of neighbours of the best accuracy over the folds, the smallest of several, and that accuracy."""
    correct_K = np.zeros(len(counts))
    for rows, held in parts.parts:
        tables = _votes(sides.train_ND[held], sides.train_ND[rows], sides.train_N[rows], sides.seen, counts, temperature)
        correct_K += [np.sum(votes_MC.argmax(axis=1) == sides.train_N[held]) for votes_MC in tables]
    return counts[int(correct_K.argmax())], float(correct_K.max() / len(sides.train_N))


def _votes(
    queries_MD: np.ndarray, rows_ND: np.ndarray, label_N: np.ndarray, classes: int, counts: list[int], temperature: float
) -> list[np.ndarray]:
    """Return for each number of neighbours the votes for each class, (M, C); -inf for classes without one."""
    index_MK, cosine_MK = nearest(queries_MD, rows_ND, min(max(counts), len(rows_ND)))
    label_MK = label_N[index_MK]
    # Against the nearest, which votes with 1: no temperature overflows, and no order changes.
    weight_MK = np.exp((cosine_MK - cosine_MK[:, :1]) / temperature)
    each_M1 = np.arange(len(queries_MD))[:, None]
    tables = []
    for count in counts:
        votes_MC = np.full((len(queries_MD), classes), -np.inf)
        votes_MC[each_M1, label_MK[:, :count]] = 0.0
        np.add.at(votes_MC, (each_M1, label_MK[:, :count]), weight_MK[:, :count])
        tables.append(votes_MC)
    return tables
