"""Parts of a training side for cross-validation: stratified, and no group of videos on both sides.

Shape legend: N videos.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold


@dataclass(frozen=True)
class Folds:
    """How the videos are parted.

    Attributes:
        parts: for each fold the videos to learn from and those held out; each video is held out once.
        grouped: whether groups were kept whole.
    """

    parts: tuple[tuple[np.ndarray, np.ndarray], ...]
    grouped: bool


def parted(label_N: np.ndarray, groups: Sequence[str | None] | None, folds: int, seed: int) -> Folds | None:
    """Part videos into folds, each of about the same classes.

    Groups are kept whole where some have several videos and each class is of at least two groups; where that leaves a fold
    with one class to learn from, or there are too few groups, videos are parted one by one. A class may then be missing from
    what one fold learns, if its groups are large: its held-out videos are wrong there.

    Args:
        label_N: the class of each video, counted from 0.
        groups: what each video was cut from, None where that is not known (such a video is a group of its own); None: of none.
        folds: how many, at least 2; fewer where the smallest class has fewer groups or videos.
        seed: of scikit-learn's generator, in [0, 2**32).

    Returns:
        The folds; None where a class has a single video.
    """
    unused_ND = np.zeros((len(label_N), 1))
    if groups is not None:
        names: dict[object, int] = {}
        group_N = np.array([names.setdefault(row if name is None else name, len(names)) for row, name in enumerate(groups)])
        pairs = np.unique(np.stack([label_N, group_N]), axis=1)
        least = int(np.bincount(pairs[0])[np.unique(label_N)].min())
        if least >= 2 and len(names) < len(label_N):
            by_group = StratifiedGroupKFold(min(folds, least), shuffle=True, random_state=seed)
            parts = tuple((rows, held) for rows, held in by_group.split(unused_ND, label_N, group_N) if len(held))
            if all(len(set(label_N[rows].tolist())) > 1 for rows, _ in parts):
                return Folds(parts, grouped=True)
    folds = min(folds, int(np.bincount(label_N)[np.unique(label_N)].min()))
    if folds < 2:
        return None
    by_video = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return Folds(tuple(by_video.split(unused_ND, label_N)), grouped=False)
