"""What holds for every protocol that scores features: one battery over the shelf."""

import inspect
import json
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from elo_cli.core.errors import DataError, EloError
from elo_cli.core.features import Features
from elo_cli.core.settings import Settings
from elo_cli.protocols import SHELF, Scores
from elo_cli.workflows.scoring import own_settings
from tests.support.labelled_features import blobs, relabelled, shuffled, side

NAMES = [name for name in SHELF.names() if hasattr(SHELF.take(name), "evaluate")]
# Settings under which the battery's few rows are enough; those of an entry that is not here are its defaults.
SETTINGS: dict[str, dict[str, Any]] = {
    "fewshot": {"ways": 2, "shots": (1, 2), "episodes": 60},
    "kmeans": {"runs": 3},
    "low-label": {"counts": (8, 16), "seeds": 2},
}
# Settings that leave nothing to draw or to choose: then the order of the training rows cannot matter.
FIXED: dict[str, dict[str, Any]] = {"knn": {"grid": (5,)}, "linear": {"grid": (0.1,)}, "retrieval": {}}
SHARES = ("accuracy", "recall", "map", "nmi", "purity", "hungarian")


def score(name: str, train: Features, test: Features, *, seed: int = 0, **settings: Any) -> Scores:
    scores: Scores = SHELF.take(name).evaluate(train, test, seed=seed, **(SETTINGS.get(name, {}) | settings))
    return scores


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_battery_sees_the_entries() -> None:
    assert set(NAMES) >= {"fewshot", "kmeans", "knn", "linear", "low-label", "retrieval"}


def test_settings_and_parameters_are_the_same(name: str) -> None:
    given = own_settings(name, Settings())
    parameters = inspect.signature(SHELF.take(name).evaluate).parameters
    assert {key: parameters[key].default for key in given} == given
    extra = set(parameters) - set(given) - {"train", "test", "seed"}
    assert extra == ({"iterations", "tolerance"} if name == "linear" else set())
    assert all(parameters[key].default is not inspect.Parameter.empty for key in extra)


def test_scores_are_what_the_contract_says(name: str) -> None:
    train, test = blobs(8, 1), blobs(6, 2)
    scores = score(name, train, test)
    assert {"accuracy", "unseen_classes", "unseen_rows"} <= set(scores.metrics)
    assert all(type(value) is float and np.isfinite(value) for value in scores.metrics.values())
    assert all(0 <= value <= 1 for key, value in scores.metrics.items() if key.startswith(SHARES))
    assert json.loads(json.dumps(dict(scores.details))) == scores.details
    if scores.predicted is not None:
        assert len(scores.predicted) == len(test)
        right = np.mean([said == label for said, label in zip(scores.predicted, test.labels, strict=True)])
        assert scores.metrics["accuracy"] == pytest.approx(right)
    assert 0.3 < scores.metrics["accuracy"] < 1  # the blobs overlap, and are not chance


def test_the_same_again_and_for_every_number_of_threads(name: str) -> None:
    train, test = blobs(8, 1, views=2), blobs(6, 2, views=2)
    outcomes = []
    for threads in (1, 2, 5, 1):
        with threadpool_limits(limits=threads):
            outcomes.append(score(name, train, test, seed=7))
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_inputs_are_not_changed(name: str) -> None:
    train, test = blobs(8, 1, views=2), blobs(6, 2, views=2)
    before = [array.copy() for features in (train, test) for array in (features.matrix_ND, features.views)]
    score(name, train, test)
    after = [array for features in (train, test) for array in (features.matrix_ND, features.views)]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_clear_classes_are_all_right_also_two_of_them(name: str) -> None:
    for labels in ("ab", "abcdefgh"):
        sides = blobs(8, 1, spread=0.01, labels=labels), blobs(6, 2, spread=0.01, labels=labels)
        # Two k-means centres may begin in one class; only with two classes is every run sure.
        least = 0.6 if name == "kmeans" and labels != "ab" else 1.0
        assert least <= score(name, *sides).metrics["accuracy"] <= 1


