"""The few-shot protocol: what must be right, what must be chance, and episodes drawn by scikit-learn's classifier."""

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from elo_cli.core.errors import UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import numpy_generator
from elo_cli.protocols import SHELF, fewshot
from tests.support.labelled_features import CLASSES, blobs, relabelled, side


def test_classes_far_apart_are_all_right_and_noise_is_chance() -> None:
    clear = fewshot.evaluate(blobs(6, 1, spread=0.01), blobs(4, 2, spread=0.01), seed=0, episodes=40).metrics
    assert clear["accuracy"] == clear["accuracy_1shot"] == clear["accuracy_5shot"] == 1
    assert clear["interval_1shot"] == 0
    noise = blobs(200, 1, spread=1000)
    result = fewshot.evaluate(noise, blobs(200, 2, spread=1000), seed=0).metrics
    for name in ("1shot", "5shot"):
        assert abs(result[f"accuracy_{name}"] - 0.2) < 3 * result[f"interval_{name}"]
        assert 0 < result[f"interval_{name}"] < 0.02


def test_against_scikit_learn() -> None:
    # Two ways of two classes, all rows drawn: every episode is the same, and can be done by another's classifier.
    train, test = blobs(9, 1, labels="ab", spread=2), blobs(15, 2, labels="ab", spread=2)
    result = fewshot.evaluate(train, test, seed=0, ways=2, shots=(9,), queries=15, episodes=3).metrics
    mean = train.matrix_ND.astype(np.float64).mean(axis=0)
    supports, queries = (
        (rows - mean) / np.linalg.norm(rows - mean, axis=1, keepdims=True) for rows in (train.matrix_ND, test.matrix_ND)
    )
    assert result["accuracy"] == pytest.approx(NearestCentroid().fit(supports, train.labels).score(queries, test.labels))
    assert 0.5 < result["accuracy"] < 1
    assert result["interval_9shot"] == pytest.approx(0, abs=1e-12)


def test_the_interval_is_that_of_the_mean_of_episodes() -> None:
    # Over other seeds, the mean of 100 episodes deviates as the interval says: 1.96 deviations.
    train, test = blobs(20, 1, spread=2), blobs(20, 2, spread=2)
    runs = [fewshot.evaluate(train, test, seed=seed, shots=(1,), episodes=100).metrics for seed in range(60)]
    spread = np.std([run["accuracy"] for run in runs], ddof=1)
    assert np.mean([run["interval_1shot"] for run in runs]) == pytest.approx(1.96 * spread, rel=0.3)


def test_more_shots_help_and_accuracy_is_that_of_the_first() -> None:
    train, test = blobs(20, 1, spread=2), blobs(20, 2, spread=2)
    scores = fewshot.evaluate(train, test, seed=0, shots=(5, 1), episodes=200)
    result = scores.metrics
    assert result["accuracy"] == result["accuracy_5shot"] > result["accuracy_1shot"] + 0.05
    assert (result["ways"], result["episodes"]) == (5, 200)
    assert scores.predicted is None


def test_classes_with_too_few_rows_are_left_out() -> None:
    letters = "aabbccdde"  # e has one training row, and there is no query of d
    train = Features(blobs(1, 1, labels="aabbccdde", spread=0.01).matrix_ND, tuple(map(str, range(9))), tuple(letters))
    test = blobs(3, 2, labels="abce", spread=0.01)
    scores = fewshot.evaluate(train, test, seed=0, ways=3, shots=(1, 2), episodes=30)
    assert scores.details["classes"] == {"1": 4, "2": 3}
    assert scores.metrics["accuracy"] == 1
    with pytest.raises(UsageError, match=r"Only 3 classes have 2 training row\(s\) and a test row; an episode takes 4") as caught:
        fewshot.evaluate(train, test, seed=0, ways=4, shots=(1, 2))
    assert "ways" in caught.value.hint


def test_supports_are_of_training_and_queries_of_the_test() -> None:
    # The test side says the opposite of training: supports of the test side would be right.
    rows = np.repeat([[1.0, 0.0], [0.0, 1.0]], 8, axis=0) + numpy_generator(0, "noise").standard_normal((16, 2)) * 0.01
    result = fewshot.evaluate(side(rows, "a" * 8 + "b" * 8), side(rows, "b" * 8 + "a" * 8), seed=0, ways=2, episodes=20)
    assert result.metrics["accuracy"] == 0


def test_unseen_classes_are_not_drawn_and_are_counted() -> None:
    result = fewshot.evaluate(blobs(6, 1, labels="abcde", spread=0.01), blobs(3, 2, spread=0.01), seed=0, episodes=30).metrics
    assert result["accuracy"] == 1
    assert (result["unseen_classes"], result["unseen_rows"]) == (3, 9)


def test_names_of_classes_say_nothing() -> None:
    train, test = blobs(20, 1, spread=2), blobs(20, 2, spread=2)
    other = [relabelled(features, tuple(str(label).upper() for label in features.labels)) for features in (train, test)]
    first = fewshot.evaluate(train, test, seed=0, episodes=50)
    assert fewshot.evaluate(*other, seed=0, episodes=50) == first
    assert fewshot.evaluate(train, test, seed=1, episodes=50) != first


@pytest.mark.parametrize("wrong", [{"ways": 1}, {"shots": ()}, {"shots": (0,)}, {"queries": 0}, {"episodes": 1}, {"ways": 9}])
def test_wrong_settings_are_refused_with_a_hint(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        fewshot.evaluate(blobs(6, 1), blobs(3, 2), seed=0, **wrong)  # type: ignore[arg-type]
    assert caught.value.hint
    assert len(CLASSES) < 9


def test_the_shelf_holds_it() -> None:
    assert SHELF.take("fewshot") is fewshot
