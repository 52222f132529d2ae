"""Telling two forms of a clip apart, and the pairing of clips with those of other videos."""

import torch
from torch import Tensor
from torch.nn import functional

from elo_cli.nets.distances import masked_mean


def binary_loss(positive_B: Tensor, negative_B: Tensor, valid_B: Tensor) -> Tensor:
    """Return Eq. 7 on the logits of both classes, in float32, over the valid clips."""
    return masked_mean((functional.softplus(-positive_B.float()) + functional.softplus(negative_B.float())) / 2, valid_B)


def other_video(video_B: Tensor, valid_B: Tensor) -> tuple[Tensor, Tensor]:
    """For each clip, pick the next valid clip in the batch (cyclic) that comes from another video.

    Returns:
        (index_B, found_B): which clip, and whether there is one.
    """
    size = len(video_B)
    positions = torch.arange(size, device=video_B.device)
    candidates_BB = (video_B[:, None] != video_B[None, :]) & valid_B[None, :]
    # Distance forward from clip i to clip j; what is no candidate is pushed behind all others.
    ahead_BB = (positions[None, :] - positions[:, None]) % size + (~candidates_BB) * size
    return ahead_BB.argmin(1), candidates_BB.any(1)
