"""Zero mean and unit variance, learnt from some rows and applied to others.

Shape legend: N rows, D features.
"""

import numpy as np

from elo_cli.vectors.scaling import ROUNDING


def standard(rows_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Learn the standardising of float64 rows: `(x - mean_D) * factor_D`.

    Returns:
        Each feature's mean, and one over its deviation over N; 0 where the feature is constant up to rounding, so that it says
        nothing of any row.
    """
    # In units of a power of two, which changes no digit, so that no square over- or underflows.
    unit = np.ldexp(1.0, np.frexp(np.max(np.abs(rows_ND), initial=0.0))[1] - 1)
    sized_ND = rows_ND / unit
    deviation_D = sized_ND.std(axis=0)
    varies_D = deviation_D > ROUNDING * np.sqrt(np.mean(sized_ND**2, axis=0))
    return sized_ND.mean(axis=0) * unit, np.where(varies_D, 1 / np.where(varies_D, deviation_D, 1.0), 0.0) / unit
