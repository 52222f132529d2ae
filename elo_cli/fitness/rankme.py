"""RankMe: how many directions the features fill (Garrido et al. 2023, "RankMe: Assessing the downstream
performance of pretrained self-supervised representations by their rank").

The exponential of the entropy of the singular values' shares, p_k = σ_k / ‖σ‖₁ + ε with ε = 1e-7: a rank
that counts weak directions for little. Larger is better. Features are taken as they are, not centred: that
is the paper's letter. A common offset of all videos is then one strong direction, and lowers the number.
The paper measures 25,600 samples; N below D bounds the number by N.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from elo_cli.core.features import Features
from elo_cli.fitness import FitnessReport
from elo_cli.vectors.scaling import collapse

EPSILON = 1e-7


def measure(features: Features, *, seed: int) -> FitnessReport:
    """Measure the effective rank of the features; larger is better.

    It runs on one thread, so that the number is the same from run to run and for every thread count. The size of
    the features falls out of the shares.

    Args:
        features: N videos × D features.
        seed: there is nothing to draw.

    Returns:
        The report, with value from 1 to min(N, D), up to ε; 0 when collapsed. Its details hold `epsilon`,
        `largest_share` (that of the strongest direction, in (0, 1]) and `possible` (min(N, D)).
    """
    matrix_ND = np.asarray(features.matrix_ND, dtype=np.float64)
    details = {"epsilon": EPSILON, "possible": min(matrix_ND.shape)}
    with threadpool_limits(limits=1):
        reason = collapse(matrix_ND)
        if reason is not None:
            return FitnessReport(0.0, larger_is_better=True, collapsed=reason, details=details)
        # Divided by the largest entry first, so that no square over- or underflows.
        value_K = np.linalg.svd(matrix_ND / np.max(np.abs(matrix_ND)), compute_uv=False)
    share_K = value_K / value_K.sum() + EPSILON
    entropy = -float(np.sum(share_K * np.log(share_K)))
    return FitnessReport(
        float(np.exp(entropy)), larger_is_better=True, details=details | {"largest_share": float(share_K[0] - EPSILON)}
    )
