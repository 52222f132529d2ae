"""The linear protocol (the paper's "1-layer", Table 1): one fully-connected layer on fixed features.

Multinomial logistic regression on standardised features. The paper is silent on regularisation: C,
its inverse strength, is chosen by stratified cross-validation inside the training side alone.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive
from elo_cli.protocols import mean_per_class, standardised

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FALLBACK = 1.0  # scikit-learn's own default


def evaluate(
    train: Features,
    test: Features,
    *,
    seed: int,
    grid: tuple[float, ...] = GRID,
    folds: int = 3,
    iterations: int = 1000,
    tolerance: float = 1e-5,
) -> dict[str, float]:
    """Score features by a linear classifier; it runs on one thread and is the same for every thread count.

    Args:
        train: labelled rows of at least two classes.
        test: labelled rows.
        seed: decides the folds of the cross-validation.
        grid: the values of C to choose from, positive; of one value there is nothing to choose.
        folds: of the cross-validation, at least 2; fewer where the smallest class has fewer rows.
        iterations: of L-BFGS, at most.
        tolerance: L-BFGS ends when no part of the gradient is larger.

    Returns:
        `accuracy` (top 1), `accuracy_top5` and `accuracy_per_class` (the mean over test classes),
        larger is better, in [0, 1]; `c`, the chosen C; `cross_validated`, 1 when C was chosen, 0 when
        a class has a single row, so that C is 1 without choice, or the grid a single value; `c_accuracy`, its accuracy in
        cross-validation (left out without); `converged`, 1 or 0; `unseen_classes`, `unseen_rows`.

    Raises:
        DataError: as the shelf's contract says, or training has one class only.
        UsageError: a setting is out of its range.
    """
    _check(grid, folds, iterations, tolerance)
    sides = standardised(train, test)
    if sides.seen < 2:
        raise DataError(f"All training rows have the label '{sides.classes[0]}'.", hint="Give at least two classes.")
    folds = min(folds, int(np.bincount(sides.train_N).min()))
    strength, chosen, validated = FALLBACK, folds >= 2, dict[str, float]()
    # One thread: the thread pools of OpenMP and BLAS get in each other's way, ten times over when
    # the cores are busy, and the result would depend on how many there are.
    with threadpool_limits(limits=1):
        if len(grid) == 1:
            strength, chosen = grid[0], False
        elif chosen:
            strength, validated["c_accuracy"] = _choose(sides.train_ND, sides.train_N, grid, folds, iterations, tolerance, seed)
        classifier, converged = _fit(sides.train_ND, sides.train_N, strength, iterations, tolerance)
        score_MC = _scores(classifier, sides.test_MD)
    ranked_MC = np.argsort(-score_MC, axis=1, kind="stable")
    correct_M = ranked_MC[:, 0] == sides.test_M
    metrics = {
        "accuracy": float(correct_M.mean()),
        "accuracy_top5": float((ranked_MC[:, :5] == sides.test_M[:, None]).any(axis=1).mean()),
        "accuracy_per_class": mean_per_class(correct_M, sides.test_M),
        "c": float(strength),
        "cross_validated": float(chosen),
    }
    return metrics | validated | {"converged": float(converged)} | sides.unseen()


def _check(grid: tuple[float, ...], folds: int, iterations: int, tolerance: float) -> None:
    """Refuse settings that make no sense."""
    if not grid or min(grid) <= 0:
        raise UsageError(f"The grid of C is {grid}.", hint="Give one or more positive numbers.")
    if folds < 2 or iterations < 1 or tolerance <= 0:
        raise UsageError(
            f"folds={folds}, iterations={iterations}, tolerance={tolerance} cannot be.",
            hint="Folds are 2 or more, iterations 1 or more, the tolerance is positive.",
        )


def _choose(
    train_ND: np.ndarray, train_N: np.ndarray, grid: tuple[float, ...], folds: int, iterations: int, tolerance: float, seed: int
) -> tuple[float, float]:
    """Return the C of the best accuracy over the folds, the smallest of several, and that accuracy."""
    parted = StratifiedKFold(folds, shuffle=True, random_state=derive(seed, "linear") % 2**32).split(train_ND, train_N)
    ordered = sorted(grid)
    correct = np.zeros(len(ordered))
    for rows, held in parted:
        classifier = None
        for position, strength in enumerate(ordered):
            # From weak to strong, each going on from the one before: fewer iterations in all.
            classifier, _ = _fit(train_ND[rows], train_N[rows], strength, iterations, tolerance, classifier)
            correct[position] += np.sum(_scores(classifier, train_ND[held]).argmax(axis=1) == train_N[held])
    best = int(correct.argmax())
    return ordered[best], float(correct[best] / len(train_N))


def _fit(
    rows_ND: np.ndarray,
    label_N: np.ndarray,
    strength: float,
    iterations: int,
    tolerance: float,
    classifier: LogisticRegression | None = None,
) -> tuple[LogisticRegression, bool]:
    """Fit a classifier, going on from `classifier` if there is one, and say whether it converged."""
    if classifier is None:
        classifier = LogisticRegression(warm_start=True, max_iter=iterations, tol=tolerance)
    classifier.set_params(C=strength)
    with warnings.catch_warnings():  # said in the result instead
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(rows_ND, label_N)
    return classifier, bool(np.max(classifier.n_iter_) < iterations)


def _scores(classifier: LogisticRegression, rows_MD: np.ndarray) -> np.ndarray:
    """Return a score for each class, (M, C), also for two classes, where scikit-learn gives one column."""
    score_MC: np.ndarray = classifier.decision_function(rows_MD)
    return score_MC if score_MC.ndim == 2 else np.stack([-score_MC, score_MC], axis=1)
