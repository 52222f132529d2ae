"""The retrieval protocol: hand-worked cases and scikit-learn's average precision."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import KNeighborsClassifier

from elo_cli.core.features import Features
from elo_cli.protocols import SHELF, retrieval
from elo_cli.vectors import neighbours
from tests.support.labelled_features import blobs, relabelled, side


def test_against_scikit_learn() -> None:
    train, test = blobs(20, 1, spread=3), blobs(9, 2, spread=3)
    mean = train.matrix_ND.astype(np.float64).mean(axis=0)
    search, queries = train.matrix_ND - mean, test.matrix_ND - mean
    similar, own = cosine_similarity(queries, search), np.array(test.labels)[:, None] == np.array(train.labels)
    scores = retrieval.evaluate(train, test, seed=0)
    plain = KNeighborsClassifier(1, metric="cosine").fit(search, train.labels)
    assert scores.predicted == tuple(plain.predict(queries))
    assert scores.metrics["accuracy"] == scores.metrics["recall_1"] == pytest.approx(plain.score(queries, test.labels))
    for k in (1, 5, 10, 20, 50):
        nearest = np.argsort(-similar, axis=1)[:, :k]
        assert scores.metrics[f"recall_{k}"] == pytest.approx(np.take_along_axis(own, nearest, axis=1).any(axis=1).mean())
    precisions = [average_precision_score(own[row], similar[row]) for row in range(len(test))]
    assert scores.metrics["map"] == pytest.approx(np.mean(precisions))
    assert 0.2 < scores.metrics["recall_1"] < scores.metrics["recall_5"] < scores.metrics["recall_10"] <= 1


def test_a_case_worked_by_hand() -> None:
    # The mean of training is 0. Of (1, 0) the order is a, b, a, b: AP = (1 + 2/3) / 2; the query b finds its own second.
    train = side([[1, 0.1], [1, -0.5], [-1, 0.9], [-1, -0.5]], "abab")
    result = retrieval.evaluate(train, side([[5, 0], [5, 0]], "ab"), seed=0).metrics
    assert result["recall_1"] == result["accuracy"] == result["accuracy_per_class"] == 0.5
    # b lies on places 2 and 3 or 4, as the cosines of the two rows on the left are −0.74 and −0.89.
    assert result["map"] == pytest.approx(((1 + 2 / 3) / 2 + (1 / 2 + 2 / 4) / 2) / 2)


def test_only_depths_that_training_has_are_given() -> None:
    result = retrieval.evaluate(side([[1, 0], [0, 1], [1, 1], [2, 1], [1, 2]], "ababa"), side([[1, 0]], "a"), seed=0).metrics
    assert [name for name in result if name.startswith("recall_")] == ["recall_1", "recall_5"]
    assert result["recall_5"] == 1


def test_a_query_of_an_unseen_class_finds_nothing() -> None:
    result = retrieval.evaluate(blobs(10, 1, labels="ab", spread=0.01), blobs(5, 2, labels="abc", spread=0.01), seed=0).metrics
    assert result["recall_1"] == result["recall_20"] == pytest.approx(2 / 3)
    assert result["map"] == pytest.approx(2 / 3)
    assert (result["unseen_classes"], result["unseen_rows"]) == (1, 5)


def test_other_queries_and_test_labels_change_no_answer() -> None:
    train, test = blobs(20, 1, spread=3), blobs(9, 2, spread=3)
    first = retrieval.evaluate(train, test, seed=0)
    assert first.predicted is not None
    assert retrieval.evaluate(train, test.rows(test.ids[5:20]), seed=0).predicted == first.predicted[5:20]
    other = retrieval.evaluate(train, relabelled(test, test.labels[3:] + test.labels[:3]), seed=0)
    assert other.predicted == first.predicted
    assert other.metrics["accuracy"] < first.metrics["accuracy"]


def test_an_offset_and_a_scale_of_all_features_do_not_matter() -> None:
    train, test = blobs(20, 1), blobs(9, 2)
    moved = [Features(f.matrix_ND.astype(np.float64) * 1024 + 4096, f.ids, f.labels) for f in (train, test)]
    assert retrieval.evaluate(*moved, seed=1).predicted == retrieval.evaluate(train, test, seed=0).predicted


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = blobs(20, 1, spread=3), blobs(9, 2, spread=3)
    first = retrieval.evaluate(train, test, seed=0)
    monkeypatch.setattr(neighbours, "PAIRS", 7 * len(train))
    assert retrieval.evaluate(train, test, seed=0).predicted == first.predicted
    assert retrieval.evaluate(train, test, seed=0).metrics == pytest.approx(dict(first.metrics))


def test_the_shelf_holds_it() -> None:
    assert SHELF.take("retrieval") is retrieval
