"""The 3D ResNet, R3D (Tran et al. 2018), on clips of any number of channels, at any width.

Built of torchvision's own blocks, so that at depth 18 and width 64 its parameters have the names and
shapes of torchvision's `r3d_18`, the classifier `fc` aside.
"""

from elo_cli.nets.video_resnet import VideoResNet, full_convolution, projection, stem_over_time


class Encoder(VideoResNet):
    """Encode a clip (B, C, T, H, W).

    Args:
        channels: C: 3 for rgb, 2 for flow, 1 for grey.
        depth: 10, 18, 34 or 50.
        width: channels of the first stage; 64 is the published network.
    """

    def __init__(self, channels: int, depth: int, width: int) -> None:
        super().__init__(stem_over_time(channels, width), lambda planes: full_convolution, projection, depth, width)
