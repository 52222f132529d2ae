"""One fully-connected layer on fixed features (the paper's "1-layer"): what the protocols linear and low-label share.

Multinomial logistic regression on standardised features, of every view of a video as a row of its own. A video is what the
mean of its views' softmax says. Whoever wants the same numbers for every thread count limits the threads to one around it.

Shape legend: N training videos, M other videos, V views of each, R rows (views), D features, C classes.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from elo_cli.core.errors import UsageError
from elo_cli.vectors.folds import parted
from elo_cli.vectors.standard import standard

GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
FALLBACK = 1.0  # scikit-learn's own default


@dataclass(frozen=True)
class Recipe:
    """How a layer is fitted.

    Attributes:
        grid: the values of C to choose from, positive; of one value there is nothing to choose.
        folds: of the cross-validation, at least 2.
        iterations: of L-BFGS, at most.
        tolerance: L-BFGS ends when no part of the gradient of the mean loss is larger.

    Raises:
        UsageError: one of them is out of its range.
    """

    grid: tuple[float, ...] = GRID
    folds: int = 3
    iterations: int = 1000
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        if not self.grid or not min(self.grid) > 0:
            raise UsageError(f"The grid of C is {self.grid}.", hint="Give one or more positive numbers.")
        if self.folds < 2 or self.iterations < 1 or not self.tolerance > 0:
            raise UsageError(
                f"folds={self.folds}, iterations={self.iterations}, tolerance={self.tolerance} cannot be.",
                hint="Folds are 2 or more, iterations 1 or more, the tolerance is positive.",
            )


@dataclass(frozen=True)
class Layer:
    """A fitted layer.

    Attributes:
        mean_D: of the training rows.
        factor_D: one over their deviation, 0 for constant features.
        classifier: scikit-learn's, fitted to standardised rows.
        c: the inverse strength of its penalty.
        c_accuracy: the share of videos that were right in cross-validation under it; None where it was not chosen so.
        grouped: whether cross-validation kept groups whole.
        converged: whether L-BFGS met its tolerance.
    """

    mean_D: np.ndarray
    factor_D: np.ndarray
    classifier: LogisticRegression
    c: float
    c_accuracy: float | None
    grouped: bool
    converged: bool

    @classmethod
    def fit(
        cls, views_NVD: np.ndarray, label_N: np.ndarray, groups: Sequence[str | None] | None, recipe: Recipe, seed: int
    ) -> "Layer":
        """Fit a layer, with C chosen by cross-validation where no class has a single video; else C is 1.

        Args:
            views_NVD: training features, finite.
            label_N: the class of each video, of at least two classes.
            groups: as `parted` takes them.
            recipe: how.
            seed: of the folds, in [0, 2**32).
        """
        mean_D, factor_D = standard(views_NVD.reshape(-1, views_NVD.shape[2]).astype(np.float64))
        rows_NVD = (views_NVD - mean_D) * factor_D
        strength, accuracy, grouped = FALLBACK, None, False
        if len(recipe.grid) == 1:
            strength = recipe.grid[0]
        elif (parts := parted(label_N, groups, recipe.folds, seed)) is not None:
            strength, accuracy = _choose(rows_NVD.astype(np.float32), label_N, parts.parts, recipe)
            grouped = parts.grouped
        classifier = LogisticRegression(max_iter=recipe.iterations, tol=recipe.tolerance, C=strength)
        converged = _fit(classifier, rows_NVD, label_N)
        return cls(mean_D, factor_D, classifier, float(strength), accuracy, grouped, converged)

    def probabilities(self, views_MVD: np.ndarray, classes: int) -> np.ndarray:
        """Return the softmax of each view, (M, V, classes); 0 for classes that training did not have."""
        return _probabilities(self.classifier, (views_MVD - self.mean_D) * self.factor_D, classes)


def _choose(
    rows_NVD: np.ndarray, label_N: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]], recipe: Recipe
) -> tuple[float, float]:
    """Return the C of the best accuracy of videos over the folds, the smallest of several, and that accuracy.

    Which C is best needs no exact optimum: rows are float32 and the tolerance is ten times the recipe's, which takes a quarter
    to a half of the time and moved no accuracy by more than 0.001 where it was measured.
    """
    ordered, classes = sorted(recipe.grid), int(label_N.max()) + 1
    correct = np.zeros(len(ordered))
    for learnt, held in parts:
        classifier = LogisticRegression(warm_start=True, max_iter=recipe.iterations, tol=10 * recipe.tolerance)
        for position, strength in enumerate(ordered):
            # From weak to strong, each going on from the one before: fewer iterations in all.
            _fit(classifier.set_params(C=strength), rows_NVD[learnt], label_N[learnt])
            mean_MC = _probabilities(classifier, rows_NVD[held], classes).mean(axis=1)
            correct[position] += np.sum(mean_MC.argmax(axis=1) == label_N[held])
    best = int(correct.argmax())
    return ordered[best], float(correct[best] / len(label_N))


def _fit(classifier: LogisticRegression, rows_NVD: np.ndarray, label_N: np.ndarray) -> bool:
    """Fit a classifier to every view, and say whether it converged."""
    with warnings.catch_warnings():  # said in the result instead
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes is greater")  # where classes have one row or two
        classifier.fit(rows_NVD.reshape(-1, rows_NVD.shape[2]), np.repeat(label_N, rows_NVD.shape[1]))
    return bool(np.max(classifier.n_iter_) < classifier.max_iter)


def _probabilities(classifier: LogisticRegression, rows_MVD: np.ndarray, classes: int) -> np.ndarray:
    """Return the softmax of each view over all classes."""
    softmax_RC = classifier.predict_proba(rows_MVD.reshape(-1, rows_MVD.shape[2]))
    every_RC = np.zeros((len(softmax_RC), classes))
    every_RC[:, classifier.classes_] = softmax_RC
    return every_RC.reshape(*rows_MVD.shape[:2], classes)
