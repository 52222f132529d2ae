"""What an encoder returns, and how stages of residual blocks are stacked."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

# Blocks of each of the four stages of a ResNet; 10 is one block a stage.
STAGES = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


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


Block = Callable[[int, int, int, nn.Module | None], nn.Module]
Shortcut = Callable[[int, int, int], nn.Module]


def add_stages(encoder: nn.Module, block: Block, shortcut: Shortcut, depth: int, width: int, expansion: int) -> None:
    """Give an encoder its four stages of residual blocks, `layer1` to `layer4`.

    Args:
        encoder: gets the stages as children; its stem ends in `width` channels.
        block: makes a block from (input channels, planes, stride, shortcut or None).
        shortcut: makes a projection from (input channels, output channels, stride).
        depth: a key of `STAGES`.
        width: channels of the first stage.
        expansion: output channels of a block for each plane.
    """
    channels = width
    for number, blocks in enumerate(STAGES[depth]):
        planes, layers = width * 2**number, []
        for position in range(blocks):
            stride = 2 if number > 0 and position == 0 else 1
            projects = stride != 1 or channels != planes * expansion
            projection = shortcut(channels, planes * expansion, stride) if projects else None
            layers.append(block(channels, planes, stride, projection))
            channels = planes * expansion
        encoder.add_module(f"layer{number + 1}", nn.Sequential(*layers))


def run_stages(encoder: nn.Module, features: Tensor) -> Encoding:
    """Run the stages that `add_stages` made; x_m is the last one averaged over time and space, in float32."""
    stages = []
    for number in range(1, 5):
        features = encoder.get_submodule(f"layer{number}")(features)
        stages.append(features)
    return Encoding((stages[0], stages[1], stages[2], stages[3]), features.float().flatten(2).mean(2))


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
