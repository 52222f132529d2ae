"""Objectives on videos that training does not see, and their gradient: what the weights of a loss are learned from.

Each is a smooth form of a number that needs no label; smaller is better.

    zipf        Eq. 5 as `elo_cli.fitness.zipf` measures it, with the centres of k-means held fixed
    rankme      minus the effective rank, as `elo_cli.fitness.rankme` measures it
    contrast    whether one clip of a video finds the other among those of all videos (InfoNCE), by cosine over 0.1

Shape legend: N videos, 2 clips of each under `contrast`, D features, K clusters.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional

from elo_cli.core.clip import Source
from elo_cli.core.errors import TrainingError
from elo_cli.core.search_settings import FitnessSettings
from elo_cli.core.seeds import derive
from elo_cli.data.evaluation import Views, evaluation_views
from elo_cli.data.loader import ClipReader
from elo_cli.data.video_set import Video
from elo_cli.engine.precision import Precision
from elo_cli.fitness.rankme import EPSILON
from elo_cli.fitness.zipf import NEAREST
from elo_cli.vectors.clusters import k_means
from elo_cli.vectors.scaling import ROUNDING, collapse, scaled_or_collapsed

TEMPERATURE = 0.1


def gradient(
    name: str,
    encoder: nn.Module,
    reader: ClipReader,
    videos: Sequence[Video],
    given: FitnessSettings,
    *,
    batch: int,
    seed: int,
    precision: Precision,
) -> tuple[float, list[Tensor]]:
    """Return an objective's value on videos, and its gradient by each parameter of the encoder.

    All videos count at once, whatever fits into memory: features first, then the objective's gradient by them, and then
    that gradient through the encoder, batch by batch. The encoder is left in the mode in which it came, its
    gradients too.

    Raises:
        TrainingError: the features are collapsed.
    """
    clips = 2 if name == "contrast" else 1
    parameters, training = list(encoder.parameters()), encoder.training
    encoder.eval()

    def features() -> Iterator[Tensor]:
        tensors = (tensor for group in evaluation_views(reader, videos, Source("rgb"), Views(clips)) for tensor in group)
        while chunk := list(itertools.islice(tensors, batch)):  # read again for the second pass: clips may be large
            with precision.autocast():
                found: Tensor = encoder(precision.send(torch.stack(chunk))).vector_BD
            yield found.float()

    try:
        with torch.no_grad():
            matrix_ND = torch.cat(list(features())).cpu().double()
        matrix_ND.requires_grad_(True)
        value = objective(name, matrix_ND, given, seed)
        (by_feature_ND,) = torch.autograd.grad(value, matrix_ND)
        total = [torch.zeros_like(parameter) for parameter in parameters]
        for found_ND, part_ND in zip(features(), torch.split(by_feature_ND, batch), strict=True):
            parts = torch.autograd.grad(found_ND, parameters, part_ND.to(found_ND), allow_unused=True)
            for one, more in zip(total, parts, strict=True):
                if more is not None:
                    one += more
    finally:
        encoder.train(training)
    return float(value.detach()), total


def objective(name: str, matrix_ND: Tensor, given: FitnessSettings, seed: int) -> Tensor:
    """Return an objective of features, differentiable by them; smaller is better.

    Args:
        name: `zipf`, `rankme` or `contrast`.
        matrix_ND: float64; under `contrast` 2 N rows, those of one video side by side.
        given: the settings of `zipf`.
        seed: of k-means.

    Raises:
        TrainingError: the features are collapsed.
    """
    fixed_ND = matrix_ND.detach().numpy()
    if name == "zipf":
        fixed_ND, reason = scaled_or_collapsed(fixed_ND, given.scaling, given.clusters)
    else:
        reason = collapse(fixed_ND)
    if reason is not None:
        raise TrainingError(f"The features of the held-out videos are collapsed: {reason}.")
    if name == "contrast":
        return _contrast(matrix_ND)
    if name == "rankme":
        return -_effective_rank(matrix_ND)
    live_ND = scale(matrix_ND, given.scaling)
    with threadpool_limits(limits=1):  # threads add up in any order: runs would differ
        runs = [k_means(fixed_ND, given.clusters, derive(seed, "held-out", run) % 2**32) for run in range(given.runs)]
    values = [_divergence(live_ND, torch.from_numpy(one.cluster_centers_), given) for one in runs]
    return torch.stack(values).mean()


def scale(matrix_ND: Tensor, scaling: str) -> Tensor:
    """Scale features as `elo_cli.vectors.scaling.scale` does, differentiably; whitening's axes are held fixed."""
    if scaling == "none":
        return matrix_ND
    if scaling == "unit":
        return functional.normalize(matrix_ND, dim=1)
    centred_ND = matrix_ND - matrix_ND.mean(0)
    if scaling == "rms":
        return centred_ND / centred_ND.square().sum(1).mean().sqrt()
    if scaling == "standardize":
        deviation_D = centred_ND.std(0, correction=0)
        varies_D = deviation_D > ROUNDING * matrix_ND.square().mean(0).sqrt()
        standard_ND: Tensor = centred_ND[:, varies_D] / deviation_D[varies_D]
        return standard_ND
    fixed_ND = centred_ND.detach().numpy()
    variance_D, axes_DD = np.linalg.eigh(fixed_ND.T @ fixed_ND / len(fixed_ND))
    varies_D = variance_D > variance_D[-1] * ROUNDING**2
    white_ND: Tensor = centred_ND @ torch.from_numpy(axes_DD[:, varies_D] / np.sqrt(variance_D[varies_D]))
    return white_ND


