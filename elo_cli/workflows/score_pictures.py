"""The pictures of a benchmark: who is taken for whom, and accuracy against the number of labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from elo_cli.core.files import storage_errors
from elo_cli.datasets import LabelledSet
from elo_cli.figures.confusion import confusion_picture
from elo_cli.figures.curves import accuracy_by_labels
from elo_cli.figures.pictures import save_picture
from elo_cli.run.directory import RunDirectory
from elo_cli.workflows.scoring import SplitScores

_MARK = "elo benchmark"
_UNREADABLE = "(unreadable)"
Scored = tuple[Mapping[str, Any], Sequence[SplitScores]]


def draw_scores(scored: Sequence[Scored], labelled: LabelledSet, run: RunDirectory) -> dict[str, str]:
    """Draw what there is to be drawn into the run's folder of pictures, and return where, by what it is."""
    with storage_errors(run.pictures):
        run.pictures.mkdir(exist_ok=True)
    drawn = False
    for line, splits in scored:
        if all(split.confusion for split in splits) and splits:
            name = f"confusion-{line['protocol']}-{line['representation']}.png"
            title = f"{line['representation']}, {line['protocol']}: {100 * line['accuracy']:.1f} % of {labelled.name}"
            table_CD, classes = confusion(splits)
            words = f"{int(table_CD.sum())} test videos of {len(splits)} split(s); row: what it is, column: what it is taken for"
            save_picture(confusion_picture(table_CD, classes, title, words), run.pictures / name, _MARK)
            drawn = True
    curves = {line["representation"]: line["details"]["curve"] for line, _ in scored if "curve" in line["details"]}
    if curves:
        save_picture(accuracy_by_labels(curves, dataset=labelled.name), run.pictures / "accuracy-by-labels.png", _MARK)
        drawn = True
    return {"pictures": str(run.pictures)} if drawn else {}


def confusion(splits: Sequence[SplitScores]) -> tuple[np.ndarray, list[str]]:
    """Add up who is taken for whom over splits.

    Returns:
        Counts, (C, C), or (C, C + 1) where some could not be read, those in the last column; and the names of the C classes.
    """
    total: dict[str, Counter[str | None]] = {}
    for split in splits:
        for label, row in split.confusion.items():
            total.setdefault(label, Counter()).update(row)
    classes = sorted(total.keys() | {name for row in total.values() for name in row if name is not None})
    table_CD = np.array([[total.get(label, Counter())[name] for name in (*classes, None)] for label in classes], np.int64)
    return (table_CD if table_CD[:, -1].any() else table_CD[:, :-1]), classes
