"""The decoder of the reconstruct, predict and transfer tasks: six convolutions, none over time.

Time leaves through the channels: the T frames of the target are channels of one picture, so all
temporal information must be in the representation (section 3.3 of the paper). A spectrogram is one
picture of frequency and time, as for its encoder, and is decoded as such. The decoder is thrown away
after training.

It starts by decoding everything to nearly 0, and no unit of it can die: where targets are hard to foretell
and centred, like flow, the shortest way to a small loss is to silence all units of an ordinary
rectified decoder, from where there is none back (docs/log.md, 2026-11-21).
"""

from torch import Tensor, nn
from torch.nn import functional

from elo_cli.nets.blocks import start_residual

_CHANNELS = (64, 48, 32, 24, 16)
_LEAK = 0.1  # slope of the rectifiers below 0
_FAINT = 1e-3  # deviation of the last convolution's first weights


class Decoder(nn.Module):
    """Decode the last stage of an encoder into a clip or a spectrogram.

    Args:
        features: shape (C, …) of the encoder's last stage, without the batch.
        target: shape of what is decoded: (C, T, H, W) of a clip, or (1, F, T) of a spectrogram.
    """

    def __init__(self, features: tuple[int, ...], target: tuple[int, ...]) -> None:
        super().__init__()
        self.target = target
        out, rows, columns = (target[0] * target[1], *target[2:]) if len(target) == 4 else target
        self.sizes = [(max(1, -(-rows // 2**level)), max(1, -(-columns // 2**level))) for level in (4, 3, 2, 1, 0)]
        # Pictures decode from the feature map where it lies; between sound and picture no place
        # corresponds to any other, so there the pooled representation is unfolded into a new map.
        self.spatial = len(features) == 4 and len(target) == 4
        if self.spatial:
            first: nn.Module = nn.Conv2d(features[0] * features[1], _CHANNELS[0], 3, padding=1)
        else:
            first = nn.Conv2d(features[0], _CHANNELS[0] * self.sizes[0][0] * self.sizes[0][1], 1)
        later = [
            nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in zip(_CHANNELS, (*_CHANNELS[1:], out), strict=True)
        ]
        self.convolutions = nn.ModuleList([first, *later])
        start_residual(self)
        nn.init.normal_(later[-1].weight, std=_FAINT)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, …) to (B, *target)."""
        if self.spatial:
            picture = self.convolutions[0](features.flatten(1, 2))
            picture = functional.interpolate(picture, self.sizes[0])
        else:
            pooled_BC11 = features.flatten(2).mean(2)[:, :, None, None]
            picture = self.convolutions[0](pooled_BC11).view(len(features), _CHANNELS[0], *self.sizes[0])
        for convolution, size in zip(self.convolutions[1:], (*self.sizes[1:], self.sizes[-1]), strict=True):
            picture = functional.interpolate(functional.leaky_relu(picture, _LEAK), size)
            picture = convolution(picture)
        decoded: Tensor = picture.view(len(features), *self.target)
        return decoded
