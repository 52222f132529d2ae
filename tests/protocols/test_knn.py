"""The nearest-neighbour protocol: hand-worked cases and scikit-learn's own neighbours."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier

from elo_cli.core.errors import UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive
from elo_cli.protocols import SHELF, knn
from tests.support.labelled_features import blobs, relabelled, side, spots


def neighbours(count: int, temperature: float) -> KNeighborsClassifier:
    weights = lambda distance: np.exp((1 - distance) / temperature)  # noqa: E731
    return KNeighborsClassifier(count, metric="cosine", weights=weights)


@pytest.mark.parametrize("count", [1, 5, 20])
def test_against_scikit_learn(count: int) -> None:
    train, test = blobs(20, 1), blobs(9, 2)
    scores = knn.evaluate(train, test, seed=0, grid=(count,), temperature=0.2)
    plain = neighbours(count, 0.2).fit(train.matrix_ND.astype(np.float64), train.labels)
    share = plain.predict_proba(test.matrix_ND.astype(np.float64))
    assert scores.predicted == tuple(plain.classes_[share.argmax(axis=1)])
    assert scores.metrics["accuracy"] == pytest.approx(plain.score(test.matrix_ND.astype(np.float64), test.labels))
    if count == 20:  # so many that hardly a row has votes for fewer than five classes
        assert scores.metrics["accuracy_top5"] == pytest.approx(top_k_accuracy_score(test.labels, share, k=5), abs=0.05)
    assert 0.3 < scores.metrics["accuracy"] < 1
    assert (scores.metrics["neighbours"], scores.metrics["cross_validated"]) == (count, 0)


def test_k_is_the_best_under_cross_validation_inside_training() -> None:
    train, test = blobs(20, 1, spread=2), blobs(2, 2)
    matrix, labels, grid = train.matrix_ND.astype(np.float64), np.array(train.labels), (1, 3, 9, 30)
    parts = list(StratifiedKFold(3, shuffle=True, random_state=derive(4, "knn") % 2**32).split(matrix, labels))
    right = [
        sum(
            neighbours(count, 0.07).fit(matrix[rows], labels[rows]).score(matrix[held], labels[held]) * len(held)
            for rows, held in parts
        )
        for count in grid
    ]
    result = knn.evaluate(train, test, seed=4, grid=grid).metrics
    assert result["neighbours"] == grid[int(np.argmax(right))]
    assert result["k_accuracy"] == pytest.approx(max(right) / len(train))
    assert len(set(right)) > 1


def test_votes_worked_by_hand() -> None:
    # Beside (1, 0): one a at cosine 1 and two b at cosine 0.8. exp(1/t) against 2 exp(0.8/t): b wins for t above 0.2/ln 2.
    train, test = side([[1, 0], [4, 3], [4, -3], [0, 9]], "abbc"), side([[2, 0]], "a")
    cool, warm = (knn.evaluate(train, test, seed=0, grid=(3,), temperature=t) for t in (0.28, 0.3))
    assert (cool.predicted, warm.predicted) == (("a",), ("b",))
    assert warm.metrics["accuracy"] == 0
    assert warm.metrics["accuracy_top5"] == 1


def test_a_class_without_a_vote_is_not_among_the_five() -> None:
    train, test = side([[1, 0], [0, 1]], "ab"), side([[1, 0], [1, 0]], "ab")
    result = knn.evaluate(train, test, seed=0, grid=(1,)).metrics
    assert (result["accuracy"], result["accuracy_top5"], result["accuracy_per_class"]) == (0.5, 0.5, 0.5)


def test_a_tiny_temperature_asks_the_nearest_and_does_not_overflow() -> None:
    train, test = blobs(20, 1), blobs(9, 2)
    assert (
        knn.evaluate(train, test, seed=0, grid=(50,), temperature=1e-6).predicted
        == knn.evaluate(train, test, seed=0, grid=(1,)).predicted
    )


def test_length_says_nothing_and_features_are_not_centred() -> None:
    train, test = blobs(20, 1), blobs(9, 2)
    first = knn.evaluate(train, test, seed=0, grid=(7,))
    longer = Features(test.matrix_ND * np.arange(1, len(test) + 1)[:, None], test.ids, test.labels)
    assert knn.evaluate(train, longer, seed=0, grid=(7,)).predicted == first.predicted
    # Seen from the origin, (9, 8) is nearer to (1, 1) than to (9, 5); seen from the mean it is not.
    assert knn.evaluate(side([[1, 1], [9, 5]], "ab"), side([[9, 8]], "a"), seed=0, grid=(1,)).predicted == ("a",)


def test_numbers_above_the_training_side_are_left_out() -> None:
    train, test = blobs(1, 1), blobs(2, 2)
    result = knn.evaluate(train, test, seed=0, grid=(200, 8, 9)).metrics
    assert (result["neighbours"], result["cross_validated"]) == (8, 0)
    with pytest.raises(UsageError, match="8 rows, fewer than 9 neighbours"):
        knn.evaluate(train, test, seed=0, grid=(200, 9))


def test_classes_of_one_row_leave_the_smallest_number() -> None:
    result = knn.evaluate(blobs(1, 1), blobs(2, 2), seed=0).metrics
    assert (result["neighbours"], result["cross_validated"]) == (1, 0)
    assert "k_accuracy" not in result


def test_groups_are_held_out_whole() -> None:
    kept = spots()
    by_group = knn.evaluate(kept, kept, seed=0).metrics
    by_row = knn.evaluate(replace(kept, groups=None), kept, seed=0).metrics
    assert (by_group["grouped"], by_row["grouped"]) == (1, 0)
    assert by_row["k_accuracy"] == 1
    assert by_group["k_accuracy"] < 0.6


def test_test_labels_change_neither_predictions_nor_the_number() -> None:
    train, test = blobs(20, 1), blobs(9, 2)
    first = knn.evaluate(train, test, seed=0)
    other = knn.evaluate(train, relabelled(test, test.labels[3:] + test.labels[:3]), seed=0)
    assert other.predicted == first.predicted
    assert other.metrics["neighbours"] == first.metrics["neighbours"] > 1
    assert other.metrics["accuracy"] < first.metrics["accuracy"]


@pytest.mark.parametrize("wrong", [{"grid": ()}, {"grid": (0, 1)}, {"temperature": 0.0}, {"folds": 1}])
def test_wrong_settings_are_refused_with_a_hint(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        knn.evaluate(blobs(3, 1), blobs(3, 2), seed=0, **wrong)  # type: ignore[arg-type]
    assert caught.value.hint


def test_the_shelf_holds_it() -> None:
    assert SHELF.take("knn") is knn
