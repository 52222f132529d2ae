"""Scores count every test video, and the test side's labels decide nothing but the count.

Shape legend: N videos, D features.
"""

import string
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elo_cli.config import resolve
from elo_cli.core.errors import DataError
from elo_cli.core.features import Features
from elo_cli.core.settings import Settings
from elo_cli.datasets import LabelledSet
from elo_cli.protocols import SHELF, Scores
from elo_cli.workflows.representations import Representation
from elo_cli.workflows.score_pictures import confusion
from elo_cli.workflows.scoring import SplitScores, counted, majority, own_settings, result_line, score_split
from tests.support.labelled_features import blobs
from tests.support.labelled_films import known_set

LOOKING = ("kmeans", "knn", "linear", "low-label", "retrieval")


def settings_of(*changes: str) -> Settings:
    return resolve("demo", None, list(changes), 0)


def parted(features: Features, test: int = 24) -> tuple[Features, LabelledSet]:
    """Rows and a set whose last `test` videos test."""
    labels = dict(zip(features.ids, map(str, features.labels), strict=True))
    return features, known_set(Path("/nowhere"), labels, features.ids[:-test], features.ids[-test:])


def of_labels(labelled: LabelledSet, features: Features, labels: dict[str, str]) -> tuple[Features, LabelledSet]:
    """The same videos with other labels."""
    [split] = labelled.splits
    found = Features(features.matrix_ND, features.ids, tuple(labels[name] for name in features.ids))
    return found, known_set(labelled.root, labels, split.train, split.test)


def test_what_cannot_be_read_lowers_each_share_by_hand(tmp_path: Path) -> None:
    labels = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "t": "a"}
    labelled = known_set(tmp_path, labels, ("t",), ("a1", "a2", "b1", "b2"))
    curve = [{"labels": 1, "accuracy": 0.5, "deviation": 0.1, "runs": [0.4, 0.6]}]
    scores = Scores({"accuracy": 2 / 3, "map": 0.9, "c": 4.0}, ("a", "a", "b"), {"curve": curve})
    found = counted(scores, ("a1", "b1", "b2"), labelled.splits[0], labelled, unread_train=0)  # a2 could not be read
    assert found.metrics["accuracy"] == pytest.approx(2 / 4)
    assert (found.metrics["map"], found.metrics["c"]) == (0.9, 4.0), "no shares of all test videos"
    assert (found.metrics["unreadable"], found.metrics["test_videos"]) == (1.0, 4.0)
    assert found.per_class == {"a": 1 / 2, "b": 1 / 2}
    assert found.metrics["accuracy_per_class"] == pytest.approx(0.5)
    assert found.confusion == {"a": {"a": 1, None: 1}, "b": {"a": 1, "b": 1}}
    [point] = found.details["curve"]
    assert point["accuracy"] == pytest.approx(0.375) and point["runs"] == pytest.approx([0.3, 0.45])
    table_CD, classes = confusion([found, found])
    assert classes == ["a", "b"] and table_CD.tolist() == [[2, 0, 2], [2, 2, 0]]


@pytest.mark.parametrize("protocol", LOOKING)
def test_a_protocol_that_lacks_test_rows_is_as_much_lower(protocol: str) -> None:
    features, labelled = parted(blobs(8, 1))
    [split] = labelled.splits
    gone = set(split.test[::4])
    rest = features.rows([name for name in features.ids if name not in gone])
    alone = known_set(Path("/nowhere"), {video.id: video.label for video in labelled.videos}, split.train,
                      tuple(name for name in split.test if name not in gone))  # fmt: skip
    settings = settings_of()
    lower = score_split(rest, protocol, split, labelled, settings)
    whole = score_split(rest, protocol, alone.splits[0], alone, settings)
    assert lower.metrics["accuracy"] == pytest.approx(whole.metrics["accuracy"] * 18 / 24)
    assert lower.metrics["unreadable"] == 6 and whole.metrics["unreadable"] == 0


