"""The weakly supervised fitness: hand-worked cases, a plain form, halves that share nothing, labels refused by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive, numpy_generator
from elo_cli.fitness import SHELF, weak
from elo_cli.vectors.clusters import k_means
from elo_cli.vectors.scaling import SCALINGS, scale


def labelled(matrix: object, labels: list[str | None] | str) -> Features:
    matrix_ND = np.asarray(matrix, np.float64).reshape(len(labels), -1)
    return Features(matrix_ND, tuple(map(str, range(len(labels)))), tuple(labels))


def blobs(per_class: int, spread: float, classes: str = "abcd") -> Features:
    centres = numpy_generator(0, "centres").standard_normal((len(classes), 6)) * 2
    noise = numpy_generator(1, "noise").standard_normal((len(classes) * per_class, 6)) * spread
    return labelled(np.tile(centres, (per_class, 1)) + noise, classes * per_class)


def plain(features: Features, seed: int, runs: int, clusters: int, scaling: str) -> list[float]:
    """The measure told row by row, with loops; only the halves and k-means itself are elo's."""
    kept = [n for n, label in enumerate(features.labels) if label is not None]
    names = [str(features.labels[n]) for n in kept]
    classes = sorted(set(names))
    rows = scale(features.matrix_ND[kept].astype(np.float64), scaling)
    accuracies = []
    for run in range(runs):
        own = derive(seed, "weak", run)
        first, second = weak.halves(np.array([classes.index(name) for name in names]), own)
        fitted = k_means(rows[first], clusters, derive(own, "k-means") % 2**32)
        tally: list[dict[str, int]] = [{} for _ in range(clusters)]
        for row in first:
            distances = [float(np.sum((rows[row] - centre) ** 2)) for centre in fitted.cluster_centers_]
            cell = tally[distances.index(min(distances))]
            cell[names[row]] = cell.get(names[row], 0) + 1
        named = [max(sorted(cell), key=lambda name, cell=cell: cell[name]) for cell in tally]
        right = 0
        for row in second:
            distances = [float(np.sum((rows[row] - centre) ** 2)) for centre in fitted.cluster_centers_]
            right += named[distances.index(min(distances))] == names[row]
        accuracies.append(right / len(second))
    return accuracies


@settings(max_examples=25, deadline=None)
@given(
    per_class=st.integers(3, 8),
    spread=st.floats(0.5, 4),
    seed=st.integers(0, 2**32),
    clusters=st.integers(2, 6),
    scaling=st.sampled_from(SCALINGS),
)
def test_it_is_the_plain_form(per_class: int, spread: float, seed: int, clusters: int, scaling: str) -> None:
    features = blobs(per_class, spread)
    report = weak.measure(features, seed=seed, labelled_clusters=clusters, runs=2, scaling=scaling)
    assert report.details["runs_accuracy"] == pytest.approx(plain(features, seed, 2, clusters, scaling))


def test_classes_apart_are_told_and_noise_is_not() -> None:
    apart = weak.measure(blobs(20, 0.05), seed=0)
    assert max(apart.details["runs_accuracy"]) == 1 and apart.value > 0.8  # k-means falls into a worse optimum in some runs
    assert apart.larger_is_better and apart.score == apart.value
    noise = weak.measure(labelled(numpy_generator(0, "x").standard_normal((400, 6)), "abcd" * 100), seed=0)
    assert noise.value == pytest.approx(0.25, abs=0.05) and noise.details["chance"] == 0.25


def test_rows_that_name_a_cluster_are_not_judged_by_it() -> None:
    # With a cluster for every naming row, judging those very rows would give 1; unseen ones of no structure give chance.
    features = labelled(numpy_generator(3, "x").standard_normal((200, 8)), "ab" * 100)
    report = weak.measure(features, seed=0, labelled_clusters=100, runs=10)
    assert report.value == pytest.approx(0.5, abs=0.1)


@given(sizes=st.lists(st.integers(2, 9), min_size=1, max_size=5), seed=st.integers(0, 2**63))
def test_halves_share_no_row_and_hold_half_of_every_class(sizes: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    first, second = weak.halves(labels, seed)
    assert sorted([*first, *second]) == list(range(len(labels)))
    assert np.bincount(labels[first], minlength=len(sizes)).tolist() == [(size + 1) // 2 for size in sizes]


def test_every_run_has_halves_of_its_own() -> None:
    labels = np.repeat([0, 1], 10)
    drawn = {tuple(weak.halves(labels, derive(0, "weak", run))[0]) for run in range(20)}
    assert len(drawn) == 20


def test_details_say_how_it_was_measured() -> None:
    features = blobs(10, 0.5)
    bare = Features(
        np.vstack([features.matrix_ND, np.full((2, 6), np.nan)]), (*features.ids, "x", "y"), (*features.labels, None, None)
    )
    report = weak.measure(bare, seed=0, runs=3, scaling="rms")
    assert report == weak.measure(bare, seed=0, runs=3, scaling="rms")
    same = weak.measure(features, seed=0, runs=3, scaling="rms")
    assert same.value == report.value, "rows without label are left out, whatever they hold"
    wanted = {"clusters": 4, "classes": 4, "rows": 40, "unlabelled": 2, "runs": 3, "scaling": "rms", "labelled_clusters": None}
    assert {key: report.details[key] for key in wanted} == wanted
    assert report.value == pytest.approx(np.mean(report.details["runs_accuracy"]))
    assert report.details["std"] == pytest.approx(np.std(report.details["runs_accuracy"]))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([None] * 8, "none of 8 rows has one"),
        (["a"] * 8, "All 8 labelled rows have the label 'a'"),
        (["a"] * 4 + ["b"] + [None] * 3, "1 of 2 classes have a single row, such as 'b'"),
    ],
)
def test_labels_that_allow_no_judgement_are_refused(labels: list[str | None], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        weak.measure(labelled(np.eye(8), labels), seed=0)
    assert caught.value.hint


@pytest.mark.parametrize("wrong", [{"labelled_clusters": 5}, {"labelled_clusters": 0}, {"runs": 0}, {"scaling": "rsm"}])
def test_wrong_settings_are_refused_with_a_hint(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        weak.measure(labelled(np.eye(8), "aaaabbbb"), seed=0, **wrong)  # type: ignore[arg-type]
    assert caught.value.hint


def test_a_half_with_too_few_different_rows_is_collapsed_by_name() -> None:
    rows = np.repeat(np.eye(3), [10, 1, 1], axis=0)  # three different rows, but not in every half
    report = weak.measure(labelled(rows, "ab" * 6), seed=0, labelled_clusters=3)
    assert report.collapsed is not None and "fewer rows than the 3 clusters" in report.collapsed


def test_the_shelf_holds_it() -> None:
    assert SHELF.take("weak") is weak
