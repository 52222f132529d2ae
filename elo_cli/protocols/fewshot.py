"""The few-shot protocol: many small tasks, each of a few classes with a few labelled videos.

An episode draws classes; of each a few videos of the training side (the supports) and a few of the test side (the queries),
so that no group of videos is on both sides. Its classes are not kept from the encoder's training videos: they are new to an
encoder that saw no labels, and only to such a one. Features are centred on the mean of the training side and brought to unit
length; a query goes to the class whose supports' mean is nearest to it by the Euclidean distance (CL2N of SimpleShot, Wang et
al. 2019; a prototypical network, Snell et al. 2017, with a fixed encoder).

Shape legend: N training rows, M test rows, W classes of an episode, Q its queries, D features.
"""

import math

import numpy as np
from threadpoolctl import threadpool_limits

from elo_cli.core.errors import UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import numpy_generator
from elo_cli.protocols import Scores, checked
from elo_cli.vectors.scaling import scale


def evaluate(
    train: Features,
    test: Features,
    *,
    seed: int,
    ways: int = 5,
    shots: tuple[int, ...] = (1, 5),
    queries: int = 15,
    episodes: int = 600,
) -> Scores:
    """Score features, the means of a video's views, by episodes; it is the same for every thread count.

    Args:
        train: labelled rows, of which supports are drawn.
        test: labelled rows, of which queries are drawn.
        seed: decides the episodes; each number of shots draws its own.
        ways: classes of an episode, at least 2.
        shots: supports of each class; each number is a score of its own.
        queries: of each class, at most; fewer where the test side has fewer.
        episodes: how many are averaged, at least 2.

    Returns:
        For each number k of shots `accuracy_{k}shot`, the mean over episodes of the share of queries that are right, larger
        is better, and `interval_{k}shot`, half the width of its 95% interval: 1.96 · deviation / √episodes; `accuracy`, that
        of the FIRST of `shots`; `ways`, `episodes`, `unseen_classes`, `unseen_rows`. In the details, for each k, how many
        `classes` were drawn from: those with k training rows and a test row; classes that training lacks are never drawn.

    Raises:
        DataError: as the shelf's contract says.
        UsageError: a setting is out of its range, or fewer than `ways` classes can be drawn.
    """
    if ways < 2 or not shots or min(shots) < 1 or queries < 1 or episodes < 2:
        raise UsageError(
            f"ways={ways}, shots={shots}, queries={queries}, episodes={episodes} cannot be.",
            hint="Ways and episodes are 2 or more, shots and queries 1 or more.",
        )
    sides = checked(train, test)
    mean_D = sides.train_ND.mean(axis=0)
    train_ND, test_MD = scale(sides.train_ND - mean_D, "unit"), scale(sides.test_MD - mean_D, "unit")
    rows = [(np.flatnonzero(sides.train_N == k), np.flatnonzero(sides.test_M == k)) for k in range(sides.seen)]
    metrics, drawn = dict[str, float](), dict[str, int]()
    with threadpool_limits(limits=1):
        for count in dict.fromkeys(shots):
            able = [pair for pair in rows if len(pair[0]) >= count and len(pair[1])]
            if len(able) < ways:
                raise UsageError(
                    f"Only {len(able)} classes have {count} training row(s) and a test row; an episode takes {ways}.",
                    hint="Lower benchmark.fewshot.ways or shots, or give more videos of each class.",
                )
            draw = numpy_generator(seed, "fewshot", count)
            share_E = np.array([_episode(train_ND, test_MD, able, ways, count, queries, draw) for _ in range(episodes)])
            metrics[f"accuracy_{count}shot"] = float(share_E.mean())
            metrics[f"interval_{count}shot"] = float(1.96 * share_E.std(ddof=1) / math.sqrt(episodes))
            drawn[str(count)] = len(able)
    first = {"accuracy": metrics[f"accuracy_{shots[0]}shot"]}
    counts = {"ways": float(ways), "episodes": float(episodes)}
    # Means over episodes, which a row that could not be read does not lower: it is not asked.
    return Scores(first | metrics | counts | sides.unseen(), details={"classes": drawn}, shares=())


def _episode(
    train_ND: np.ndarray,
    test_MD: np.ndarray,
    able: list[tuple[np.ndarray, np.ndarray]],
    ways: int,
    shots: int,
    queries: int,
    draw: np.random.Generator,
) -> float:
    """Draw one episode and return the share of its queries that are right."""
    classes = [able[number] for number in draw.permutation(len(able))[:ways]]
    prototype_WD = np.stack([train_ND[draw.permutation(support)[:shots]].mean(axis=0) for support, _ in classes])
    asked = [draw.permutation(query)[:queries] for _, query in classes]
    truth_Q = np.repeat(np.arange(ways), [len(rows) for rows in asked])
    # The nearest has the least |p|² − 2 q·p, as |q|² is the same for each p.
    distance_QW = np.sum(prototype_WD**2, axis=1) - 2 * test_MD[np.concatenate(asked)] @ prototype_WD.T
    return float(np.mean(distance_QW.argmin(axis=1) == truth_Q))
