"""The linear protocol: hand-worked cases and scikit-learn's own numbers."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive
from elo_cli.protocols import SHELF, linear
from elo_cli.vectors.layer import GRID
from tests.support.labelled_features import CLASSES, blobs, relabelled, side, spots


def test_against_scikit_learn() -> None:
    train, test = blobs(30, 1, spread=2.5), blobs(13, 2, spread=2.5)
    result = linear.evaluate(train, test, seed=0, tolerance=1e-8).metrics
    scaler = StandardScaler().fit(train.matrix_ND.astype(np.float64))
    train_x, test_x = (scaler.transform(side.matrix_ND.astype(np.float64)) for side in (train, test))
    plain = LogisticRegression(C=result["c"], tol=1e-8, max_iter=5000).fit(train_x, train.labels)
    assert result["accuracy"] == pytest.approx(plain.score(test_x, test.labels), abs=0.011)
    top5 = top_k_accuracy_score(test.labels, plain.decision_function(test_x), k=5)
    assert result["accuracy_top5"] == pytest.approx(top5, abs=0.011)
    assert result["accuracy_per_class"] == pytest.approx(balanced_accuracy_score(test.labels, plain.predict(test_x)), abs=0.011)
    assert 0.25 < result["accuracy"] < result["accuracy_top5"] < 1
    assert result["cross_validated"] == result["converged"] == 1


def test_c_is_the_best_of_the_grid_under_cross_validation_inside_training() -> None:
    train, test = blobs(12, 1, spread=1.5), blobs(2, 2)
    matrix = StandardScaler().fit_transform(train.matrix_ND.astype(np.float64))
    folds = StratifiedKFold(3, shuffle=True, random_state=derive(4, "linear") % 2**32)
    with threadpool_limits(limits=1):
        accuracy = {
            c: np.mean(cross_val_score(LogisticRegression(C=c, tol=1e-8, max_iter=5000), matrix, train.labels, cv=folds))
            for c in GRID
        }
    result = linear.evaluate(train, test, seed=4, tolerance=1e-8).metrics
    assert result["c_accuracy"] == pytest.approx(max(accuracy.values()), abs=0.011)
    assert accuracy[result["c"]] == pytest.approx(max(accuracy.values()), abs=0.011)
    assert len(set(accuracy.values())) > 1


def test_a_grid_of_one_value_leaves_nothing_to_choose() -> None:
    result = linear.evaluate(blobs(12, 1), blobs(2, 2), seed=0, grid=(0.5,)).metrics
    assert (result["c"], result["cross_validated"]) == (0.5, 0.0)
    assert "c_accuracy" not in result


@pytest.mark.parametrize("labels", ["ab", "abc", CLASSES])
def test_separable_classes_are_all_right(labels: str) -> None:
    result = linear.evaluate(blobs(10, 1, spread=0.01, labels=labels), blobs(5, 2, spread=0.01, labels=labels), seed=0).metrics
    assert result["accuracy"] == result["accuracy_top5"] == result["accuracy_per_class"] == 1


def test_classes_of_one_row_leave_c_at_one_and_the_result_says_so() -> None:
    result = linear.evaluate(blobs(1, 1, spread=0.01), blobs(4, 2, spread=0.01), seed=0).metrics
    assert result["accuracy"] == 1
    assert (result["c"], result["cross_validated"]) == (1.0, 0.0)
    assert "c_accuracy" not in result


def test_classes_of_two_rows_are_cross_validated_in_two_folds() -> None:
    assert linear.evaluate(blobs(2, 1), blobs(4, 2), seed=0, folds=5).metrics["cross_validated"] == 1


def test_classes_that_training_does_not_have_count_as_wrong() -> None:
    train, test = blobs(10, 1, spread=0.01, labels="abc"), blobs(5, 2, spread=0.01, labels="abcde")
    result = linear.evaluate(train, test, seed=0).metrics
    assert result["accuracy"] == result["accuracy_top5"] == result["accuracy_per_class"] == pytest.approx(3 / 5)
    assert (result["unseen_classes"], result["unseen_rows"]) == (2, 10)


def test_per_class_accuracy_is_the_mean_over_classes_not_rows() -> None:
    train, test = side([0, 1] * 4, "ab" * 4), side([0, 0, 0, 0], "aaab")
    result = linear.evaluate(train, test, seed=0).metrics
    assert result["accuracy"] == pytest.approx(3 / 4)
    assert result["accuracy_per_class"] == pytest.approx(1 / 2)


def test_size_and_offset_of_features_do_not_matter_and_seeds_only_choose_folds() -> None:
    train, test = blobs(20, 1, spread=2.5), blobs(10, 2, spread=2.5)
    first = linear.evaluate(train, test, seed=0)
    assert linear.evaluate(train, test, seed=0) == first
    moved = [Features(f.matrix_ND * 1024 + 4096, f.ids, f.labels) for f in (train, test)]
    assert linear.evaluate(*moved, seed=0).metrics["accuracy"] == pytest.approx(first.metrics["accuracy"], abs=0.03)
    assert {linear.evaluate(train, test, seed=seed, grid=(0.1,)).metrics["accuracy"] for seed in range(3)} == {
        linear.evaluate(train, test, seed=9, grid=(0.1,)).metrics["accuracy"]
    }


def test_a_video_is_what_the_mean_softmax_of_its_views_says() -> None:
    train, test = blobs(12, 1, views=3, spread=3), blobs(9, 2, views=5, spread=3)
    scores = linear.evaluate(train, test, seed=0, grid=(0.05,), tolerance=1e-9)
    scaler = StandardScaler().fit(train.views.reshape(-1, 12).astype(np.float64))
    plain = LogisticRegression(C=0.05, tol=1e-9, max_iter=5000)
    plain.fit(scaler.transform(train.views.reshape(-1, 12).astype(np.float64)), np.repeat(train.labels, 3))
    softmax = plain.predict_proba(scaler.transform(test.views.reshape(-1, 12).astype(np.float64))).reshape(72, 5, 8)
    predicted = plain.classes_[softmax.mean(axis=1).argmax(axis=1)]
    assert scores.predicted == tuple(predicted)
    assert scores.metrics["accuracy"] == pytest.approx(np.mean(predicted == np.array(test.labels)))
    clips = plain.classes_[softmax.argmax(axis=2)] == np.array(test.labels)[:, None]
    assert scores.metrics["clip_accuracy"] == pytest.approx(clips.mean())
    assert scores.metrics["clip_accuracy"] < scores.metrics["accuracy"] - 0.1


def test_with_one_view_clips_are_videos() -> None:
    result = linear.evaluate(blobs(12, 1), blobs(9, 2), seed=0).metrics
    assert result["clip_accuracy"] == result["accuracy"] < 1


def test_cross_validation_parts_neither_groups_nor_views() -> None:
    kept = spots()
    by_group = linear.evaluate(kept, kept, seed=0).metrics
    by_row = linear.evaluate(replace(kept, groups=None), kept, seed=0).metrics
    assert (by_group["grouped"], by_row["grouped"]) == (1, 0)
    assert by_row["c_accuracy"] == 1
    assert by_group["c_accuracy"] < 0.6
    views = Features.of_views(kept.matrix_ND.reshape(24, 6, 40), kept.ids[::6], kept.labels[::6])
    assert linear.evaluate(views, views, seed=0).metrics["c_accuracy"] < 0.6


def test_test_labels_change_neither_predictions_nor_c() -> None:
    train, test = blobs(12, 1), blobs(9, 2)
    first = linear.evaluate(train, test, seed=0)
    other = linear.evaluate(train, relabelled(test, test.labels[3:] + test.labels[:3]), seed=0)
    assert other.predicted == first.predicted
    assert [other.metrics[name] for name in ("c", "c_accuracy")] == [first.metrics[name] for name in ("c", "c_accuracy")]
    assert other.metrics["accuracy"] < first.metrics["accuracy"]


def test_too_few_iterations_are_said() -> None:
    assert linear.evaluate(blobs(20, 1), blobs(5, 2), seed=0, iterations=2).metrics["converged"] == 0


def test_bad_sides_are_refused() -> None:
    good, bad = blobs(3, 1), blobs(3, 2)
    bad.matrix_ND[4, 0] = np.nan
    with pytest.raises(DataError, match="1 of 24 test rows hold NaN"):
        linear.evaluate(good, bad, seed=0)
    with pytest.raises(DataError, match="All training rows have the label 'a'"):
        linear.evaluate(blobs(5, 1, labels="a"), good, seed=0)


@pytest.mark.parametrize("wrong", [{"grid": ()}, {"grid": (0.0, 1.0)}, {"folds": 1}, {"iterations": 0}, {"tolerance": 0.0}])
def test_wrong_settings_are_refused_with_a_hint(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        linear.evaluate(blobs(3, 1), blobs(3, 2), seed=0, **wrong)  # type: ignore[arg-type]
    assert caught.value.hint


def test_the_shelf_holds_it() -> None:
    assert SHELF.take("linear") is linear