def _divergence(scaled_ND: Tensor, centres_KD: Tensor, given: FitnessSettings) -> Tensor:
    """KL(p ‖ q) of Eq. 3 to 5."""
    # ‖x‖² - 2 x·c + ‖c‖², centred so that a common offset costs no precision: (N, K) and never (N, K, D).
    rows_ND, centres_KD = scaled_ND - centres_KD.mean(0), centres_KD - centres_KD.mean(0)
    square_N1, square_K = rows_ND.square().sum(1, keepdim=True), centres_KD.square().sum(1)
    distance_NK = (square_N1 - 2 * rows_ND @ centres_KD.T + square_K).clamp_min(0.0)
    least = NEAREST * scaled_ND.detach().square().sum(1).mean()
    unit = distance_NK.min(1).values.mean().clamp_min(least) if given.bandwidth == "relative" else 1.0
    log_r_NK = functional.log_softmax(-distance_NK / (given.two_sigma_squared * unit), dim=1)
    log_p_K = (torch.logsumexp(log_r_NK, dim=0) - math.log(len(scaled_ND))).sort(descending=True).values
    log_q_K = -given.exponent * torch.from_numpy(np.log(np.arange(1, len(centres_KD) + 1)))
    log_q_K = log_q_K - torch.logsumexp(log_q_K, dim=0)
    return (log_p_K.exp() * (log_p_K - log_q_K)).sum()


def _effective_rank(matrix_ND: Tensor) -> Tensor:
    """RankMe (Garrido et al. 2023)."""
    singular = torch.linalg.svdvals(matrix_ND)
    share = singular / singular.sum() + EPSILON
    return torch.exp(-(share * share.log()).sum())


def _contrast(matrix_ND: Tensor) -> Tensor:
    """InfoNCE between the two clips of each video, from each to the other."""
    one_ND, other_ND = functional.normalize(matrix_ND, dim=1).view(-1, 2, matrix_ND.shape[1]).unbind(1)
    similarity_NN = one_ND @ other_ND.T / TEMPERATURE
    target_N = torch.arange(len(one_ND))
    there, back = (functional.cross_entropy(matrix, target_N) for matrix in (similarity_NN, similarity_NN.T))
    return (there + back) / 2