@pytest.mark.parametrize("protocol", LOOKING)
def test_labels_of_the_test_side_choose_nothing(protocol: str) -> None:
    features, labelled = parted(blobs(8, 2))
    labels = {video.id: video.label for video in labelled.videos}
    test = labelled.splits[0].test
    turned = labels | {name: labels[other] for name, other in zip(test, (*test[5:], *test[:5]), strict=True)}
    scored = [score_split(*_swapped(each, protocol)) for each in ((features, labelled), of_labels(labelled, features, turned))]
    chosen = ("c", "c_accuracy", "neighbours", "k_accuracy", "clusters", "labels", "cross_validated")
    first, second = ({name: each.metrics.get(name) for name in chosen} for each in scored)
    assert first == second
    taken = [sum((Counter(row) for row in each.confusion.values()), Counter()) for each in scored]
    assert taken[0] == taken[1], "the same predictions, counted against other labels"
    assert protocol == "kmeans" or scored[0].metrics["accuracy"] != scored[1].metrics["accuracy"]


def _swapped(each: tuple[Features, LabelledSet], protocol: str) -> tuple[Any, ...]:
    features, labelled = each
    return features, protocol, labelled.splits[0], labelled, settings_of()


def test_a_side_without_videos_is_told(tmp_path: Path) -> None:
    features, labelled = parted(blobs(4, 1), 8)
    [split] = labelled.splits
    for kept, side in ((split.test, "training"), (split.train, "test")):
        with pytest.raises(DataError, match=f"no readable video on its {side} side") as caught:
            score_split(features.rows(kept), "linear", split, labelled, settings_of())
        assert "failures.jsonl" in caught.value.hint


def test_each_protocol_has_the_settings_of_its_section() -> None:
    settings = settings_of("benchmark.low_label.seeds=7", "benchmark.linear.grid=[2.0]")
    assert own_settings("low-label", settings)["seeds"] == 7
    assert own_settings("linear", settings)["grid"] == (2.0,)
    assert own_settings("retrieval", settings) == {}
    for name in LOOKING:  # each keyword is one that the protocol takes
        assert set(own_settings(name, settings)) <= set(SHELF.take(name).evaluate.__kwdefaults__ or {})


def test_always_the_commonest_class(tmp_path: Path) -> None:
    labels = dict(zip(string.ascii_lowercase[:7], "xxxyyxy", strict=True))
    [found] = majority(known_set(tmp_path, labels, tuple("abcde"), ("f", "g")))
    assert found.metrics["accuracy"] == 0.5


def test_a_line_is_the_mean_and_deviation_over_splits(tmp_path: Path) -> None:
    labelled = known_set(tmp_path, {"a": "x", "b": "y"}, ("a",), ("b",))
    curves = [[{"labels": 2, "accuracy": mean, "deviation": None, "runs": [mean]}] for mean in (0.2, 0.6)]
    scores = [
        SplitScores(
            name,
            {"accuracy": value, "clip_accuracy": value / 2, "unreadable": 1.0, "unread_train_videos": 2.0, **more},
            details={"curve": curve},
        )
        for name, value, more, curve in (("1", 0.2, {"odd": 1.0}, curves[0]), ("2", 0.6, {}, curves[1]))
    ]
    line = result_line(Representation("one", digest="ab"), "linear", scores, labelled, None, settings_of("benchmark.crops=3"))
    assert line["accuracy"] == pytest.approx(0.4) and line["deviation"] == pytest.approx(np.std([0.2, 0.6], ddof=1))
    assert line["metrics"] == {"accuracy": pytest.approx(0.4), "clip_accuracy": pytest.approx(0.2)}
    assert line["unreadable_test_videos"] == 2 and line["encoder"] == "ab"
    assert (line["crops"], line["average"]) == (None, None)
    assert line["details"]["curve"][0]["accuracy"] == pytest.approx(0.4)
    longer = SplitScores(
        "3", {"accuracy": 0.4, "unreadable": 0.0, "unread_train_videos": 0.0}, details={"curve": [*curves[0], *curves[1]]}
    )
    assert result_line(Representation("one"), "low-label", [*scores, longer], labelled, None, settings_of())["details"] == {}
    assert result_line(Representation("one"), "linear", scores[:1], labelled, None, settings_of())["deviation"] is None
    file = Representation("file", features=tmp_path / "f")
    told = result_line(file, "linear", scores, labelled, None, settings_of())
    assert (told["clips"], told["frames"], told["average"]) == (None, None, "as in the file")
