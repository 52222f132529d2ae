"""Features brought to one scale, and the check that they differ: before a number of them means anything.

Shape legend: N videos, D features.
"""

import math

import numpy as np

from elo_cli.core.errors import UsageError
from elo_cli.core.shelf import suggest

SCALINGS = ("none", "standardize", "unit", "rms", "whiten")

# Spread below this part of the features' own size is float32 rounding, gathered over a network's
# last sums, and no structure. float32 itself rounds at 6e-8.
ROUNDING = 1e-6


def check_scaling(scaling: str) -> None:
    """Refuse a scaling that does not exist.

    Raises:
        UsageError: it is none of `SCALINGS`.
    """
    if scaling not in SCALINGS:
        raise UsageError(f"There is no scaling called '{scaling}'.", hint=suggest(str(scaling), SCALINGS))


def scale(matrix_ND: np.ndarray, scaling: str) -> np.ndarray:
    """Scale features; the number of columns may fall.

    Args:
        matrix_ND: float64 features that are finite and not all equal.
        scaling: `none`, `standardize` (each feature to zero mean and unit variance, constant ones
            dropped), `unit` (rows to length 1), `rms` (centred, then divided by one number, so that
            the mean squared distance to the mean is 1) or `whiten` (all principal components to unit
            variance; it says little unless N is many times D).

    Returns:
        The scaled features, float64. For every scaling but `none` it is the same for `matrix_ND`
        and for any positive multiple of it, up to rounding.
    """
    if scaling == "none":
        return matrix_ND
    if scaling == "unit":
        length_N1 = np.linalg.norm(matrix_ND, axis=1, keepdims=True)
        return matrix_ND / np.where(length_N1 > 0, length_N1, 1.0)
    centred_ND: np.ndarray = matrix_ND - matrix_ND.mean(axis=0)
    if scaling == "rms":
        return centred_ND / math.sqrt(np.mean(np.sum(centred_ND**2, axis=1)))
    if scaling == "standardize":
        deviation_D = centred_ND.std(axis=0)
        varies_D = deviation_D > ROUNDING * np.sqrt(np.mean(matrix_ND**2, axis=0))
        standard_ND: np.ndarray = centred_ND[:, varies_D] / deviation_D[varies_D]
        return standard_ND
    assert scaling == "whiten", scaling
    variance_D, axes_DD = np.linalg.eigh(centred_ND.T @ centred_ND / len(centred_ND))
    varies_D = variance_D > variance_D[-1] * ROUNDING**2
    white_ND: np.ndarray = centred_ND @ (axes_DD[:, varies_D] / np.sqrt(variance_D[varies_D]))
    return white_ND


def collapse(matrix_ND: np.ndarray, clusters: int = 1) -> str | None:
    """Say why features are collapsed, or None: no video can be told from another, or too few can.

    Args:
        matrix_ND: float64 features.
        clusters: how many different rows there must be.
    """
    broken = int(np.count_nonzero(~np.isfinite(matrix_ND).all(axis=1)))
    if broken:
        return f"{broken} of {len(matrix_ND)} rows hold NaN or infinite features"
    if matrix_ND.size == 0:
        return "no feature varies"
    # Spread and size against the largest entry, so that no square over- or underflows.
    largest = float(np.max(np.abs(matrix_ND)))
    if largest == 0.0 or (matrix_ND == matrix_ND[0]).all():
        return "all rows are equal"
    sized_ND = matrix_ND / largest
    if math.sqrt(np.mean((sized_ND - sized_ND.mean(axis=0)) ** 2)) <= ROUNDING * math.sqrt(np.mean(sized_ND**2)):
        return "all rows are equal up to rounding"
    distinct = len({row.tobytes() for row in matrix_ND + 0.0})  # + 0.0 makes one zero of the two
    if distinct < clusters:
        return f"only {distinct} of {len(matrix_ND)} rows are distinct, fewer than the {clusters} clusters"
    return None


def scaled_or_collapsed(matrix_ND: np.ndarray, scaling: str, clusters: int) -> tuple[np.ndarray, str | None]:
    """Scale features, and say why they are collapsed, before it or because of it; None where they are not.

    Args:
        matrix_ND: features as they are, of any type.
        scaling: one of `SCALINGS`.
        clusters: how many different rows there must be, before and after.
    """
    matrix_ND = np.asarray(matrix_ND, dtype=np.float64)
    reason = collapse(matrix_ND, clusters)
    if reason is None:
        matrix_ND = scale(matrix_ND, scaling)
        reason = collapse(matrix_ND, clusters)
    return matrix_ND, reason
