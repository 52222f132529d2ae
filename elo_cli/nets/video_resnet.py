"""ResNets of torchvision's video blocks (Tran et al. 2018): what the encoders r2plus1d, r3d and mc3 share."""

from collections.abc import Callable

from torch import Tensor, nn
from torchvision.models.video.resnet import BasicBlock, Bottleneck

from elo_cli.nets.blocks import Encoding, Shortcut, add_stages, run_stages, start_residual

# Makes a convolution from (input channels, output channels, channels between, stride), as torchvision's blocks ask for it.
Convolution = Callable[..., nn.Module]


class VideoResNet(nn.Module):
    """Encode a clip (B, C, T, H, W) by a stem and four stages of residual blocks.

    Args:
        stem: ends in `width` channels.
        convolution: says by its planes which convolution a block is made of.
        shortcut: makes a projection from (input channels, output channels, stride).
        depth: 10, 18, 34 or 50.
        width: channels of the first stage; 64 is the published network.
    """

    def __init__(
        self, stem: nn.Sequential, convolution: Callable[[int], Convolution], shortcut: Shortcut, depth: int, width: int
    ) -> None:
        super().__init__()
        self.stem = stem
        kind = Bottleneck if depth == 50 else BasicBlock

        def block(inputs: int, planes: int, stride: int, projection: nn.Module | None) -> nn.Module:
            made: nn.Module = kind(inputs, planes, convolution(planes), stride, projection)
            return made

        add_stages(self, block, shortcut, depth, width, kind.expansion)
        start_residual(self)

    def forward(self, clip_BCTHW: Tensor) -> Encoding:
        return run_stages(self, self.stem(clip_BCTHW))


def projection(channels: int, out: int, stride: int | tuple[int, int, int]) -> nn.Module:
    """Make the shortcut of a block whose input and output differ."""
    return nn.Sequential(nn.Conv3d(channels, out, 1, stride, bias=False), nn.BatchNorm3d(out))


def stem_over_time(channels: int, width: int) -> nn.Sequential:
    """Make the stem of r3d and mc3: one convolution over three frames."""
    convolution = nn.Conv3d(channels, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
    return nn.Sequential(convolution, nn.BatchNorm3d(width), nn.ReLU(inplace=True))


def full_convolution(channels: int, out: int, middle: int, stride: int = 1) -> nn.Module:
    """Make a 3×3×3 convolution; a plain one, because `Precision.place` guards these where bf16 is wrong on processors."""
    return nn.Conv3d(channels, out, 3, stride, 1, bias=False)
