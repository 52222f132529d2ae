"""torchvision's networks with weights and norms that are no defaults, so that comparing features means something."""

import torch
from torch import nn


def unsettle(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw all norms, statistics included, and put a network into evaluation mode."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
                assert layer.running_mean is not None and layer.running_var is not None
                layer.running_mean.normal_(0, 0.1, generator=random)
                layer.running_var.uniform_(0.5, 2, generator=random)
                layer.weight.uniform_(0.5, 1.0, generator=random)
                layer.bias.normal_(0, 0.1, generator=random)
    return network.eval()
