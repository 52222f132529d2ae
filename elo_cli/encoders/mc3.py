"""The ResNet of mixed convolutions, MC3 (Tran et al. 2018): 3D in the stem and the first stage, 2D after it.

Built of torchvision's own blocks, so that at depth 18 and width 64 its parameters have the names and
shapes of torchvision's `mc3_18`, the classifier `fc` aside. Clips have any number of channels, and keep all their frames.
"""

from torch import nn

from elo_cli.nets.video_resnet import VideoResNet, full_convolution, projection, stem_over_time


def _within_frames(channels: int, out: int, middle: int, stride: int = 1) -> nn.Module:
    return nn.Conv3d(channels, out, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)


def _shortcut(channels: int, out: int, stride: int) -> nn.Module:
    return projection(channels, out, (1, stride, stride))


class Encoder(VideoResNet):
    """Encode a clip (B, C, T, H, W).

    Args:
        channels: C: 3 for rgb, 2 for flow, 1 for grey.
        depth: 10, 18, 34 or 50.
        width: channels of the first stage; 64 is the published network.
    """

    def __init__(self, channels: int, depth: int, width: int) -> None:
        stem = stem_over_time(channels, width)
        super().__init__(stem, lambda planes: full_convolution if planes == width else _within_frames, _shortcut, depth, width)
