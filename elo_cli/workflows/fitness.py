"""`elo fitness`: what the measures say of a file of features, whoever made it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elo_cli.core.features import Features
from elo_cli.core.settings import Settings
from elo_cli.data.matrices import read_features
from elo_cli.fitness import SHELF as FITNESS
from elo_cli.fitness import FitnessReport
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Outcome, Table, Watch
from elo_cli.workflows.judging import check_clusters, measure, needs_labels

_FILE = "features.safetensors"  # what elo extract-features writes into its folder


def plan(
    *, settings: Settings, features: Path | None, measures: Sequence[str] | None, labels: Path | None, array: str | None
) -> Outcome:
    """Say what `run` would measure; writes nothing, as `run` does not either."""
    path = _place(settings, features)
    read, names = read_features(path, array=array, labels=labels), _names(settings, measures)
    check_clusters(names, len(read), settings)
    row = (str(path), str(len(read)), str(read.matrix_ND.shape[1]), ", ".join(names))
    result = {**_about(path, read), "measures": names}
    return Outcome(result, (Table("It would be measured", ("features", "rows", "dimensions", "measures"), (row,)),))


def run(
    *,
    settings: Settings,
    features: Path | None,
    measures: Sequence[str] | None,
    labels: Path | None,
    array: str | None,
    watch: Watch,
) -> Outcome:
    """Measure a file of features; the same numbers that a search would get of them.

    Args:
        settings: those of `fitness`, and the seed.
        features: a file, or the folder that `elo extract-features` wrote; the newest of these if not given.
        measures: entries of `elo_cli/fitness`; if not given, that of the settings and all others that need no labels.
        labels: a file with a label for each row, for measures that look at them; those of the features if not given.
        array: which array of the file.
        watch: is told of each measure.

    Raises:
        UsageError: a measure does not exist, or its settings do not fit the features.
        DataError: the file cannot be read, is no matrix, or is not finite; or labels are needed and do not serve.
    """
    path, names = _place(settings, features), _names(settings, measures)
    read = read_features(path, array=array, labels=labels)
    check_clusters(names, len(read), settings)
    watch.start("measuring", len(names), "measure")
    reports: dict[str, FitnessReport] = {}
    for name in names:
        watch.check()
        reports[name] = measure(name, read, settings.fitness, settings.seed)
        watch.advance("measuring", len(reports))
    watch.finish("measuring")
    result = {**_about(path, read), "seed": settings.seed, "measures": {name: _told(report) for name, report in reports.items()}}
    columns = ("measure", "value", "better is", "std", "it says")
    rows = [row for name, report in reports.items() for row in _rows(name, report)]
    note = f"{len(read)} rows × {read.matrix_ND.shape[1]} features of {path}; std is over k-means runs; seed {settings.seed}"
    return Outcome(result, (Table("Fitness", columns, rows, note),))


def _place(settings: Settings, features: Path | None) -> Path:
    if features is None:
        return Workspace(Path(settings.workspace)).features()
    return features / _FILE if features.is_dir() else features


def _names(settings: Settings, measures: Sequence[str] | None) -> list[str]:
    """The measures to take, each once, in the spelling of the shelf."""
    asked = measures or (settings.fitness.measure, *(name for name in FITNESS.names() if not needs_labels(name)))
    names = list(dict.fromkeys(name.replace("_", "-") for name in asked))
    for name in names:
        FITNESS.take(name)
    return names


def _about(path: Path, features: Features) -> dict[str, Any]:
    labels = [label for label in features.labels if label is not None]
    rows, dimensions = features.matrix_ND.shape
    return {"features": str(path), "rows": rows, "dimensions": dimensions, "labelled": len(labels), "classes": len(set(labels))}


def _told(report: FitnessReport) -> dict[str, Any]:
    return {
        "value": report.value if math.isfinite(report.value) else None,
        "score": report.score if math.isfinite(report.score) else None,
        "larger_is_better": report.larger_is_better,
        "collapsed": report.collapsed,
        "details": report.details,
    }


def _rows(name: str, report: FitnessReport) -> list[tuple[str, ...]]:
    """Return a measure's row, and below it that of its number by the paper's letter where it is of another form."""
    better, spread = "larger" if report.larger_is_better else "smaller", report.details.get("std")
    if report.collapsed is not None:
        return [(name, "collapsed", better, "", report.collapsed)]
    rows: list[tuple[str, ...]] = [
        (name, f"{report.value:.4f}", better, "" if spread is None else f"{spread:.4f}", _meaning(name))
    ]
    letter = report.details.get("paper")
    if letter is not None:
        rows.append(
            (f"{name}-paper", f"{letter:.4f}", better, "", "the same by the paper's letter: features as they are, 2σ² = 1")
        )
    return rows


def _meaning(name: str) -> str:
    """What a measure says, in the words of its file: from the first colon of its docstring to the source in brackets."""
    text = " ".join((FITNESS.take(name).__doc__ or "").split("\n\n")[0].split())
    return text.partition(": ")[2].partition(" (")[0].rstrip(".")
