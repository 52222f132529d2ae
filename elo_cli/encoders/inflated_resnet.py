"""A 2D ResNet on every frame, made to look over time too: inflated (Carreira and Zisserman 2017).

The form is the I3D of 3×3×3 kernels of Wang et al. 2018 ("Non-local neural networks", Section 4): the first convolution spans
5 frames, and in every second block of a stage, from the first on, the first 3×3 convolution spans 3; 1×1 ones stay. Here no
stride or pooling is over time, so that every stage has all frames; and past its ends a clip goes on with its first and last
frame, not with zeros, so that a clip of equal frames has the features of the 2D network, but for rounding.

Legend: B clips, C channels, T frames, H rows, W columns; O and I output and input channels of a kernel.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from elo_cli.data.transforms import RGB_DEVIATION, RGB_MEAN
from elo_cli.nets.blocks import Encoding, add_stages, run_stages, start_residual
from elo_cli.nets.video_resnet import projection

# Mean and standard deviation of ImageNet, as in torchvision's image models.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_SCALE = [ours / theirs for ours, theirs in zip(RGB_DEVIATION, IMAGENET_DEVIATION, strict=True)]
_SHIFT = [(a - b) / c for a, b, c in zip(RGB_MEAN, IMAGENET_MEAN, IMAGENET_DEVIATION, strict=True)]
_FIRST, _LATER = 5, 3  # frames that a convolution spans
_STEM = {"conv1.": "stem.0.", "bn1.": "stem.1."}  # torchvision's names of what comes before the stages


def _repeat_ends(convolution: nn.Module, given: tuple[Any, ...]) -> tuple[Tensor]:
    """Let the first and the last frame of (B, I, T, H, W) go on for as long as the kernel reaches past them."""
    (features_BITHW,) = given
    assert isinstance(convolution, nn.Conv3d)
    sizes = (-1, -1, convolution.kernel_size[0] // 2, -1, -1)
    before, after = features_BITHW[:, :, :1].expand(sizes), features_BITHW[:, :, -1:].expand(sizes)
    return (torch.cat([before, features_BITHW, after], 2),)


def _convolution(channels: int, out: int, side: int, stride: int, frames: int) -> nn.Conv3d:
    # A plain Conv3d with a hook, not a subclass: `Precision.place` guards plain ones where bf16 is wrong on processors.
    made = nn.Conv3d(channels, out, (frames, side, side), (1, stride, stride), (0, side // 2, side // 2), bias=False)
    if frames > 1:
        made.register_forward_pre_hook(_repeat_ends)
    return made


def _shortcut(channels: int, out: int, stride: int) -> nn.Module:
    return projection(channels, out, (1, stride, stride))


class Encoder(nn.Module):
    """Encode a clip (B, C, T, H, W).

    A clip of three channels is taken for RGB normalised as in Kinetics, like all clips of elo, and is normalised as in
    ImageNet before the first convolution. Folded into the weights, the change would be wrong where frames are padded with zeros.

    Args:
        channels: C: 3 for rgb, 2 for flow, 1 for grey.
        depth: 10, 18, 34 or 50.
        width: channels of the first stage; 64 is the published network.
    """

    def __init__(self, channels: int, depth: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _convolution(channels, width, 7, 2, _FIRST),
            nn.BatchNorm3d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
        )
        kind, spanning = (Bottleneck, "conv2") if depth == 50 else (BasicBlock, "conv1")

        def block(inputs: int, planes: int, stride: int, shortcut: nn.Module | None) -> nn.Module:
            made: nn.Module = kind(inputs, planes, stride, shortcut, norm_layer=nn.BatchNorm3d)
            return made

        add_stages(self, block, _shortcut, depth, width, kind.expansion)
        for stage in range(1, 5):
            for position, made in enumerate(self.get_submodule(f"layer{stage}").children()):
                for name, layer in list(made.named_children()):
                    if isinstance(layer, nn.Conv2d):
                        frames = _LATER if position % 2 == 0 and name == spanning else 1
                        flat = layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0]
                        made.add_module(name, _convolution(*flat, frames))
        start_residual(self)

    def forward(self, clip_BCTHW: Tensor) -> Encoding:
        if clip_BCTHW.shape[1] == 3:
            scale_C111, shift_C111 = (clip_BCTHW.new_tensor(each).view(3, 1, 1, 1) for each in (_SCALE, _SHIFT))
            clip_BCTHW = clip_BCTHW * scale_C111 + shift_C111
        return run_stages(self, self.stem(clip_BCTHW))


def inflate(flat: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Turn the weights of torchvision's 2D ResNet into those of an `Encoder`: spread over time, in equal parts.

    Args:
        flat: kernels (O, I, H, W) and the rest, by torchvision's names, without the classifier.
        shapes: of the parameters of the `Encoder`, by its own names.

    Returns:
        Its parameters: a kernel (O, I, T, H, W) is T times that of the picture, divided by T.
    """
    tensors = {}
    for theirs, value in flat.items():
        stem = next((stem for stem in _STEM if theirs.startswith(stem)), None)
        name = theirs if stem is None else _STEM[stem] + theirs.removeprefix(stem)
        if value.dim() == 4:
            frames = shapes[name][2]
            value = value.unsqueeze(2).repeat(1, 1, frames, 1, 1) / frames
        tensors[name] = value
    return tensors
