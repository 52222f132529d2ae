"""Features and labels → scores: each protocol on each split, with everything that must be known to compare a number."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features
from elo_cli.core.section import Section
from elo_cli.core.seeds import derive
from elo_cli.core.settings import Settings
from elo_cli.datasets import LabelledSet, Split
from elo_cli.engine.export import LoadedEncoder
from elo_cli.protocols import SHELF as PROTOCOLS
from elo_cli.protocols import Scores
from elo_cli.workflows.representations import Representation

_AS = {"low-label": "linear"}  # with all labels it is the other protocol, to the digit
_COUNTS = ("unreadable", "test_videos", "train_videos", "unread_train_videos")


@dataclass(frozen=True)
class SplitScores:
    """What a protocol says of one representation on one split, all test videos counted.

    Attributes:
        split: its name.
        metrics: by name.
        per_class: the share of the test videos of each class that are classified rightly; empty where no class is predicted.
        confusion: for each class how many of its test videos are taken for which; `None` counts the unreadable ones.
        details: what is no single number.
    """

    split: str
    metrics: Mapping[str, float]
    per_class: Mapping[str, float] = field(default_factory=dict)
    confusion: Mapping[str, Mapping[str | None, int]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return it as JSON, without the confusion, of which there is a picture."""
        told: dict[str, Any] = {"split": self.split, **self.metrics}
        for name, more in (("per_class", self.per_class), ("details", self.details)):
            told |= {name: dict(more)} if more else {}
        return told


def score_split(features: Features, protocol: str, split: Split, labelled: LabelledSet, settings: Settings) -> SplitScores:
    """Score features by a protocol that looks at features alone.

    Args:
        features: of the readable videos of the set, with labels and groups.
        protocol: an entry of `elo_cli/protocols` that has `evaluate`.
        split: which rows train, and which test.
        labelled: the set.
        settings: those of `benchmark` that are the protocol's, and the seed.

    Raises:
        DataError: a side has no readable video.
    """
    readable = set(features.ids)
    train, test = (features.rows([name for name in side if name in readable]) for side in (split.train, split.test))
    check_sides(len(train), len(test), split)
    scores: Scores = PROTOCOLS.take(protocol).evaluate(
        train, test, seed=derive(settings.seed, _AS.get(protocol, protocol)), **own_settings(protocol, settings)
    )
    return counted(scores, test.ids, split, labelled, unread_train=len(split.train) - len(train))


def check_sides(train: int, test: int, split: Split) -> None:
    """Make sure that both sides of a split have readable videos.

    Raises:
        DataError: one has none.
    """
    if not train or not test:
        side = "training" if not train else "test"
        hint = "failures.jsonl of the prepared set says why videos were not readable; features of a file may be of other videos."
        raise DataError(f"Split {split.name} has no readable video on its {side} side.", hint=hint)


def check_scored(lines: Sequence[Mapping[str, Any]], result: Path) -> None:
    """Make sure that something beside guessing has a score.

    Raises:
        DataError: nothing has one.
    """
    failed = [line for line in lines if line["failed"]]
    if failed and not any(line["accuracy"] is not None for line in lines if line["protocol"] != "majority"):
        first = failed[0]
        raise DataError(
            f"Nothing could be scored. {first['representation']}, {first['protocol']}: {first['failed']}",
            hint=f"{result} says of each why.",
        )


def check_episodes(labelled: LabelledSet, settings: Settings) -> None:
    """Make sure, before anything is extracted, that few-shot episodes can be drawn of the videos that are listed.

    Raises:
        UsageError: a split has too few classes with enough videos.
    """
    ways, shots = settings.benchmark.fewshot.ways, max(settings.benchmark.fewshot.shots)
    for split in labelled.splits:
        train, test = (Counter(labelled.by_id[name].label for name in side) for side in (split.train, split.test))
        able = sum(count >= shots and test[label] > 0 for label, count in train.items())
        if able < ways:
            raise UsageError(
                f"Split {split.name} of {labelled.name} has {able} classes with {shots} training videos and a test video;"
                f" a few-shot episode takes {ways}.",
                hint="Lower benchmark.fewshot.ways or shots, give more videos of each class, or leave fewshot out.",
            )


