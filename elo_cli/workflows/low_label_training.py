"""The protocol low-label with the whole network trained (Table 3, Figure 5): a fine-tuning for each number of labels and draw."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from elo_cli import dist
from elo_cli.core.seeds import derive
from elo_cli.core.settings import Settings
from elo_cli.datasets import LabelledSet, Split
from elo_cli.protocols.low_label import draws, kept_counts
from elo_cli.run.directory import RunDirectory
from elo_cli.workflows.events import Watch
from elo_cli.workflows.finetuning import finetune_split
from elo_cli.workflows.labelled_features import LabelledFeatures
from elo_cli.workflows.representations import Representation
from elo_cli.workflows.scoring import SplitScores


def finetune_by_labels(
    one: Representation,
    split: Split,
    labelled: LabelledSet,
    features: LabelledFeatures,
    settings: Settings,
    run: RunDirectory,
    watch: Watch,
) -> SplitScores | None:
    """Fine-tune an encoder on ever more labels of a split's training side; each training goes on where it was begun.

    The subsets are those that the protocol draws for features, if every video can be read.

    Returns:
        The scores with all labels, and the curve in the details; None on other ranks than rank 0.
    """
    given = settings.benchmark.low_label
    labels = [labelled.by_id[name].label for name in split.train]
    index = {label: number for number, label in enumerate(sorted(set(labels)))}
    label_N = np.array([index[label] for label in labels])
    counts, left_out = kept_counts(given.counts, len(split.train), len(index))
    orders = draws(label_N, given.seeds, derive(settings.seed, "linear"))
    curve: list[tuple[int, list[SplitScores | None]]] = []
    for count in counts:
        runs: list[SplitScores | None] = []
        for draw, order_N in enumerate(orders):
            train = tuple(split.train[row] for row in order_N[:count])
            part = Split(f"{split.name}-labels-{count}-draw-{draw}", train, split.test)
            runs.append(finetune_split(one, part, labelled, features, settings, run, watch))
        curve.append((count, runs))
    last = finetune_split(one, split, labelled, features, settings, run, watch)
    if dist.rank():
        return None
    assert last is not None
    curve.append((len(split.train), [last]))
    points = [_point(count, runs) for count, runs in curve]
    metrics = {**last.metrics, "labels": float(len(split.train)), "draws": float(given.seeds)}
    return SplitScores(
        split.name, metrics, last.per_class, last.confusion, {"curve": points, "left_out": left_out, "by": "finetune"}
    )


def _point(labels: int, scores: Sequence[SplitScores | None]) -> dict[str, Any]:
    """Return the point of the curve that subsets of one size give."""
    runs = [each.metrics["accuracy"] for each in scores if each is not None]
    deviation = statistics.stdev(runs) if len(runs) > 1 else None
    return {"labels": labels, "accuracy": statistics.mean(runs), "deviation": deviation, "runs": runs}
