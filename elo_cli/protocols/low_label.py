"""The low-label protocol (Table 3, Figure 5): accuracy against the number of labelled training videos.

Each draw puts the training videos in an order in which every class comes once before any comes twice; its n first are the
labelled ones, so that the subsets of one draw are nested. The classifier is the one of the protocol linear, and sees nothing
of the other videos, not even to standardise.

Shape legend: N training rows, M test rows, V views of each, C classes.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive, numpy_generator
from elo_cli.protocols import Scores, Sides, checked, mean_per_class
from elo_cli.vectors.layer import GRID, Layer, Recipe


def evaluate(
    train: Features,
    test: Features,
    *,
    seed: int,
    counts: tuple[int, ...] | None = None,
    seeds: int = 3,
    grid: tuple[float, ...] = GRID,
    folds: int = 3,
) -> Scores:
    """Score features by linear classifiers on ever fewer labels; it is the same for every thread count.

    Args:
        train: labelled rows of at least two classes.
        test: labelled rows.
        seed: decides the draws and the folds of each cross-validation.
        counts: numbers of labelled rows, of which those above N or below the number of classes are left out, and N always is
            one; None for N, N//2, N//4, … down to the number of classes.
        seeds: draws that are averaged.
        grid: the values of C to choose from, as in the protocol linear.
        folds: of the cross-validation, as in the protocol linear.

    Returns:
        `accuracy` (top 1) and `accuracy_per_class` (the mean over test classes) with all labels, larger is better, in
        [0, 1]; `labels`, which is N; `draws`; `unseen_classes`, `unseen_rows`. The class given to a row is that of all
        labels. In the details `curve`, from few labels to many: `labels`, `accuracy` (the mean over draws), `deviation` (over
        draws; None of one), `runs` (the accuracy of each draw; one of all N, as each draw would be the same), `c` (of each)
        and `cross_validated`, whether C was chosen inside the subset; where a class has one row, C is 1 instead. And
        `left_out`, the counts that were; `by`: linear.

    Raises:
        DataError: as the shelf's contract says, or training has one class only.
        UsageError: a setting is out of its range.
    """
    sides = checked(train, test)
    if sides.seen < 2:
        raise DataError(f"All training rows have the label '{sides.classes[0]}'.", hint="Give at least two classes.")
    kept, left_out = kept_counts(counts, len(train), sides.seen)
    orders = draws(sides.train_N, seeds, seed)
    recipe = Recipe(grid, folds)
    with threadpool_limits(limits=1):
        curve = [_point(train, test, sides, [order_N[:count] for order_N in orders], recipe, seed)[0] for count in kept]
        last, predicted_M = _point(train, test, sides, [np.arange(len(train))], recipe, seed)
    curve.append(last)
    metrics = {
        "accuracy": float(last["accuracy"]),
        "accuracy_per_class": mean_per_class(predicted_M == sides.test_M, sides.test_M),
        "labels": float(len(train)),
        "draws": float(seeds),
    }
    return Scores(metrics | sides.unseen(), sides.names(predicted_M), {"curve": curve, "left_out": left_out, "by": "linear"})


def kept_counts(counts: tuple[int, ...] | None, rows: int, classes: int) -> tuple[list[int], list[int]]:
    """Return the numbers of labels to learn from, ascending, without that of all rows; and those that are left out.

    Args:
        counts: asked for; None for rows, rows // 2, rows // 4, ….
        rows: N.
        classes: below their number no count is kept.

    Raises:
        UsageError: a count is less than 1.
    """
    if counts is not None and (not counts or min(counts) < 1):
        raise UsageError(f"counts={counts} cannot be.", hint="Each number of labels is 1 or more.")
    asked = _halves(rows, classes) if counts is None else sorted(set(counts))
    kept = [count for count in asked if classes <= count < rows]
    return kept, [count for count in asked if count not in kept and count != rows]


def draws(label_N: np.ndarray, seeds: int, seed: int) -> list[np.ndarray]:
    """Draw orders of the training rows, (N,) each; the n first of one are its labelled ones.

    Raises:
        UsageError: there is none to draw.
    """
    if seeds < 1:
        raise UsageError(f"seeds={seeds} cannot be.", hint="Draw one order or more.")
    return [_order(label_N, numpy_generator(seed, "low-label", draw)) for draw in range(seeds)]


def _halves(rows: int, classes: int) -> list[int]:
    """Return rows, rows // 2, rows // 4, …, the smallest first, none below the number of classes."""
    halves = [rows]
    while halves[-1] // 2 >= classes:
        halves.append(halves[-1] // 2)
    return halves[::-1]


def _order(label_N: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Put rows in a random order in which every class comes once before any comes twice."""
    shuffled_N = draw.permutation(len(label_N))
    turn_N = np.empty(len(label_N), np.int64)
    for label in np.unique(label_N):
        mine = shuffled_N[label_N[shuffled_N] == label]
        turn_N[mine] = np.arange(len(mine))
    order_N: np.ndarray = shuffled_N[np.argsort(turn_N[shuffled_N], kind="stable")]
    return order_N


def _point(
    train: Features, test: Features, sides: Sides, subsets: Iterable[np.ndarray], recipe: Recipe, seed: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Return the point of the curve that subsets of one size give, and what the last of them says of the test side."""
    runs, strengths, chosen = [], [], []
    for rows in subsets:
        groups = None if train.groups is None else tuple(train.groups[row] for row in rows)
        layer = Layer.fit(train.views[rows], sides.train_N[rows], groups, recipe, derive(seed, "linear") % 2**32)
        predicted_M = layer.probabilities(test.views, sides.seen).mean(axis=1).argmax(axis=1)
        runs.append(float(np.mean(predicted_M == sides.test_M)))
        strengths.append(layer.c)
        chosen.append(layer.c_accuracy is not None)
    point = {
        "labels": len(rows),
        "accuracy": float(np.mean(runs)),
        "deviation": float(np.std(runs, ddof=1)) if len(runs) > 1 else None,
        "runs": runs,
        "c": strengths,
        "cross_validated": all(chosen),
    }
    return point, predicted_M
