"""How the look of a training clip is changed: colours, grey, blur; the same for all its frames and windows.

Colour jitter is torchvision's (brightness, contrast, saturation and hue in a random order), with one
difference: the mean that contrast is stretched about is that of the whole clip, not of each frame, so
that a frame's brightness tells nothing of its neighbours that was not there before. What is made of
a clip's pixels, grey among it, is made after this.
"""

import itertools
from typing import NamedTuple

import numpy as np
from torch import Tensor

from elo_cli.core.train_settings import AugmentSettings

_ORDERS = tuple(itertools.permutations(("brightness", "contrast", "saturation", "hue")))
_BLUR_SIZE = 224  # rows and columns of the clips that the usual strength of blur is meant for


class Look(NamedTuple):
    """What is done to one clip; 1 and 0 are nothing.

    Attributes:
        order: in which the four changes of colour are made.
        brightness, contrast, saturation: factors.
        hue: turn of the colour wheel, -0.5 to 0.5.
        grey: whether colour is taken away.
        sigma: of the blur, in pixels of a clip of 224 rows; 0: none.
    """

    order: tuple[str, ...] = _ORDERS[0]
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    grey: bool = False
    sigma: float = 0.0


def draw_look(random: np.random.Generator, settings: AugmentSettings) -> Look:
    """Draw the look of one clip; every look takes the same numbers from the generator, whatever the settings."""
    numbers = random.random(9)
    strengths = (settings.brightness, settings.contrast, settings.saturation)
    factors = [max(0.0, 1 - s) + n * (1 + s - max(0.0, 1 - s)) for s, n in zip(strengths, numbers[:3], strict=True)]
    jittered = numbers[3] < settings.jitter
    sigma = settings.blur_sigma[0] + numbers[8] * (settings.blur_sigma[1] - settings.blur_sigma[0])
    return Look(
        order=_ORDERS[int(numbers[4] * len(_ORDERS))],
        brightness=float(factors[0]) if jittered else 1.0,
        contrast=float(factors[1]) if jittered else 1.0,
        saturation=float(factors[2]) if jittered else 1.0,
        hue=float((2 * numbers[5] - 1) * settings.hue) if jittered else 0.0,
        grey=bool(numbers[6] < settings.grey),
        sigma=float(sigma) if numbers[7] < settings.blur else 0.0,
    )


def change_look(frames_TCHW: Tensor, look: Look) -> Tensor:
    """Change the look of frames of 3 channels in [0, 1]; what leaves that range is cut off."""
    if look._replace(order=()) == Look(order=()):
        return frames_TCHW
    from torchvision.transforms.v2 import functional  # slow to import

    frames, rows, columns = len(frames_TCHW), *frames_TCHW.shape[2:]
    # One picture of all frames, one below the other.
    tall_CHW = frames_TCHW.transpose(0, 1).reshape(3, frames * rows, columns)
    for what in look.order:
        value = getattr(look, what)
        if value != (0.0 if what == "hue" else 1.0):
            tall_CHW = getattr(functional, f"adjust_{what}")(tall_CHW, value)
    if look.grey:
        tall_CHW = functional.rgb_to_grayscale(tall_CHW, num_output_channels=3).clone()  # it is one channel seen thrice
    changed_TCHW = tall_CHW.reshape(3, frames, rows, columns).transpose(0, 1)
    sigma = look.sigma * columns / _BLUR_SIZE
    if sigma > 0:
        changed_TCHW = functional.gaussian_blur(changed_TCHW, [2 * max(1, round(3 * sigma)) + 1] * 2, [sigma, sigma])
    return changed_TCHW
