"""The fine-tuning protocol (Table 1, Table 2): the whole network is trained on the labels of the training side.

It looks at videos and not at features, so it has no `evaluate`: `elo_cli/workflows/finetuning.py` trains the network, by
the engine of pretraining, and hands over what it says of each view of the test videos.

Shape legend: M test videos, V views (clips × crops) of each, K classes.
"""

from collections.abc import Sequence

import numpy as np

from elo_cli.protocols import Scores, video_scores

NEEDS = "encoder"  # a network that can be trained, and not features alone


def score_shares(shares_MVK: np.ndarray, labels: Sequence[str], classes: Sequence[str]) -> Scores:
    """Score a fine-tuned classifier by what it says of each view of each test video.

    Args:
        shares_MVK: softmax over the classes.
        labels: of the test videos; one of a class that training lacks is never classified rightly.
        classes: K names, those of the training side, in the order of the last axis.

    Returns:
        What `video_scores` says, `unseen_classes` and `unseen_rows`.
    """
    names = tuple(classes) + tuple(sorted(set(labels) - set(classes)))
    index = {label: number for number, label in enumerate(names)}
    true_M = np.array([index[label] for label in labels])
    metrics, predicted_M = video_scores(shares_MVK, true_M)
    unseen = {"unseen_classes": float(len(names) - len(classes)), "unseen_rows": float((true_M >= len(classes)).sum())}
    return Scores(metrics | unseen, tuple(names[number] for number in predicted_M))
