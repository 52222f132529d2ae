"""The fine-tuning protocol (Table 1, Table 2): the whole network is trained on the labels of the training side.

It looks at videos and not at features, so it has no `evaluate`: `elo_cli/workflows/finetuning.py` trains the network, by
the engine of pretraining, and hands over what it says of each view of the test videos.

Shape legend: M test videos, V views (clips × crops) of each, K classes.
"""

from collections.abc import Sequence

import numpy as np

from elo_cli.protocols import Scores, mean_per_class

NEEDS = "encoder"  # a network that can be trained, and not features alone


def score_shares(shares_MVK: np.ndarray, labels: Sequence[str], classes: Sequence[str]) -> Scores:
    """Score a classifier by what it says of each view; a video's class is that of the largest mean over its views.

    Args:
        shares_MVK: softmax over the classes.
        labels: of the test videos; one of a class that training lacks is never classified rightly.
        classes: K names, those of the training side, in the order of the last axis.

    Returns:
        `accuracy` (video@1), `accuracy_top5`, `accuracy_per_class`, `clip_accuracy` (clip@1: of single views),
        `unseen_classes` and `unseen_rows`; larger is better, in [0, 1].
    """
    index = {label: number for number, label in enumerate(classes)}
    names = tuple(classes) + tuple(sorted(set(labels) - set(classes)))
    index |= {label: number for number, label in enumerate(names)}
    true_M = np.array([index[label] for label in labels])
    ranked_MK = np.argsort(-shares_MVK.mean(axis=1), axis=1, kind="stable")
    correct_M = ranked_MK[:, 0] == true_M
    metrics = {
        "accuracy": float(correct_M.mean()),
        "accuracy_top5": float((ranked_MK[:, :5] == true_M[:, None]).any(axis=1).mean()),
        "accuracy_per_class": mean_per_class(correct_M, true_M),
        "clip_accuracy": float((shares_MVK.argmax(axis=2) == true_M[:, None]).mean()),
        "unseen_classes": float(len(names) - len(classes)),
        "unseen_rows": float((true_M >= len(classes)).sum()),
    }
    return Scores(metrics, tuple(names[number] for number in ranked_MK[:, 0]))
