"""The one RGB network that comes out: plain safetensors, and a card that says what it is.

At depth 18 and width 64 the file loads into torchvision's `r2plus1d_18` as it is: the keys are the
same, and the classifier `fc`, which self-supervision does not train, is there as zeros.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from elo_cli.core.errors import DataError
from elo_cli.core.files import write_atomic, write_json
from elo_cli.core.settings import ClipSettings, EncoderSettings
from elo_cli.data.transforms import RGB_DEVIATION, RGB_MEAN
from elo_cli.engine.objective import build_encoder

_CLASSES = 400  # of torchvision's stock classifier


def card_path(encoder: Path) -> Path:
    """Return the path of the card that belongs to an encoder file."""
    return encoder.with_suffix(".json")


def save_encoder(
    path: Path, encoder: nn.Module, settings: EncoderSettings, clip: ClipSettings, fps: float, origin: dict[str, Any]
) -> str:
    """Write the RGB encoder and its card.

    Args:
        path: of the safetensors file; the card gets the ending `.json`.
        encoder: the network.
        settings: its architecture.
        clip: the clips that it was trained on.
        fps: their rate: stored frames per second, before the stride.
        origin: how it was made; goes into the card as it is.

    Returns:
        The SHA-256 of the file.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    if settings.architecture == "r2plus1d" and settings.depth == 18 and settings.width == 64:
        tensors |= {"fc.weight": torch.zeros(_CLASSES, 512), "fc.bias": torch.zeros(_CLASSES)}
    content = save(tensors)
    digest = hashlib.sha256(content).hexdigest()
    card = {
        "architecture": settings.architecture,
        "depth": settings.depth,
        "width": settings.width,
        "input": {
            "modality": "rgb",
            "shape": ["batch", 3, clip.frames, clip.size, clip.size],
            "frames": clip.frames,
            "stride": clip.stride,
            "fps": fps,
            "size": clip.size,
            "mean": RGB_MEAN,
            "deviation": RGB_DEVIATION,
        },
        "origin": origin,
        "sha256": digest,
        "licence": "The weights follow from the videos they were trained on; their terms apply.",
    }
    write_atomic(path, content)
    write_json(card_path(path), card)
    return digest


def load_encoder(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network that a card describes and load its weights.

    Returns:
        The encoder in evaluation mode, and its card.

    Raises:
        DataError: a file is missing or damaged, or the two do not belong together.
    """
    try:
        content, card = path.read_bytes(), json.loads(card_path(path).read_text())
        if hashlib.sha256(content).hexdigest() != card["sha256"]:
            raise DataError(
                f"{path} is not the file that its card describes.", hint="Copy both files again, or export the encoder anew."
            )
        settings = EncoderSettings(architecture=card["architecture"], depth=card["depth"], width=card["width"])  # type: ignore[call-arg]
        encoder = build_encoder("rgb", settings, seed=0)
        encoder.load_state_dict({name: value for name, value in load(content).items() if not name.startswith("fc.")})
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{path} cannot be loaded as an encoder: {error}", hint="Give an encoder.safetensors that elo pretrain wrote."
        ) from error
    return encoder.eval(), card
