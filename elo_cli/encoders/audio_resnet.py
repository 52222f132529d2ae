"""A 2D ResNet on the log-mel spectrogram, of torchvision's blocks, at any width."""

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from elo_cli.nets.blocks import Encoding, add_stages, run_stages, start_residual


def _shortcut(channels: int, out: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class Encoder(nn.Module):
    """Encode a spectrogram (B, 1, F, T).

    Args:
        channels: 1.
        depth: 10, 18, 34 or 50.
        width: channels of the first stage; 64 is the published network.
    """

    def __init__(self, channels: int, depth: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        )
        kind = Bottleneck if depth == 50 else BasicBlock

        def block(inputs: int, planes: int, stride: int, shortcut: nn.Module | None) -> nn.Module:
            made: nn.Module = kind(inputs, planes, stride, shortcut)
            return made

        add_stages(self, block, _shortcut, depth, width, kind.expansion)
        start_residual(self)

    def forward(self, spectrogram_BCFT: Tensor) -> Encoding:
        return run_stages(self, self.stem(spectrogram_BCFT))
