"""The distances of Eq. 2, 6 and 8, the cross-entropy of Eq. 7, and means over the clips that have what a term reads.

Where several processes train together these means are over the clips of all: the mean of what the ranks return is the
mean over the clips of the whole batch, however many of them each rank has.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from elo_cli import dist

Form = Literal["l2", "mean"]


def distance(first: Tensor, second: Tensor, form: Form) -> Tensor:
    """Return how far two tensors of shape (B, …) lie apart, for each clip, in float32.

    `l2` is the paper's ‖a − b‖₂ over all elements of a clip; `mean` is the mean square of an element.
    """
    difference_BN = (first.float() - second.float()).flatten(1)
    if form == "mean":
        return difference_BN.square().mean(1)
    # The gradient of a norm at zero is undefined; the clamp makes it zero there.
    return difference_BN.square().sum(1).clamp_min(1e-12).sqrt()


def masked_mean(loss_B: Tensor, valid_B: Tensor) -> Tensor:
    """Return the mean over the valid clips; 0, with a zero gradient, where none is valid."""
    valid = dist.total(valid_B.to(loss_B.dtype).sum())
    # torch.where keeps a NaN of an invalid clip out of the sum (0 × NaN would be NaN).
    return torch.where(valid_B, loss_B, torch.zeros_like(loss_B)).sum() / (valid.clamp_min(1) / dist.world())


def binary_loss(positive_B: Tensor, negative_B: Tensor, valid_B: Tensor) -> Tensor:
    """Return Eq. 7 on the logits of both classes, in float32, over the valid clips."""
    return masked_mean((functional.softplus(-positive_B.float()) + functional.softplus(negative_B.float())) / 2, valid_B)