def own_settings(protocol: str, settings: Settings) -> dict[str, Any]:
    """Return the section of `benchmark` that has a protocol's name, as keywords, and that of the protocol it does as."""
    return {key: value for one in _sections(protocol, settings) for key, value in one.model_dump(exclude={"by"}).items()}


def told_settings(protocol: str, settings: Settings) -> dict[str, Any]:
    """Return the settings that a protocol's numbers follow from, as plain JSON."""
    return {key: value for one in _sections(protocol, settings) for key, value in one.model_dump(mode="json").items()}


def _sections(protocol: str, settings: Settings) -> list[Section]:
    names = [protocol]
    if protocol in _AS:
        names.insert(0, "finetune" if settings.benchmark.low_label.by == "finetune" else _AS[protocol])
    found = (getattr(settings.benchmark, name.replace("-", "_"), None) for name in names)
    return [one for one in found if one is not None]


def counted(scores: Scores, ids: Sequence[str], split: Split, labelled: LabelledSet, *, unread_train: int) -> SplitScores:
    """Let test videos that cannot be read count as wrong, as no class of theirs is known, and count classes.

    Args:
        scores: of the readable test videos.
        ids: which these are, in the order of `scores.predicted`.
        split: all that should be there.
        labelled: the set, which knows the labels.
        unread_train: training videos that could not be read.
    """
    share = len(ids) / len(split.test)
    metrics = {name: value * share if name in scores.shares else value for name, value in scores.metrics.items()}
    details = {**scores.details, **({"curve": _lowered(scores.details["curve"], share)} if "curve" in scores.details else {})}
    counts = {"test_videos": len(split.test), "unreadable": len(split.test) - len(ids)}
    counts |= {"train_videos": len(split.train), "unread_train_videos": unread_train}
    metrics |= {name: float(count) for name, count in counts.items()}
    known, right = labelled.by_id, scores.right
    if scores.predicted is not None:
        right = tuple(float(label == known[name].label) for name, label in zip(ids, scores.predicted, strict=True))
    if right is None:
        return SplitScores(split.name, metrics, details=details)
    shares: dict[str, list[float]] = {label: [] for label in sorted({known[name].label for name in split.test})}
    got = dict(zip(ids, right, strict=True))
    for name in split.test:
        shares[known[name].label].append(got.get(name, 0.0))
    per_class = {label: float(np.mean(values)) for label, values in shares.items()}
    metrics["accuracy_per_class"] = float(np.mean(list(per_class.values())))
    return SplitScores(split.name, metrics, per_class, _confusion(scores, ids, split, labelled), details)


def _confusion(scores: Scores, ids: Sequence[str], split: Split, labelled: LabelledSet) -> Mapping[str, Mapping[str | None, int]]:
    """Count for each class which ones its test videos are taken for; of several predictions there is none to show."""
    if scores.predicted is None:
        return {}
    known, taken = labelled.by_id, dict[str, str | None](zip(ids, scores.predicted, strict=True))
    confusion: dict[str, Counter[str | None]] = {label: Counter() for label in sorted({known[name].label for name in split.test})}
    for name in split.test:
        confusion[known[name].label][taken.get(name)] += 1
    return confusion


def _lowered(curve: Sequence[Mapping[str, Any]], share: float) -> list[dict[str, Any]]:
    """Let the test videos that cannot be read count as wrong at each point of a curve."""
    return [
        {
            **point,
            "accuracy": point["accuracy"] * share,
            "deviation": None if point["deviation"] is None else point["deviation"] * share,
            "runs": [run * share for run in point["runs"]],
        }
        for point in curve
    ]


