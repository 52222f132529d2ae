"""Protocols: how features are scored on a labelled set (4.1, Table 1).

An entry that scores features is a module with a function `evaluate`; see `FeatureProtocol`. All shares are in [0, 1].

Shape legend: N training rows, M test rows, D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from elo_cli.core.errors import DataError
from elo_cli.core.shelf import Shelf

if TYPE_CHECKING:  # listing the shelf must not import NumPy
    import numpy as np

    from elo_cli.core.features import Features

SHELF = Shelf("elo_cli.protocols", "protocol")


class FeatureProtocol(Protocol):
    """The contract of an entry that scores features: a module-level function `evaluate`."""

    def evaluate(self, train: "Features", test: "Features", *, seed: int, **settings: Any) -> "Scores":
        """Learn from `train`, score on `test`; a pure function of them, the seed and the settings.

        Whatever is chosen (a strength, a number of neighbours) is chosen within `train`.

        Args:
            train: N labelled rows; those of one group never stand on both sides of what is parted within it.
            test: M labelled rows; rows of a class that `train` does not have count as wrong.
            seed: decides every random draw.
            settings: the entry's own, by keyword, each with a default: the section of `benchmark` in the settings that has
                the entry's name.

        Returns:
            Metrics, `accuracy` among them, and `unseen_classes` and `unseen_rows`, how many of the test's `train` does
            not have.

        Raises:
            DataError: a side is empty, a row has no label, or features are not finite or all constant.
            UsageError: a setting is out of its range.
        """
        ...


@dataclass(frozen=True)
class Scores:
    """What a protocol says of one split.

    Attributes:
        metrics: by name, in the order in which to show them; shares in [0, 1] of the test rows, larger is better, unless the
            entry says otherwise.
        predicted: the class that is given to each test row, in order; None where the protocol gives none, or several.
        right: where it gives several, one after the other: in what share of them each test row gets its own class, (M).
        details: what is no single number; plain JSON. A `curve` is a list of points, each with `labels`, `accuracy`,
            `deviation` (or None) and `runs`.
        shares: which metrics are shares of all test rows, so that a row that could not be read lowers them.
    """

    metrics: Mapping[str, float]
    predicted: tuple[str, ...] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    shares: tuple[str, ...] = ("accuracy", "accuracy_top5", "clip_accuracy")
    right: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Sides:
    """Both sides of a split, checked, with labels as numbers.

    Attributes:
        train_ND: float64 training features; after `standardised` each of zero mean and unit variance over N, constant ones 0.
        test_MD: test features; after `standardised` under the training side's mean and deviation, those constant there 0 too.
        train_N: training labels as indices into `classes`.
        test_M: test labels likewise; classes that training does not have come after those that it has.
        classes: names, those of training first.
        seen: how many classes training has.
    """

    train_ND: "np.ndarray"
    test_MD: "np.ndarray"
    train_N: "np.ndarray"
    test_M: "np.ndarray"
    classes: tuple[str, ...]
    seen: int

    def unseen(self) -> dict[str, float]:
        """Return how many classes and rows of the test side training does not have."""
        return {"unseen_classes": float(len(self.classes) - self.seen), "unseen_rows": float((self.test_M >= self.seen).sum())}

    def names(self, class_M: "np.ndarray") -> tuple[str, ...]:
        """Return the names of classes given by number."""
        return tuple(self.classes[number] for number in class_M)


def checked(train: "Features", test: "Features") -> Sides:
    """Check both sides; their features stay as they are.

    Raises:
        DataError: as `FeatureProtocol.evaluate` says.
    """
    import numpy as np

    from elo_cli.vectors.standard import standard

    train_labels, test_labels = _labels(train, "training"), _labels(test, "test")
    if train.matrix_ND.shape[1] != test.matrix_ND.shape[1]:
        raise DataError(
            f"Training rows have {train.matrix_ND.shape[1]} features, test rows {test.matrix_ND.shape[1]}.",
            hint="Extract both with the same encoder.",
        )
    known = sorted(set(train_labels))
    classes = tuple(known) + tuple(sorted(set(test_labels) - set(known)))
    index = {label: number for number, label in enumerate(classes)}
    train_ND, test_MD = (np.asarray(side.matrix_ND, dtype=np.float64) for side in (train, test))
    if not standard(train_ND)[1].any():
        raise DataError("All training rows have the same features.", hint="The encoder has collapsed; try another checkpoint.")
    return Sides(
        train_ND,
        test_MD,
        np.array([index[label] for label in train_labels]),
        np.array([index[label] for label in test_labels]),
        classes,
        len(known),
    )


def standardised(train: "Features", test: "Features") -> Sides:
    """Check both sides and standardise them by the training side alone.

    Raises:
        DataError: as `FeatureProtocol.evaluate` says.
    """
    from elo_cli.vectors.standard import standard

    sides = checked(train, test)
    mean_D, factor_D = standard(sides.train_ND)
    return replace(sides, train_ND=(sides.train_ND - mean_D) * factor_D, test_MD=(sides.test_MD - mean_D) * factor_D)


def video_scores(softmax_MVC: "np.ndarray", test_M: "np.ndarray") -> tuple[dict[str, float], "np.ndarray"]:
    """Score a classifier by what it says of each view; a video's class is that of the largest mean over its views.

    Args:
        softmax_MVC: of V views of each test row, over the C classes of training.
        test_M: the class of each row; one of C or more is that of no class, and never right.

    Returns:
        `accuracy` (video@1), `accuracy_top5`, `accuracy_per_class`, and `clip_accuracy` (clip@1: the share of single views
        that are right), in [0, 1]; and the class that is given to each row, (M,).
    """
    import numpy as np

    ranked_MC = np.argsort(-softmax_MVC.mean(axis=1), axis=1, kind="stable")
    correct_M = ranked_MC[:, 0] == test_M
    metrics = {
        "accuracy": float(correct_M.mean()),
        "accuracy_top5": float((ranked_MC[:, :5] == test_M[:, None]).any(axis=1).mean()),
        "accuracy_per_class": mean_per_class(correct_M, test_M),
        "clip_accuracy": float(np.mean(softmax_MVC.argmax(axis=2) == test_M[:, None])),
    }
    return metrics, ranked_MC[:, 0]


def mean_per_class(correct_M: "np.ndarray", test_M: "np.ndarray") -> float:
    """Return the mean over the classes of the test side of the share of their rows that are correct."""
    import numpy as np

    counts = np.bincount(test_M)
    return float(np.mean(np.bincount(test_M, weights=correct_M)[counts > 0] / counts[counts > 0]))


def _labels(side: "Features", noun: str) -> list[str]:
    """Return the labels of a side whose rows are all there, labelled and finite."""
    import numpy as np

    if not len(side):
        raise DataError(f"There are no {noun} rows.", hint="Look at the split, and at how many videos were readable.")
    bare = [name for name, label in zip(side.ids, side.labels, strict=True) if label is None]
    if bare:
        raise DataError(f"{len(bare)} of {len(side)} {noun} rows have no label, such as {bare[0]}.", hint="Give a labelled set.")
    finite_N = np.isfinite(side.matrix_ND).all(axis=1) & np.isfinite(side.views).all(axis=(1, 2))
    broken = np.flatnonzero(~finite_N)
    if len(broken):
        raise DataError(
            f"{len(broken)} of {len(side)} {noun} rows hold NaN or infinite features, such as that of {side.ids[broken[0]]}.",
            hint="The encoder diverged or a video is damaged; extract the features again from a sound checkpoint.",
        )
    return [str(label) for label in side.labels]
