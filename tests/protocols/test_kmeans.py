"""The k-means protocol: hand-worked cases and scikit-learn's own numbers."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.preprocessing import StandardScaler

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive, numpy_generator
from elo_cli.protocols import SHELF, kmeans, standardised


def side(matrix: object, labels: str) -> Features:
    """Make features whose labels are the letters of a word."""
    matrix_ND = np.asarray(matrix, np.float32)
    return Features(matrix_ND.reshape(len(labels), -1), tuple(f"{n}.mp4" for n in range(len(labels))), tuple(labels))


def blobs(per_class: int, seed: int, spread: float = 1.0) -> Features:
    centres = numpy_generator(0, "centres").standard_normal((4, 6)) * 2
    labels = "abcd" * per_class
    noise = numpy_generator(seed, "noise").standard_normal((len(labels), 6)) * spread
    return side(np.tile(centres, (per_class, 1)) + noise, labels)


def test_a_case_worked_by_hand() -> None:
    # Clusters near 0 and near 10; the first is a (2 of 3), the second b (2 of 2).
    train = side([0, 0.1, 0.2, 10, 10.1], "aabbb")
    test = side([0.1, 0.2, 0.15, 9.9, 10.2, 10], "aabbba")
    result = kmeans.evaluate(train, test, seed=0, runs=3).metrics
    assert result["accuracy"] == pytest.approx(4 / 6)  # right: a, a; wrong: b near 0; right: b, b; wrong: a near 10
    assert result["accuracy_std"] == 0
    assert result["accuracy_per_class"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert result["hungarian"] == pytest.approx(4 / 6)
    assert result["purity"] == pytest.approx(4 / 6)
    assert result["clusters"] == 2
    assert (result["unseen_classes"], result["unseen_rows"]) == (0, 0)
    assert kmeans.evaluate(train, test, seed=0, runs=3).predicted is None  # runs differ


def test_majority_comes_from_training_and_upper_bounds_from_the_test() -> None:
    train = side([0, 0.1, 10, 10.1], "aabb")
    test = side([0, 0.1, 10, 10.1], "bbaa")  # exactly the other way round
    result = kmeans.evaluate(train, test, seed=0).metrics
    assert result["accuracy"] == 0
    assert result["hungarian"] == result["purity"] == result["nmi"] == 1


def test_more_clusters_than_classes_help_purity_but_not_the_assignment() -> None:
    rows = [0, 0.1, 5, 5.1, 10, 10.1]
    result = kmeans.evaluate(side(rows, "aabbaa"), side(rows, "aabbaa"), seed=0, clusters=3).metrics
    assert result["accuracy"] == result["purity"] == 1
    assert result["hungarian"] == pytest.approx(4 / 6)  # one of the two clusters of a is left over
    assert kmeans.evaluate(side(rows, "aabbaa"), side(rows, "aabbaa"), seed=0, clusters=1).metrics["accuracy"] == pytest.approx(
        4 / 6
    )


def test_against_scikit_learn() -> None:
    train, test = blobs(20, 1), blobs(9, 2)
    scaler = StandardScaler().fit(train.matrix_ND.astype(np.float64))
    runs = []
    for run in range(4):
        seed = derive(5, "kmeans", run) % 2**32
        fitted = KMeans(4, n_init=1, random_state=seed).fit(scaler.transform(train.matrix_ND.astype(np.float64)))
        clusters = fitted.predict(scaler.transform(test.matrix_ND.astype(np.float64)))
        names = np.array(train.labels)
        label = [max("abcd", key=lambda c, k=k: (np.sum(names[fitted.labels_ == k] == c), -ord(c))) for k in range(4)]
        accuracy = np.mean([label[k] == truth for k, truth in zip(clusters, test.labels, strict=True)])
        runs.append((accuracy, normalized_mutual_info_score(test.labels, clusters)))
    result = kmeans.evaluate(train, test, seed=5, runs=4).metrics
    assert result["accuracy"] == pytest.approx(np.mean([run[0] for run in runs]))
    assert result["accuracy_std"] == pytest.approx(np.std([run[0] for run in runs], ddof=1))
    assert result["nmi"] == pytest.approx(np.mean([run[1] for run in runs]))
    assert 0.7 < result["accuracy"] <= 1


def test_fewer_distinct_rows_than_clusters_are_survived() -> None:
    rows = [0, 0, 0, 1, 1, 1]
    assert kmeans.evaluate(side(rows, "abcabc"), side(rows, "abcabc"), seed=0, runs=2).metrics["accuracy"] == pytest.approx(1 / 3)


def test_scale_offset_and_seed() -> None:
    train, test = blobs(20, 1, 2.0), blobs(9, 2, 2.0)
    first = kmeans.evaluate(train, test, seed=3)
    assert kmeans.evaluate(train, test, seed=3) == first
    assert kmeans.evaluate(train, test, seed=4) != first
    moved = [Features(f.matrix_ND.astype(np.float64) * 1024 + 4096, f.ids, f.labels) for f in (train, test)]
    assert kmeans.evaluate(*moved, seed=3).metrics["accuracy"] == pytest.approx(first.metrics["accuracy"], abs=0.02)


def test_classes_that_training_does_not_have_count_as_wrong() -> None:
    result = kmeans.evaluate(side([0, 0.1, 10, 10.1], "aabb"), side([0, 10, 0, 10, 10], "abzzy"), seed=0).metrics
    assert result["accuracy"] == pytest.approx(2 / 5)
    assert result["accuracy_per_class"] == pytest.approx(2 / 4)
    assert (result["unseen_classes"], result["unseen_rows"]) == (2, 3)


def test_features_that_are_not_finite_are_counted() -> None:
    good, bad = blobs(3, 1), blobs(3, 2)
    bad.matrix_ND[2:5, 0] = [np.nan, np.inf, -np.inf]
    with pytest.raises(DataError, match="3 of 12 test rows hold NaN or infinite features, such as that of 2"):
        kmeans.evaluate(good, bad, seed=0)
    with pytest.raises(DataError, match="3 of 12 training rows hold NaN"):
        kmeans.evaluate(bad, good, seed=0)


def test_other_bad_sides_are_refused() -> None:
    good = blobs(3, 1)
    with pytest.raises(DataError, match="no test rows"):
        kmeans.evaluate(good, Features(np.zeros((0, 6), np.float32), (), ()), seed=0)
    with pytest.raises(DataError, match="1 of 2 training rows have no label, such as y"):
        kmeans.evaluate(Features(np.eye(2, dtype=np.float32), ("x", "y"), ("a", None)), good, seed=0)
    with pytest.raises(DataError, match="Training rows have 1 features, test rows 6"):
        kmeans.evaluate(side([1, 2], "ab"), good, seed=0)
    with pytest.raises(DataError, match="same features"):
        kmeans.evaluate(side([0.1] * 4, "aabb"), side([0.1], "a"), seed=0)
    for wrong in ({"clusters": 13}, {"clusters": 0}, {"runs": 0}):
        with pytest.raises(UsageError):
            kmeans.evaluate(good, good, seed=0, **wrong)


def test_standardising_learns_from_training_alone() -> None:
    train, test = side([[0, 5], [2, 5], [4, 5]], "aab"), side([[4, 9]], "c")
    sides = standardised(train, test)
    assert sides.train_ND[:, 0] == pytest.approx([-np.sqrt(1.5), 0, np.sqrt(1.5)])
    assert sides.test_MD[0, 0] == pytest.approx(np.sqrt(1.5))
    assert not sides.train_ND[:, 1].any()
    assert sides.test_MD[0, 1] == 0  # a feature that is constant in training says nothing
    assert (sides.classes, sides.seen, sides.test_M.tolist()) == (("a", "b", "c"), 2, [2])


def test_the_shelf_holds_it() -> None:
    assert SHELF.take("kmeans") is kmeans
