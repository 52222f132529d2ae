"""Edges of optical flow: what the motion pathway sees (after the motion boundaries of Dalal, Triggs, Schmid 2006).

A camera that pans gives every pixel the same motion, and the gradient of a constant is 0: what is left are the outlines of
what moves otherwise than its surroundings.

Let f be the flow at a pixel, ρ = ‖f‖ its magnitude, θ its direction and J the 2×2 matrix of its spatial gradients. Then
‖J‖² = ‖∇ρ‖² + ρ² ‖∇θ‖², so that the three channels are

    0    ‖∇ρ‖      how much faster or slower it gets
    1    ρ ‖∇θ‖    how much its direction turns, where it moves at all
    2    ‖J‖       the whole edge, which does not change when a constant motion is added

Shape legend: B clips, T frames, H rows, W columns.
"""

import torch
from torch import Tensor
from torch.nn import functional

CLAMP = 1.0  # at 1 two points get apart by as much as they are apart, within one stored frame
MEAN, DEVIATION = 0.05, 0.1  # of the clamped edges of UCF101 at 12.5 frames a second, about, whatever the clip's size
_TINY = 1e-6


def flow_edges(flow_B2THW: Tensor) -> Tensor:
    """Draw the edges of flow, on its own device.

    Args:
        flow_B2THW: in hundredths of the clip's sides for each stored frame, as in `ClipBatch`.

    Returns:
        (B, 3, T, H, W): how much the flow changes over a hundredth of the clip's side, by Sobel's kernel, clamped to `CLAMP`; of
        about zero mean and unit variance at 12.5 stored frames a second, and smaller where there are more.
    """
    batch, _, frames, height, width = flow_B2THW.shape
    flow_N2HW = flow_B2THW.float().transpose(1, 2).reshape(batch * frames, 2, height, width)
    gradient_N22HW = _sobel(flow_N2HW)
    direction_N2HW = flow_N2HW / flow_N2HW.square().sum(1, keepdim=True).sqrt().clamp_min(_TINY)
    along_N2HW = (gradient_N22HW * direction_N2HW[:, :, None]).sum(1)  # ∇ρ = Jᵀ f/ρ
    speed_NHW = along_N2HW.square().sum(1)
    whole_NHW = gradient_N22HW.square().sum((1, 2))
    edges_N3HW = torch.stack([speed_NHW, (whole_NHW - speed_NHW).clamp_min(0), whole_NHW], 1).sqrt()
    edges_N3HW = edges_N3HW.clamp_max(CLAMP).sub(MEAN).div(DEVIATION)
    edges_B3THW = edges_N3HW.view(batch, frames, 3, height, width).transpose(1, 2)
    last = flow_B2THW.is_contiguous(memory_format=torch.channels_last_3d)
    return edges_B3THW.contiguous(memory_format=torch.channels_last_3d if last else torch.contiguous_format)


def _sobel(flow_N2HW: Tensor) -> Tensor:
    """Return ∂/∂x and ∂/∂y of each component, (N, 2, 2, H, W); the border repeats its last pixel."""
    smooth, difference = flow_N2HW.new_tensor([0.25, 0.5, 0.25]), flow_N2HW.new_tensor([-0.5, 0.0, 0.5])
    pixels = flow_N2HW.new_tensor([flow_N2HW.shape[3], flow_N2HW.shape[2]]) / 100  # of a hundredth of the sides
    across_33 = smooth[:, None] * difference[None, :]
    kernels_4133 = torch.stack([across_33, across_33.T]).repeat(2, 1, 1)[:, None]
    padded = functional.pad(flow_N2HW, (1, 1, 1, 1), mode="replicate")
    with torch.autocast(flow_N2HW.device.type, enabled=False):
        gradient_N4HW = functional.conv2d(padded, kernels_4133, groups=2)
    return gradient_N4HW.view(-1, 2, 2, *flow_N2HW.shape[2:]) * pixels[:, None, None]