def majority(labelled: LabelledSet) -> list[SplitScores]:
    """What always answering the commonest class of the training side would get."""
    known, found = labelled.by_id, []
    for split in labelled.splits:
        commonest = Counter(known[name].label for name in split.train).most_common(1)[0][0]
        answers = Scores({"accuracy": float(np.mean([known[name].label == commonest for name in split.test]))})
        found.append(counted(answers, split.test, split, labelled, unread_train=0))
    return found


def result_line(
    one: Representation,
    protocol: str,
    scores: Sequence[SplitScores] | str,
    labelled: LabelledSet,
    like: LoadedEncoder | None,
    settings: Settings,
    data: str | None = None,
) -> dict[str, Any]:
    """Say everything that must be known to compare a number with another.

    Args:
        one: what was scored.
        protocol: by what.
        scores: on each split; or why there are none, in words.
        labelled: of which set.
        like: the encoder whose clips were looked at; None for a file of features, which does not tell.
        settings: how.
        data: the fingerprint of what was looked at: of frames, and of how they were stored.
    """
    given, failed = settings.benchmark, scores if isinstance(scores, str) else None
    splits: Sequence[SplitScores] = () if isinstance(scores, str) else scores
    accuracies = [each.metrics["accuracy"] for each in splits]
    clip = None if like is None else like.clip
    averaged = given.average if protocol in ("linear", "low-label", "finetune") else "features"
    if one.features is not None or (averaged == "features" and given.clips * given.crops > 1):
        # Single views were not scored: clip@1 would be video@1 under another name.
        metrics = [{name: value for name, value in each.metrics.items() if name != "clip_accuracy"} for each in splits]
        splits = [replace(each, metrics=own) for each, own in zip(splits, metrics, strict=True)]
    common = set.intersection(*(set(each.metrics) for each in splits)) - set(_COUNTS) if splits else set()
    if len(splits) > 1:  # what tells how far one split's number may be off says nothing of the mean over splits
        common = {name for name in common if not name.endswith("_std") and not name.startswith("interval_")}
    return {
        "representation": one.name,
        "row": one.row,
        "dataset": labelled.name,
        "protocol": protocol,
        "accuracy": float(np.mean(accuracies)) if splits else None,
        "failed": failed,
        "deviation": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "metrics": {name: float(np.mean([each.metrics[name] for each in splits])) for name in sorted(common)},
        "splits": [each.record() for each in splits],
        "settings": told_settings(protocol, settings),
        "details": _details(splits),
        "missing_videos": len(labelled.missing),
        "unreadable_test_videos": int(sum(each.metrics["unreadable"] for each in splits)),
        "unreadable_train_videos": int(sum(each.metrics["unread_train_videos"] for each in splits)),
        "frames": clip and clip.frames,
        "stride": clip and clip.stride,
        "fps": None if like is None else like.card["input"]["fps"],
        "size": clip and clip.size,
        "clips": like and given.clips,
        "crops": like and given.crops,
        "average": averaged if like is not None else "as in the file" if one.features is not None else None,
        "data": data,
        "seed": settings.seed,
        "encoder": one.digest,
        "search": one.search,
    }


def _details(scores: Sequence[SplitScores]) -> dict[str, Any]:
    """Average curves over splits, point by point, where all have as many; that of each split stands with it."""
    curves = [each.details["curve"] for each in scores if "curve" in each.details]
    if not curves or len(curves) < len(scores) or len({len(curve) for curve in curves}) > 1:
        return {}
    points = []
    for same in zip(*curves, strict=True):
        deviations = [point["deviation"] for point in same if point["deviation"] is not None]
        deviation = statistics.mean(deviations) if len(deviations) == len(same) else None  # over draws, as in each split
        labels = round(statistics.mean(point["labels"] for point in same))  # splits may differ by a few videos
        accuracy = float(np.mean([point["accuracy"] for point in same]))
        points.append({"labels": labels, "accuracy": accuracy, "deviation": deviation})
    return {"curve": points, "by": scores[0].details.get("by")}
