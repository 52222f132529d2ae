"""α-ReQ: how fast the eigenvalues of the features' covariance fall (Agrawal et al. 2022, "α-ReQ: Assessing
representation quality in self-supervised learning by measuring eigenspectrum decay").

The i-th largest eigenvalue is held to be about i^-α, and α is fitted as a line in log-log. The paper finds
that features whose α is near 1 serve linear readouts best: a smaller one spreads variance over directions
of noise, a larger one leaves too few directions. The value is |α − 1|, so smaller is better; α itself is in
the details.

The paper does not fix the fitted range. Its published code weighs rank i by 1/i, after Stringer et al.
2019, and fits ranks 4 to 100 of features of some thousand videos; others fit 11 to 100 or 11 to 500. Here: the
same weights, ranks 4 to 100, but never beyond half of the ranks that there are, min(N − 1, D). The last
eigenvalues of a finite sample fall off whatever the features are: of 300 draws from a true α of 0.5 in 96
dimensions, ranks 4 to 96 give 0.72, ranks 4 to 48 give 0.54 (1.14 and 1.01 for a true α of 1).
"""

import math
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from elo_cli.core.features import Features
from elo_cli.fitness import FitnessReport
from elo_cli.vectors.scaling import ROUNDING, collapse

FIRST, LAST = 4, 100  # ranks, counted from 1
LEAST = 3  # ranks that make a line worth fitting


def measure(features: Features, *, seed: int) -> FitnessReport:
    """Measure |α − 1| for the power law i^-α of the covariance's eigenvalues; smaller is better, 0 the best.

    It runs on one thread, so that the number is the same from run to run and for every thread count. The size of
    the features moves the line up or down, and not its slope.

    Args:
        features: N videos × D features.
        seed: there is nothing to draw.

    Returns:
        The report, with value in [0, inf); inf when collapsed. Fewer than 6 ranks, min(N − 1, D), count as
        collapsed: there is no line to fit. Eigenvalues of no more than rounding are taken as large as
        rounding, so that missing directions make α large. Its details hold `alpha`, `first` and `last` (the
        ranks fitted, from 1), and `r2` (in [0, 1]: how well the line fits, weighted like the fit).
    """
    matrix_ND = np.asarray(features.matrix_ND, dtype=np.float64)
    ranks = min(len(matrix_ND) - 1, matrix_ND.shape[1])
    with threadpool_limits(limits=1):
        reason = collapse(matrix_ND)
        if reason is None and ranks // 2 < LEAST:
            reason = f"{len(matrix_ND)} rows of {matrix_ND.shape[1]} features vary in {ranks} directions, too few for a law"
        if reason is not None:
            return FitnessReport(math.inf, larger_is_better=False, collapsed=reason)
        eigenvalue_R = _eigenvalues(matrix_ND)[:ranks]
    last = min(LAST, ranks // 2)
    details = fit_power_law(eigenvalue_R, min(FIRST, last - LEAST + 1), last)
    return FitnessReport(abs(details["alpha"] - 1), larger_is_better=False, details=details)


def fit_power_law(value_R: np.ndarray, first: int, last: int) -> dict[str, Any]:
    """Fit log v_i = c − α log i by least squares, rank i weighted by 1/i.

    Args:
        value_R: positive values, descending.
        first: the first rank of the fit, counted from 1.
        last: the last one, beyond `first`.

    Returns:
        `alpha`, `first`, `last` and `r2`.
    """
    rank_F = np.arange(first, last + 1)
    weight_F = (1 / rank_F) / np.sum(1 / rank_F)
    x_F, y_F = np.log(rank_F), np.log(value_R[first - 1 : last])
    x_F, y_F = x_F - weight_F @ x_F, y_F - weight_F @ y_F
    slope = float(weight_F @ (x_F * y_F) / (weight_F @ x_F**2))
    total = float(weight_F @ y_F**2)
    left = float(weight_F @ (y_F - slope * x_F) ** 2)
    return {"alpha": -slope, "first": first, "last": last, "r2": 1.0 if total == 0 else max(0.0, 1 - left / total)}


def _eigenvalues(matrix_ND: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of the covariance, up to a common factor, descending; none below rounding."""
    centred_ND = matrix_ND / np.max(np.abs(matrix_ND))  # so that no square over- or underflows
    centred_ND -= centred_ND.mean(axis=0)
    # Of the two products the smaller one: their positive eigenvalues are the same.
    wide = matrix_ND.shape[1] > len(matrix_ND)
    value_R: np.ndarray = np.linalg.eigvalsh(centred_ND @ centred_ND.T if wide else centred_ND.T @ centred_ND)[::-1]
    floored_R: np.ndarray = np.maximum(value_R, value_R[0] * ROUNDING**2)
    return floored_R
