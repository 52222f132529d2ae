"""The ResNet of mixed convolutions, MC3 (Tran et al. 2018): 3D in the stem and the first stage, 2D after it.

Built of torchvision's own blocks, so that at depth 18 and width 64 its parameters have the names and
shapes of torchvision's `mc3_18`, the classifier `fc` aside. Clips have any number of channels, and keep all their frames.
"""

from torch import Tensor, nn
from torchvision.models.video.resnet import BasicBlock, Bottleneck

from elo_cli.nets.blocks import Encoding, add_stages, run_stages, start_residual


# Plain Conv3d both, not torchvision's subclasses: `Precision.place` guards plain ones where bf16 is wrong on processors.
def _over_time(channels: int, out: int, middle: int, stride: int = 1) -> nn.Module:
    return nn.Conv3d(channels, out, 3, stride, 1, bias=False)


def _within_frames(channels: int, out: int, middle: int, stride: int = 1) -> nn.Module:
    return nn.Conv3d(channels, out, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)


def _shortcut(channels: int, out: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv3d(channels, out, 1, (1, stride, stride), bias=False), nn.BatchNorm3d(out))


class Encoder(nn.Module):
    """Encode a clip (B, C, T, H, W).

    Args:
        channels: C: 3 for rgb, 2 for flow, 1 for grey.
        depth: 10, 18, 34 or 50.
        width: channels of the first stage; 64 is the published network.
    """

    def __init__(self, channels: int, depth: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(channels, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False), nn.BatchNorm3d(width), nn.ReLU(inplace=True)
        )
        kind = Bottleneck if depth == 50 else BasicBlock

        def block(inputs: int, planes: int, stride: int, shortcut: nn.Module | None) -> nn.Module:
            made: nn.Module = kind(inputs, planes, _over_time if planes == width else _within_frames, stride, shortcut)
            return made

        add_stages(self, block, _shortcut, depth, width, kind.expansion)
        start_residual(self)

    def forward(self, clip_BCTHW: Tensor) -> Encoding:
        return run_stages(self, self.stem(clip_BCTHW))
