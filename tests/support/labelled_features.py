"""Labelled features made up for tests of protocols: blobs around the centres of classes.

Shape legend: N videos, V views of each, D features.
"""

import numpy as np

from elo_cli.core.features import Features
from elo_cli.core.seeds import numpy_generator

CLASSES = "abcdefgh"
SIZE = 12


def side(matrix: object, labels: str, groups: str | None = None) -> Features:
    """Make features whose labels are the letters of a word, and so their groups."""
    matrix_ND = np.asarray(matrix, np.float32).reshape(len(labels), -1)
    ids = tuple(f"{number}.mp4" for number in range(len(labels)))
    return Features(matrix_ND, ids, tuple(labels), None if groups is None else tuple(groups))


def blobs(per_class: int, seed: int, *, spread: float = 1.5, labels: str = CLASSES, views: int = 1) -> Features:
    """Draw `per_class` videos around the centre of each class of `labels`, which is the same whatever the seed."""
    centres = dict(zip(CLASSES, numpy_generator(0, "centres").standard_normal((len(CLASSES), SIZE)), strict=True))
    names = labels * per_class
    noise_NVD = numpy_generator(seed, "noise").standard_normal((len(names), views, SIZE)) * spread
    views_NVD = np.array([centres[name] for name in names])[:, None] + noise_NVD
    ids = tuple(f"{number}.mp4" for number in range(len(names)))
    if views == 1:
        return Features(views_NVD[:, 0].astype(np.float32), ids, tuple(names))
    return Features.of_views(views_NVD, ids, tuple(names))


def shuffled(features: Features, seed: int) -> tuple[Features, np.ndarray]:
    """Return features with their rows in another order, and the order."""
    order_N = numpy_generator(seed, "order").permutation(len(features))
    return features.rows([features.ids[row] for row in order_N]), order_N


def relabelled(features: Features, labels: tuple[str, ...]) -> Features:
    """Return features with other labels."""
    return Features(features.matrix_ND, features.ids, labels, features.groups, features.views_NVD)


def spots() -> Features:
    """Draw 24 groups of 6 rows that lie almost in one spot; a group's label says nothing of where that is.

    Who holds rows out beside others of their group finds their labels by heart; who holds groups out finds nothing.
    """
    draw, labels = numpy_generator(0, "spots"), "abcd" * 6
    rows_ND = np.repeat(draw.standard_normal((24, 40)), 6, axis=0) + draw.standard_normal((144, 40)) * 0.01
    return side(rows_ND, "".join(label * 6 for label in labels), "".join(chr(ord("A") + number) * 6 for number in range(24)))
