"""What an encoder returns, and how stages of residual blocks are stacked."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

# Blocks of each of the four stages of a ResNet; 10 is one block a stage.
STAGES = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
SITES = (1, 2, 3, 4)


class Encoding(NamedTuple):
    """What an encoder makes of a view.

    Attributes:
        stages: the output of each of the four stages, (B, C_i, …).
        vector_BD: the representation x_m: the last stage averaged over time and space.
    """

    stages: tuple[Tensor, Tensor, Tensor, Tensor]
    vector_BD: Tensor

    def rows(self, start: int, stop: int) -> "Encoding":
        """Return the part that belongs to clips [start, stop)."""
        first, second, third, fourth = (stage[start:stop] for stage in self.stages)
        return Encoding((first, second, third, fourth), self.vector_BD[start:stop])


def widths(depth: int, width: int) -> tuple[int, int, int, int]:
    """Channels of the output of each stage; the last is the dimension D of x_m."""
    expansion = 4 if depth == 50 else 1
    return (width * expansion, 2 * width * expansion, 4 * width * expansion, 8 * width * expansion)


def stack_stage(
    block: Callable[[int, int, int, nn.Module | None], nn.Module],
    shortcut: Callable[[int, int, int], nn.Module],
    channels: int,
    planes: int,
    *,
    expansion: int,
    blocks: int,
    stride: int,
) -> nn.Sequential:
    """Stack the residual blocks of one stage; the first may shrink and widen, and then has a projecting shortcut."""
    layers = []
    for number in range(blocks):
        step = stride if number == 0 else 1
        projects = step != 1 or channels != planes * expansion
        layers.append(block(channels, planes, step, shortcut(channels, planes * expansion, step) if projects else None))
        channels = planes * expansion
    return nn.Sequential(*layers)


def start_residual(module: nn.Module) -> None:
    """Initialise convolutions and norms as ResNets are (He et al. 2015, fan out)."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
