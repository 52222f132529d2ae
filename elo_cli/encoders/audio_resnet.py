"""A 2D ResNet on the log-mel spectrogram, of torchvision's blocks, at any width."""

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from elo_cli.nets.blocks import STAGES, Encoding, stack_stage, start_residual


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

        inputs = width
        for number, blocks in enumerate(STAGES[depth]):
            planes = width * 2**number
            stage = stack_stage(
                block, _shortcut, inputs, planes, expansion=kind.expansion, blocks=blocks, stride=1 if number == 0 else 2
            )
            self.add_module(f"layer{number + 1}", stage)
            inputs = planes * kind.expansion
        start_residual(self)

    def forward(self, spectrogram_BCFT: Tensor) -> Encoding:
        features = self.stem(spectrogram_BCFT)
        stages = []
        for number in range(1, 5):
            features = self.get_submodule(f"layer{number}")(features)
            stages.append(features)
        return Encoding((stages[0], stages[1], stages[2], stages[3]), features.float().mean((2, 3)))
