"""From stored frames to what an encoder sees: crop, mirror, resize, normalise.

One clip has one crop, one mirroring and one look for all its windows and modalities (that which it is paired with has
its own), so that they stay aligned and no task can tell windows apart by them. Flow follows: mirroring negates its
horizontal part, and its unit is a hundredth of the crop's width (and height) for each stored frame,
so that it says how far things move in what the encoder sees.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from elo_cli.core.train_settings import ClipSettings
from elo_cli.data.augment import Look, change_look

# Mean and standard deviation of Kinetics-400, as in torchvision's video models.
RGB_MEAN = (0.43216, 0.394666, 0.37645)
RGB_DEVIATION = (0.22803, 0.22145, 0.216989)
_MEAN_C11, _DEVIATION_C11 = (torch.tensor(each).view(3, 1, 1) for each in (RGB_MEAN, RGB_DEVIATION))
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
GREY_MEAN, GREY_DEVIATION = 0.40, 0.22
AUDIO_MEAN, AUDIO_DEVIATION = -7.0, 4.0  # of the natural logarithm of mel power


class Place(NamedTuple):
    """A rectangle of the stored frame, in pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    flip: bool


def training_place(numbers: tuple[float, float, float, float, float], height: int, width: int, clip: ClipSettings) -> Place:
    """Turn five numbers in [0, 1] into a crop: (area, y, x, flip, aspect).

    Its area is a share of the largest square's, its aspect uniform in the logarithm; what would
    stand out of the frame is cut off. Where clips show the whole frame, only the mirroring is drawn.
    """
    if clip.frame == "whole":
        return whole_place(height, width)._replace(flip=numbers[3] < clip.flip)
    (least, most), (flat, wide) = clip.crop_area, clip.crop_aspect
    side = min(height, width) * (least + numbers[0] * (most - least)) ** 0.5
    stretch = (flat * (wide / flat) ** numbers[4]) ** 0.5
    rows, columns = max(1, min(height, round(side / stretch))), max(1, min(width, round(side * stretch)))
    top, left = (min(int(at * (room + 1)), room) for at, room in ((numbers[1], height - rows), (numbers[2], width - columns)))
    return Place(top, left, rows, columns, numbers[3] < clip.flip)


def central_place(height: int, width: int) -> Place:
    """The largest square in the middle: what evaluation looks at."""
    side = min(height, width)
    return Place((height - side) // 2, (width - side) // 2, side, side, False)


def whole_place(height: int, width: int) -> Place:
    """The whole frame, which is squeezed into the clip's square: what evaluation looks at where boxes are shares of it."""
    return Place(0, 0, height, width, False)


def seen_places(height: int, width: int, clip: ClipSettings, crops: int = 1) -> list[Place]:
    """What evaluation looks at: the whole frame, however many crops, where clips show it; else the squares of `spread_places`."""
    return [whole_place(height, width)] * crops if clip.frame == "whole" else spread_places(height, width, crops)


def spread_places(height: int, width: int, crops: int) -> list[Place]:
    """As many largest squares, evenly spread along the longer side from one end to the other; a single one is in the middle."""
    side = min(height, width)
    if crops == 1:
        return [central_place(height, width)]
    shifts = [round(number * (max(height, width) - side) / (crops - 1)) for number in range(crops)]
    return [Place(shift if height > width else 0, shift if height <= width else 0, side, side, False) for shift in shifts]


def _cut(frames_THWC: np.ndarray, place: Place) -> Tensor:
    """Cut a rectangle out: float32 (T,C,H,W), each channel for itself, as `_resize` takes a quarter longer where they mix."""
    top, left, height, width, flip = place
    cropped_THWC = np.require(frames_THWC[:, top : top + height, left : left + width], requirements="W")
    frames_TCHW = torch.from_numpy(cropped_THWC).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return frames_TCHW.flip(3) if flip else frames_TCHW


def _resize(frames_TCHW: Tensor, size: int) -> Tensor:
    if frames_TCHW.shape[-2:] == (size, size):
        return frames_TCHW
    return functional.interpolate(frames_TCHW, (size, size), mode="bilinear", antialias=True, align_corners=False)


def rgb(frames_THWC: np.ndarray, place: Place, size: int, look: Look | None = None) -> Tensor:
    """Frames as uint8 (T,H,W,3) → (3,T,size,size) float32, normalised as in Kinetics; with another look, if one is given."""
    frames_TCHW = _resize(_cut(frames_THWC, place), size).div_(255)
    if look is not None:
        frames_TCHW = change_look(frames_TCHW, look)
    return frames_TCHW.sub_(_MEAN_C11).div_(_DEVIATION_C11).transpose(0, 1)


def grey(rgb_CTHW: Tensor) -> Tensor:
    """The luma of a normalised RGB clip, (1,T,H,W), normalised for itself."""
    luma = torch.tensor(LUMA)
    weight_C111 = luma.view(3, 1, 1, 1) * _DEVIATION_C11[:, None]
    plain_1THW = (rgb_CTHW * weight_C111).sum(0, keepdim=True).add_(luma @ _MEAN_C11.flatten())
    return plain_1THW.sub_(GREY_MEAN).div_(GREY_DEVIATION)


def seen_rgb(clip_CTHW: Tensor) -> np.ndarray:
    """Undo the normalisation of `rgb`: uint8 (T,H,W,3); what is darker than black or brighter than white is cut off."""
    return _bytes(clip_CTHW * _DEVIATION_C11[:, None] + _MEAN_C11[:, None])


def seen_grey(clip_1THW: Tensor) -> np.ndarray:
    """Undo the normalisation of `grey`: uint8 (T,H,W,3)."""
    return _bytes((clip_1THW * GREY_DEVIATION + GREY_MEAN).expand(3, -1, -1, -1))


def _bytes(clip_CTHW: Tensor) -> np.ndarray:
    pixels: np.ndarray = (clip_CTHW.nan_to_num() * 255).round().clamp(0, 255).byte().permute(1, 2, 3, 0).numpy()
    return pixels


def flow(stored_THWC: np.ndarray, scale_T: np.ndarray, place: Place, size: int) -> Tensor:
    """Stored flow int8 (T,H,W,2) and pixels for its unit (T) → (2,T,size,size) float32 in hundredths of the clip's sides."""
    unit_2 = np.array([100 / place.width, 100 / place.height], np.float32)
    scale_T211 = torch.from_numpy(np.asarray(scale_T, np.float32)[:, None] * unit_2)[..., None, None]
    vectors_TCHW = _resize(_cut(stored_THWC, place), size).mul_(scale_T211)
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
