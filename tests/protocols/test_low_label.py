"""The low-label protocol: its subsets, and its points beside the protocol linear and scikit-learn."""

from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import numpy_generator
from elo_cli.protocols import SHELF, linear, low_label
from tests.support.labelled_features import CLASSES, blobs, relabelled


def test_the_order_takes_every_class_once_before_any_twice() -> None:
    label_N = np.repeat([0, 1, 2, 3], [5, 1, 9, 3])
    order_N = low_label._order(label_N, numpy_generator(0, "order"))
    assert sorted(order_N) == list(range(18))
    for count in range(1, 19):
        got, whole = Counter(label_N[order_N[:count]].tolist()), Counter(label_N.tolist())
        turns = max(got.values())
        assert all(got[label] >= min(turns - 1, whole[label]) for label in range(4))
    others = [low_label._order(label_N, numpy_generator(seed, "order")).tolist() for seed in range(5)]
    assert len({tuple(other) for other in others}) == 5
    assert len({tuple(label_N[other[:4]]) for other in others}) > 1  # the classes are not in one order either


def test_counts_are_halves_down_to_the_number_of_classes() -> None:
    scores = low_label.evaluate(blobs(10, 1), blobs(9, 2), seed=0, seeds=2)
    curve = scores.details["curve"]
    assert [point["labels"] for point in curve] == [10, 20, 40, 80]
    assert scores.details["left_out"] == []
    assert [len(point["runs"]) for point in curve] == [2, 2, 2, 1]
    assert [point["cross_validated"] for point in curve] == [False, True, True, True]
    assert curve[0]["c"] == [1.0, 1.0]
    assert curve[0]["accuracy"] < curve[-1]["accuracy"] == scores.metrics["accuracy"]
    assert (curve[-1]["deviation"], scores.metrics["labels"], scores.metrics["draws"]) == (None, 80, 2)
    for point in curve[:-1]:
        assert point["accuracy"] == pytest.approx(np.mean(point["runs"]))
        assert point["deviation"] == pytest.approx(np.std(point["runs"], ddof=1))


def test_all_labels_are_what_linear_says() -> None:
    train, test = blobs(10, 1, views=2), blobs(9, 2, views=2)
    whole, scores = linear.evaluate(train, test, seed=3), low_label.evaluate(train, test, seed=3, seeds=1, counts=(80,))
    assert scores.predicted == whole.predicted
    assert scores.metrics["accuracy"] == whole.metrics["accuracy"] < 1
    assert scores.details["curve"][0]["c"] == [whole.metrics["c"]]


def test_a_point_is_what_scikit_learn_says_of_its_subset() -> None:
    train, test = blobs(10, 1), blobs(9, 2)
    point = low_label.evaluate(train, test, seed=5, seeds=2, counts=(8,)).details["curve"][0]
    for draw, accuracy in enumerate(point["runs"]):
        label_N = np.array([CLASSES.index(str(label)) for label in train.labels])
        rows = low_label._order(label_N, numpy_generator(5, "low-label", draw))[:8]
        scaler = StandardScaler().fit(train.matrix_ND[rows].astype(np.float64))
        plain = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000).fit(scaler.transform(train.matrix_ND[rows]), label_N[rows])
        truth = [CLASSES.index(str(label)) for label in test.labels]
        assert accuracy == pytest.approx(plain.score(scaler.transform(test.matrix_ND), truth), abs=0.015)


def test_videos_without_a_label_are_not_looked_at() -> None:
    # Rows that no draw takes may hold anything: the points below all labels are the same.
    train, test = blobs(10, 1), blobs(9, 2)
    taken = low_label._order(np.array([CLASSES.index(str(label)) for label in train.labels]), numpy_generator(0, "low-label", 0))
    other = train.matrix_ND.copy()
    other[taken[20:]] *= 100
    curves = [
        low_label.evaluate(Features(matrix, train.ids, train.labels), test, seed=0, seeds=1, counts=(8, 20)).details["curve"]
        for matrix in (train.matrix_ND, other)
    ]
    assert curves[0][:2] == curves[1][:2]
    assert curves[0][2] != curves[1][2]


def test_counts_that_cannot_be_are_left_out_and_told() -> None:
    scores = low_label.evaluate(blobs(3, 1), blobs(2, 2), seed=0, seeds=1, counts=(500, 10, 7, 10, 16))
    assert [point["labels"] for point in scores.details["curve"]] == [10, 16, 24]
    assert scores.details["left_out"] == [7, 500]
    assert scores.details["curve"][0]["deviation"] is None


def test_test_labels_change_neither_predictions_nor_c() -> None:
    train, test = blobs(10, 1), blobs(9, 2)
    first = low_label.evaluate(train, test, seed=0, seeds=1)
    other = low_label.evaluate(train, relabelled(test, test.labels[3:] + test.labels[:3]), seed=0, seeds=1)
    assert other.predicted == first.predicted
    assert [point["c"] for point in other.details["curve"]] == [point["c"] for point in first.details["curve"]]
    assert other.metrics["accuracy"] < first.metrics["accuracy"]


@pytest.mark.parametrize("wrong", [{"counts": ()}, {"counts": (0, 8)}, {"seeds": 0}])
def test_wrong_settings_are_refused_with_a_hint(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        low_label.evaluate(blobs(3, 1), blobs(3, 2), seed=0, **wrong)  # type: ignore[arg-type]
    assert caught.value.hint


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="All training rows have the label 'a'"):
        low_label.evaluate(blobs(5, 1, labels="a"), blobs(5, 2), seed=0)


def test_the_shelf_holds_it() -> None:
    assert SHELF.take("low-label") is low_label
