"""From stored frames to what an encoder sees: crop, mirror, resize, normalise.

One clip has one crop and one mirroring for all its windows and modalities, so that they stay
aligned and no task can tell windows apart by them. Flow follows: mirroring negates its horizontal
part, and its unit is a hundredth of the clip's side for each stored frame, so that it says how far
things move in what the encoder sees.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# Mean and standard deviation of Kinetics-400, as in torchvision's video models.
RGB_MEAN = (0.43216, 0.394666, 0.37645)
RGB_DEVIATION = (0.22803, 0.22145, 0.216989)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
GREY_MEAN, GREY_DEVIATION = 0.40, 0.22
AUDIO_MEAN, AUDIO_DEVIATION = -7.0, 4.0  # of the natural logarithm of mel power


class Place(NamedTuple):
    """A square of the stored frame, in pixels, and whether it is mirrored."""

    top: int
    left: int
    side: int
    flip: bool


def training_place(
    numbers: tuple[float, float, float, float], height: int, width: int, area: tuple[float, float], flip: float
) -> Place:
    """Turn four numbers in [0, 1] into a square crop of a share of the largest square."""
    share = area[0] + numbers[0] * (area[1] - area[0])
    side = max(1, round(min(height, width) * share**0.5))
    top, left = (min(int(at * (room + 1)), room) for at, room in ((numbers[1], height - side), (numbers[2], width - side)))
    return Place(top, left, side, numbers[3] < flip)


def central_place(height: int, width: int) -> Place:
    """The largest square in the middle: what evaluation looks at."""
    side = min(height, width)
    return Place((height - side) // 2, (width - side) // 2, side, False)


def _square(frames_THWC: np.ndarray, place: Place) -> Tensor:
    top, left, side, flip = place
    cropped = torch.from_numpy(np.ascontiguousarray(frames_THWC[:, top : top + side, left : left + side]))
    frames_TCHW = cropped.permute(0, 3, 1, 2)
    return frames_TCHW.flip(3) if flip else frames_TCHW


def _resize(frames_TCHW: Tensor, size: int) -> Tensor:
    if frames_TCHW.shape[-1] == size:
        return frames_TCHW
    return functional.interpolate(frames_TCHW, (size, size), mode="bilinear", antialias=True, align_corners=False)


def rgb(frames_THWC: np.ndarray, place: Place, size: int) -> Tensor:
    """Frames as uint8 (T,H,W,3) → (3,T,size,size) float32, normalised as in Kinetics."""
    frames_TCHW = _resize(_square(frames_THWC, place).float(), size).div_(255)
    mean, deviation = torch.tensor(RGB_MEAN).view(1, 3, 1, 1), torch.tensor(RGB_DEVIATION).view(1, 3, 1, 1)
    return ((frames_TCHW - mean) / deviation).transpose(0, 1)


def grey(rgb_CTHW: Tensor) -> Tensor:
    """The luma of a normalised RGB clip, (1,T,H,W), normalised for itself."""
    shape = (3, 1, 1, 1)
    weights, mean = torch.tensor(LUMA).view(shape), torch.tensor(RGB_MEAN).view(shape)
    plain = rgb_CTHW * torch.tensor(RGB_DEVIATION).view(shape) + mean
    return ((plain * weights).sum(0, keepdim=True) - GREY_MEAN) / GREY_DEVIATION


def flow(stored_THWC: np.ndarray, scale_T: np.ndarray, place: Place, size: int) -> Tensor:
    """Stored flow int8 (T,H,W,2) and pixels for its unit (T) → (2,T,size,size) float32 in hundredths of the clip's side."""
    scale_T111 = torch.from_numpy(np.asarray(scale_T, np.float32) * np.float32(100 / place.side)).view(-1, 1, 1, 1)
    vectors_TCHW = _resize(_square(stored_THWC, place).float(), size).mul_(scale_T111)
    if place.flip:
        vectors_TCHW[:, 0].neg_()
    return vectors_TCHW.transpose(0, 1)


def audio(stored_FT: np.ndarray, frames: int) -> Tensor:
    """Stored log-mel float16 (F, ≤frames) → (1,F,frames) float32, padded at the end with its floor."""
    spectrogram = (torch.from_numpy(stored_FT.astype(np.float32)) - AUDIO_MEAN) / AUDIO_DEVIATION
    missing = frames - spectrogram.shape[1]
    if missing > 0:
        spectrogram = functional.pad(spectrogram, (0, missing), value=float(spectrogram.min()))
    return spectrogram[None, :, :frames]
