"""Measures of features without labels, and how well each ranks losses as accuracy does; `tests/perf/ranking.py` asks.

Every value here is a score: larger is better. Zipf's divergence is asked for under every scaling and many settings:

    zipf SCALING k=… s=… 2σ²=…    as `elo_cli.fitness.zipf` measures it; 2σ² is 1, the paper's, or a multiple of d², the
                                  mean squared distance of the videos to their nearest centre, or `hard`: each video
                                  belongs to its nearest cluster alone

and beside the other entries of the shelf, these, which are not of elo:

    stability SCALING k=…         adjusted mutual information of the clusters of one k-means run and the next
    silhouette SCALING k=…        how much nearer a video is to its own cluster than to the next
    held-out SCALING k=…          centres found on one half of the videos: squared distances of the other half over those
                                  of the half itself; near 1 is structure, more is chance
    explained SCALING k=…         the share of the other half's variance that these centres explain

`weak` sees the labels, of other videos than accuracy is judged on in each run: what a few labels would give. With so
many settings the best of them is better than it looks: choose it on one seed, and believe it on another.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import kendalltau, rankdata
from sklearn.metrics import adjusted_mutual_info_score, silhouette_score
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from elo_cli.core.features import Features
from elo_cli.core.seeds import derive, numpy_generator
from elo_cli.fitness import SHELF as FITNESS
from elo_cli.fitness.zipf import zipf_divergence
from elo_cli.protocols import SHELF as PROTOCOLS
from elo_cli.vectors.clusters import distinct_centres, k_means, root_mean_square
from elo_cli.vectors.scaling import SCALINGS, collapse, scaled_or_collapsed

CLUSTERS = (6, 12, 24, 50)
EXPONENTS = (0.5, 1.0, 1.5)
WIDTHS = (0.1, 0.3, 1.0, 3.0, 10.0)  # multiples of d²
FOLDS, REPEATS = 3, 3
RESAMPLES = 2000

Scores = dict[str, float | None]


@dataclass(frozen=True)
class Trained:
    """One loss: its accuracy by protocol, its scores by measure (None: the worst), and whether it is excluded from `ρ kept`."""

    name: str
    accuracy: dict[str, float]
    scores: Scores
    excluded: bool


def judge(heap: Features, labelled: Features, *, runs: int) -> dict[str, Any]:
    """Measure features: `accuracy` by protocol, `values` (scores) by measure, and why they are `collapsed`."""
    with threadpool_limits(limits=1):
        matrix_ND = np.asarray(heap.matrix_ND, np.float64)
        reason = collapse(matrix_ND) or collapse(np.asarray(labelled.matrix_ND, np.float64))
        values: Scores = {}
        for name in FITNESS.names():
            if name != "zipf":
                features, more = (labelled, {"runs": runs}) if name == "weak" else (heap, {})
                score = FITNESS.take(name).measure(features, seed=0, **more).score
                values[name] = score if math.isfinite(score) else None
        for scaling, clusters in itertools.product(SCALINGS, CLUSTERS):
            if clusters <= len(heap) // 2:
                values |= _clustered(matrix_ND, scaling, clusters, runs)
        return {"accuracy": _accuracy(labelled, reason), "values": values, "collapsed": reason}


def _accuracy(labelled: Features, reason: str | None) -> dict[str, float]:
    """Mean accuracy of each protocol over seeded folds, several times; that of guessing where features are collapsed."""
    names = sorted({str(label) for label in labelled.labels})
    if reason is not None:
        return dict.fromkeys(("linear", "kmeans"), 1 / len(names))
    label_N = np.array([names.index(str(label)) for label in labelled.labels])
    scores: dict[str, list[float]] = {"linear": [], "kmeans": []}
    for repeat in range(REPEATS):
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=derive(repeat, "ranking") % 2**32)
        for train, test in folds.split(labelled.matrix_ND, label_N):
            sides = [labelled.rows([labelled.ids[row] for row in rows]) for rows in (train, test)]
            for name, found in scores.items():
                found.append(PROTOCOLS.take(name).evaluate(*sides, seed=repeat).metrics["accuracy"])
    return {name: float(np.mean(found)) for name, found in scores.items()}


def _clustered(matrix_ND: np.ndarray, scaling: str, clusters: int, runs: int) -> Scores:
    """Every score that comes of k-means under one scaling and number of clusters."""
    scaled_ND, reason = scaled_or_collapsed(matrix_ND, scaling, clusters)
    found: dict[str, list[float]] = {}
    if reason is None:
        members, size = [], root_mean_square(scaled_ND)
        for run in range(runs):
            fitted = k_means(scaled_ND, clusters, derive(0, "zipf", run) % 2**32)  # the seeds of the entry itself
            if not distinct_centres(fitted.cluster_centers_, size):
                return {}
            members.append(fitted.labels_)
            for name, score in _zipf(scaled_ND, fitted, clusters):
                found.setdefault(f"zipf {scaling} k={clusters} {name}", []).append(score)
            for name, score in _halved(scaled_ND, clusters, run):
                found.setdefault(f"{name} {scaling} k={clusters}", []).append(score)
        found[f"stability {scaling} k={clusters}"] = [
            adjusted_mutual_info_score(first, second) for first, second in itertools.pairwise(members)
        ]
        found[f"silhouette {scaling} k={clusters}"] = [silhouette_score(scaled_ND, each) for each in members[:5]]
    return {name: float(np.mean(scores)) for name, scores in found.items() if scores}


def _zipf(scaled_ND: np.ndarray, fitted: Any, clusters: int) -> Iterator[tuple[str, float]]:
    """Minus the divergence of one k-means run under every exponent and width."""
    nearness = fitted.inertia_ / len(scaled_ND)
    share_K = np.sort(np.bincount(fitted.labels_, minlength=clusters) / len(scaled_ND))[::-1]
    for exponent in EXPONENTS:
        prior_K = np.arange(1, clusters + 1) ** -exponent
        held = share_K > 0
        hard = float(np.sum(share_K[held] * np.log(share_K[held] / (prior_K / prior_K.sum())[held])))
        yield f"s={exponent:g} hard", -hard
        for name, width in [("1", 1.0), *((f"{factor:g}d²", factor * nearness) for factor in WIDTHS)]:
            score = zipf_divergence(scaled_ND, fitted.cluster_centers_, exponent=exponent, two_sigma_squared=width)
            yield f"s={exponent:g} 2σ²={name}", -score


def _halved(scaled_ND: np.ndarray, clusters: int, run: int) -> Iterator[tuple[str, float]]:
    """What centres of one half of the videos say of the other half."""
    order_N = numpy_generator(0, "halves", run).permutation(len(scaled_ND))
    own_ND, other_ND = scaled_ND[order_N[::2]], scaled_ND[order_N[1::2]]
    fitted = k_means(own_ND, clusters, derive(0, "held-out", run) % 2**32)
    inside, outside = fitted.inertia_ / len(own_ND), -fitted.score(other_ND) / len(other_ND)
    if inside > 0:
        yield "held-out", -outside / inside
    yield "explained", 1 - outside / float(np.mean(np.sum((other_ND - own_ND.mean(axis=0)) ** 2, axis=1)))


def spearman(first_RL: np.ndarray, second_RL: np.ndarray) -> np.ndarray:
    """Spearman's ρ of each row of R resamples of L losses; NaN where a row has one value only."""
    ranks = [rankdata(each, axis=1) for each in (first_RL, second_RL)]
    centred = [each - each.mean(axis=1, keepdims=True) for each in ranks]
    with np.errstate(invalid="ignore"):
        rho_R: np.ndarray = (centred[0] * centred[1]).sum(axis=1) / np.sqrt((centred[0] ** 2).sum(1) * (centred[1] ** 2).sum(1))
    return rho_R


