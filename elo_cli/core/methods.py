"""The methods of the final training: what each takes for settings where nobody says otherwise, and its loss.

elo            Evolving Losses: the loss that a search found, or any other that is named
modist         Motion Distillation (Xiao et al. 2021): four contrasts within and between RGB and motion, weighed alike
contrastive    the first of these alone, RGB with RGB: what MoDist must be compared with
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

MethodName = Literal["elo", "modist", "contrastive"]


class Method(NamedTuple):
    """What a method says.

    Attributes:
        terms: those that its loss weighs 1, all others being 0; none: its loss is to be named or found.
        settings: its own defaults, as nested settings; whatever is said elsewhere goes before them.
    """

    terms: tuple[str, ...] = ()
    settings: Mapping[str, Any] = {}


# The changes of MoCo v2, with the crops of MoDist.
_AUGMENT = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "jitter": 0.8, "grey": 0.2, "blur": 0.5}
_CLIP = {"crop_area": [0.3, 1.0], "augment": _AUGMENT}
_CONTRAST = {
    "objective": {"modalities": ["rgb", "motion"], "terms": ["*.contrast"]},
    "proxy": {"clip": _CLIP},
    "pretrain": {"clip": _CLIP},
}

METHODS: dict[MethodName, Method] = {
    "elo": Method(),
    "modist": Method(("rgb.contrast", "motion.contrast", "rgb-to-motion.contrast", "motion-to-rgb.contrast"), _CONTRAST),
    "contrastive": Method(("rgb.contrast",), _CONTRAST),
}
