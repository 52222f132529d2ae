"""The paper's unsupervised fitness: how near the clusters' sizes are to Zipf's law (3.2.2, Eq. 3 to 5).

Features are clustered by k-means; every video belongs to every cluster with a probability (Eq. 4);
the mean of these over videos, sorted, is held against q_i = i^-s / H_{k,s} by KL divergence (Eq. 5).
Lower is better.

At 2σ² = 1, the paper's letter, the probabilities of Eq. 4 follow the SCALE of the features as much as their structure:
long vectors make them one-hot, short ones make them uniform, and a search can move the number by growing or shrinking
features alone. So by default features are standardised, and 2σ² is a multiple of d², the mean squared distance of a
video to its nearest centre: of the forms that cannot be won by size it ranked losses best by accuracy (docs/log.md). The
number by the paper's letter is always recorded beside it.

Shape legend: N videos, D features, K clusters.
"""

import math
from typing import Any

import numpy as np
from scipy.special import log_softmax, logsumexp
from threadpoolctl import threadpool_limits

from elo_cli.core.errors import UsageError
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive
from elo_cli.core.shelf import suggest
from elo_cli.data.statistics import STEEPEST, fit_zipf
from elo_cli.fitness import FitnessReport
from elo_cli.vectors.clusters import distinct_centres, k_means, root_mean_square
from elo_cli.vectors.scaling import check_scaling, scaled_or_collapsed

BANDWIDTHS = ("absolute", "relative")
NEAREST = 1e-12  # of the rows' mean squared length: d² is never less, so that rows that are centres divide by something
_LETTER = {"scaling": "none", "bandwidth": "absolute", "two_sigma_squared": 1.0}  # of the paper


def measure(
    features: Features,
    *,
    seed: int,
    clusters: int = 50,
    exponent: float = 1.0,
    runs: int = 20,
    two_sigma_squared: float = 1.0,
    bandwidth: str = "relative",
    scaling: str = "standardize",
) -> FitnessReport:
    """Measure KL(p ‖ q) of Eq. 5, averaged over k-means runs; lower is better, 0 is Zipf's law itself.

    It runs on one thread, so that the number is the same from run to run and for every thread count.

    Args:
        features: N videos × D features.
        seed: each k-means run draws from its own seed derived from it.
        clusters: k; the paper is silent on it. At least 2, at most N.
        exponent: s of the prior; the paper is silent on it. 0 asks for equal clusters.
        runs: how many k-means runs are averaged; 20 in the paper.
        two_sigma_squared: 2σ² of Eq. 3, in the unit that `bandwidth` names; 1 in the paper.
        bandwidth: `absolute` (the paper's letter), in the squared unit of the scaled features; or `relative`, in
            multiples of d², the mean squared distance of a video to its nearest centre, of each run.
        scaling: what is done to features first: `none` (the paper's letter), `standardize`, `unit`, `rms` or
            `whiten`, as `elo_cli.vectors.scaling.scale` says.

    Returns:
        The report, with value in [0, inf) nats; inf when collapsed. Its details hold the settings and, where they are not the
        paper's letter, `paper` (the value under `none` and `absolute` at 2σ² = 1; None where that is collapsed), `std` over runs,
        `runs_kl`, `p` (mean over runs of the sorted p(c), k numbers that sum to 1),
        `fitted_exponent` (the s under which Zipf's law is nearest to `p`) and `max_responsibility`
        (the mean over videos of max p(c|x), in [1/k, 1]: 1 is one-hot).

    Raises:
        UsageError: a setting is out of its range, or there are more clusters than videos.
    """
    settings = {
        "clusters": clusters,
        "exponent": exponent,
        "runs": runs,
        "two_sigma_squared": two_sigma_squared,
        "bandwidth": bandwidth,
        "scaling": scaling,
    }
    _check(settings, len(features))
    with threadpool_limits(limits=1):
        outcome, details = _scored(features.matrix_ND, settings, seed), dict(settings)
        if settings | _LETTER != settings:
            letter = _scored(features.matrix_ND, settings | _LETTER, seed)
            details["paper"] = letter["value"] if isinstance(letter, dict) else None
    if isinstance(outcome, dict):
        return FitnessReport(outcome.pop("value"), larger_is_better=False, details=details | outcome)
    return FitnessReport(math.inf, larger_is_better=False, collapsed=outcome, details=details)


def zipf_prior(clusters: int, exponent: float) -> np.ndarray:
    """Return q_i = i^-s / H_{k,s} for i = 1 … k: (K,), descending for s > 0, of sum 1."""
    log_q_K = -exponent * np.log(np.arange(1, clusters + 1))
    prior_K: np.ndarray = np.exp(log_q_K - logsumexp(log_q_K))
    return prior_K


def zipf_divergence(
    matrix_ND: np.ndarray, centres_KD: np.ndarray, *, exponent: float = 1.0, two_sigma_squared: float = 1.0
) -> float:
    """Return KL(p ‖ q) of Eq. 5 for given cluster centres, in nats.

    Args:
        matrix_ND: features, as they are.
        centres_KD: cluster centres, in the same unit.
        exponent: s of the prior.
        two_sigma_squared: 2σ² of Eq. 3, positive.

    Returns:
        A number in [0, inf).
    """
    log_p_K = _log_sizes(_log_responsibilities(matrix_ND, centres_KD, two_sigma_squared))
    return _divergence(log_p_K, exponent)