def show(trained: Sequence[Trained], missing: int, place: str, random: np.random.Generator) -> None:
    """Print the losses, and the measures with the best correlation first."""
    print(f"{len(trained)} losses of {place}" + (f"; {missing} are not there yet" if missing else "") + "\n")
    print("| loss | linear % | k-means % | left out |\n| --- | --- | --- | --- |")
    for each in sorted(trained, key=lambda each: -each.accuracy["linear"]):
        linear, clustered = (100 * each.accuracy[name] for name in ("linear", "kmeans"))
        print(f"| {each.name} | {linear:.1f} | {clustered:.1f} | {'yes' if each.excluded else ''} |")
    kept = np.array([not each.excluded for each in trained], bool)
    if kept.sum() < 3:
        print("\nFewer than three losses: nothing to correlate.")
        return
    linear_L, clustered_L = (np.array([each.accuracy[name] for each in trained]) for name in ("linear", "kmeans"))
    drawn_RL = random.integers(0, len(trained), (RESAMPLES, len(trained)))
    rows = []
    for name in sorted(set().union(*(each.scores for each in trained))):
        values = [each.scores.get(name) for each in trained]
        score_L = np.array([-math.inf if value is None else value for value in values])
        rho = float(spearman(score_L[None], linear_L[None])[0])
        spread = (
            np.nanquantile(spearman(score_L[drawn_RL], linear_L[drawn_RL]), [0.05, 0.95]) if math.isfinite(rho) else [rho, rho]
        )
        tau = float(kendalltau(rankdata(score_L), linear_L).statistic)
        without = float(spearman(score_L[kept][None], linear_L[kept][None])[0])
        other = float(spearman(score_L[None], clustered_L[None])[0])
        rows.append((name, rho, *spread, tau, without, other, sum(value is None for value in values)))
    print(f"\nρ and τ: with linear accuracy over {len(trained)} losses; interval: 90%, bootstrap over losses; ρ kept: over the")
    print(f"{kept.sum()} losses that are not left out; collapsed: losses that the measure put last by name.\n")
    print("| measure | ρ | 90% | τ | ρ kept | ρ with k-means | collapsed |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name, rho, low, high, tau, without, other, gone in sorted(rows, key=lambda row: -np.nan_to_num(row[1], nan=-2)):
        print(f"| {name} | {rho:.2f} | {low:.2f} to {high:.2f} | {tau:.2f} | {without:.2f} | {other:.2f} | {gone or ''} |")
