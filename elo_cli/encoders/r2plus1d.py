"""The (2+1)D ResNet (Tran et al. 2018) on clips of any number of channels, at any width.

Built of torchvision's own blocks, so that at depth 18 and width 64 its parameters have the names and
shapes of torchvision's `r2plus1d_18`, the classifier `fc` aside.
"""

from torch import nn
from torchvision.models.video.resnet import Conv2Plus1D

from elo_cli.nets.video_resnet import VideoResNet, projection


class Encoder(VideoResNet):
    """Encode a clip (B, C, T, H, W).

    Args:
        channels: C: 3 for rgb, 2 for flow, 1 for grey.
        depth: 10, 18, 34 or 50.
        width: channels of the first stage; 64 is the published network.
    """

    def __init__(self, channels: int, depth: int, width: int) -> None:
        middle = max(1, 45 * width // 64)  # torchvision's 45 at full width keeps the parameters of a full 3D kernel
        stem = nn.Sequential(
            nn.Conv3d(channels, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(inplace=True),
            nn.Conv3d(middle, width, (3, 1, 1), (1, 1, 1), (1, 0, 0), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
        )
        super().__init__(stem, lambda planes: Conv2Plus1D, projection, depth, width)