def _check(settings: dict[str, Any], videos: int) -> None:
    """Refuse settings that make no sense, or that do not fit the number of videos."""
    check_scaling(settings["scaling"])
    if settings["bandwidth"] not in BANDWIDTHS:
        raise UsageError(
            f"There is no bandwidth called '{settings['bandwidth']}'.", hint=suggest(str(settings["bandwidth"]), BANDWIDTHS)
        )
    if settings["runs"] < 1:
        raise UsageError(f"zipf cannot average over {settings['runs']} runs.", hint="Set runs to 1 or more; the paper has 20.")
    if not (math.isfinite(settings["two_sigma_squared"]) and settings["two_sigma_squared"] > 0):
        raise UsageError(f"two_sigma_squared is {settings['two_sigma_squared']}.", hint="It must be positive; the paper has 1.")
    if not (math.isfinite(settings["exponent"]) and settings["exponent"] >= 0):
        raise UsageError(f"The exponent of Zipf's law is {settings['exponent']}.", hint="It must be 0 or more; 1 is usual.")
    if settings["clusters"] < 2:
        raise UsageError(f"zipf cannot work with {settings['clusters']} clusters.", hint="Set clusters to 2 or more.")
    if settings["clusters"] > videos:
        raise UsageError(
            f"zipf was asked for {settings['clusters']} clusters of {videos} videos.",
            hint=f"Set clusters to at most {videos}, better a tenth of that, or give more videos.",
        )


def _scored(matrix_ND: np.ndarray, settings: dict[str, Any], seed: int) -> dict[str, Any] | str:
    """Average Eq. 5 over k-means runs; or say why the features are collapsed."""
    clusters, exponent = settings["clusters"], settings["exponent"]
    matrix_ND, reason = scaled_or_collapsed(matrix_ND, settings["scaling"], clusters)
    if reason is not None:
        return reason
    size = root_mean_square(matrix_ND)
    divergences: list[float] = []
    surest: list[float] = []
    sizes_RK = np.empty((settings["runs"], clusters))
    for run in range(settings["runs"]):
        fitted = k_means(matrix_ND, clusters, derive(seed, "zipf", run) % 2**32)
        centres_KD = fitted.cluster_centers_
        if not distinct_centres(centres_KD, size):
            return f"fewer rows than the {clusters} clusters are distinct beyond rounding"
        unit = max(fitted.inertia_ / len(matrix_ND), NEAREST * size**2) if settings["bandwidth"] == "relative" else 1.0
        log_r_NK = _log_responsibilities(matrix_ND, centres_KD, settings["two_sigma_squared"] * unit)
        log_p_K = _log_sizes(log_r_NK)
        divergences.append(_divergence(log_p_K, exponent))
        surest.append(float(np.exp(log_r_NK.max(axis=1)).mean()))
        sizes_RK[run] = np.exp(log_p_K)
    p_K = sizes_RK.mean(axis=0)
    return {
        "value": float(np.mean(divergences)),
        "std": float(np.std(divergences)),
        "runs_kl": divergences,
        "p": p_K.tolist(),
        "fitted_exponent": _fitted_exponent(p_K),
        "max_responsibility": float(np.mean(surest)),
    }


def _log_responsibilities(matrix_ND: np.ndarray, centres_KD: np.ndarray, two_sigma_squared: float) -> np.ndarray:
    """Return log p(c|x) of Eq. 4, (N, K).

    -‖x - c‖² = 2 x·c - ‖c‖² - ‖x‖², where the last term is the same for every cluster and falls out
    of the softmax. Both are centred first, so that a common offset costs no precision.
    """
    middle_D = matrix_ND.mean(axis=0, dtype=np.float64)
    rows_ND, centres_KD = matrix_ND - middle_D, centres_KD - middle_D
    nearness_NK = (2 * rows_ND @ centres_KD.T - np.sum(centres_KD**2, axis=1)) / two_sigma_squared
    log_r_NK: np.ndarray = log_softmax(nearness_NK, axis=1)
    return log_r_NK


def _log_sizes(log_r_NK: np.ndarray) -> np.ndarray:
    """Return log p(c), the mean over videos, sorted descending: (K,)."""
    log_p_K: np.ndarray = logsumexp(log_r_NK, axis=0) - math.log(len(log_r_NK))
    return np.sort(log_p_K)[::-1]


def _divergence(log_p_K: np.ndarray, exponent: float) -> float:
    """Return KL(p ‖ q) of Eq. 5, where 0 · log 0 = 0."""
    log_q_K = -exponent * np.log(np.arange(1, len(log_p_K) + 1))
    log_q_K -= logsumexp(log_q_K)
    filled_K = np.exp(log_p_K) > 0
    return max(0.0, float(np.sum(np.exp(log_p_K[filled_K]) * (log_p_K[filled_K] - log_q_K[filled_K]))))


def _fitted_exponent(p_K: np.ndarray) -> float:
    """Return the s whose Zipf law has the least KL(p ‖ q), which is the most likely one."""
    fit = fit_zipf(p_K)
    return STEEPEST if fit is None else fit.exponent