def test_classes_that_training_lacks_count_as_wrong(name: str) -> None:
    scores = score(name, blobs(8, 1, spread=0.01, labels="ab"), blobs(6, 2, spread=0.01, labels="abcd"))
    assert (scores.metrics["unseen_classes"], scores.metrics["unseen_rows"]) == (2, 12)
    if name == "fewshot":
        assert scores.metrics["accuracy"] == 1  # its episodes never ask for them
    else:
        assert scores.metrics["accuracy"] == pytest.approx(0.5)
    assert scores.predicted is None or set(scores.predicted) <= {"a", "b"}


def test_a_test_side_of_unseen_classes_alone_is_no_success(name: str) -> None:
    train, test = blobs(8, 1, labels="ab"), blobs(6, 2, labels="cd")
    if name == "fewshot":
        with pytest.raises(EloError):
            score(name, train, test)
    else:
        assert score(name, train, test).metrics["accuracy"] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_refused(name: str, bad: float) -> None:
    good, broken, hidden = blobs(8, 1), blobs(8, 2), blobs(8, 2, views=2)
    broken.matrix_ND[3, 1] = bad
    hidden.views[4, 1, 0] = bad  # in a view alone
    for sides in ((good, broken), (broken, good), (good, hidden), (hidden, good)):
        with pytest.raises(DataError, match=r"1 of 64 (test|training) rows hold NaN or infinite") as caught:
            score(name, *sides)
        assert caught.value.hint


def test_an_empty_side_a_bare_row_and_other_widths_are_refused(name: str) -> None:
    good, empty = blobs(8, 1), Features(np.zeros((0, 12), np.float32), (), ())
    bare = Features(good.matrix_ND, good.ids, (None, *good.labels[1:]))
    for wrong in (empty, bare, side(np.eye(2), "ab")):
        for sides in ((good, wrong), (wrong, good)):
            with pytest.raises(DataError) as caught:
                score(name, *sides)
            assert caught.value.hint


def test_constant_features_are_refused_and_a_constant_feature_is_not(name: str) -> None:
    train, test = blobs(8, 1), blobs(6, 2)
    flat = Features(np.full_like(train.matrix_ND, 0.1), train.ids, train.labels)
    with pytest.raises(DataError, match="same features"):
        score(name, flat, test)
    score(name, train, Features(np.full_like(test.matrix_ND, 0.1), test.ids, test.labels))
    train.matrix_ND[:, 3] = test.matrix_ND[:, 3] = 0.1
    assert 0.3 < score(name, train, test).metrics["accuracy"] < 1


def test_one_class_only_is_refused_or_trivial(name: str) -> None:
    train, test = blobs(8, 1, labels="a"), blobs(6, 2, labels="ab")
    if name in ("fewshot", "linear", "low-label"):
        with pytest.raises(EloError) as caught:
            score(name, train, test)
        assert caught.value.hint
    else:
        assert score(name, train, test).metrics["accuracy"] == pytest.approx(0.5)


def test_the_order_of_test_rows_does_not_matter(name: str) -> None:
    if name == "fewshot":
        pytest.skip("queries are drawn by their place")
    train, test = blobs(8, 1, views=2), blobs(6, 2, views=2)
    moved, order = shuffled(test, 3)
    first, other = score(name, train, test), score(name, train, moved)
    assert dict(other.metrics) == pytest.approx(dict(first.metrics))
    if first.predicted is not None:
        assert other.predicted == tuple(first.predicted[row] for row in order)


@pytest.mark.parametrize("fixed", FIXED)
def test_the_order_of_training_rows_does_not_matter_where_nothing_is_drawn(fixed: str) -> None:
    train, test = blobs(8, 1, views=2), blobs(6, 2, views=2)
    first = score(fixed, train, test, **FIXED[fixed])
    other = score(fixed, shuffled(train, 3)[0], test, **FIXED[fixed])
    assert dict(other.metrics) == pytest.approx(dict(first.metrics))
    assert other.predicted == first.predicted


def test_test_labels_decide_no_answer(name: str) -> None:
    train, test = blobs(8, 1), blobs(6, 2)
    first, other = score(name, train, test), score(name, train, relabelled(test, test.labels[1:] + test.labels[:1]))
    assert other.predicted == first.predicted
    assert other.metrics["accuracy"] < first.metrics["accuracy"]
    for chosen in ("c", "c_accuracy", "neighbours", "k_accuracy"):
        assert other.metrics.get(chosen) == first.metrics.get(chosen)
