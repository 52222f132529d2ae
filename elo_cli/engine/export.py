"""The one RGB network that comes out: plain safetensors, and a card that says what it is; saved and loaded.

At depth 18 and width 64 the file loads into torchvision's `r2plus1d_18` as it is: the keys are the
same, and the classifier `fc`, which self-supervision does not train, is there as zeros.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.files import write_atomic, write_json
from elo_cli.core.train_settings import ClipSettings, EncoderSettings
from elo_cli.data.transforms import RGB_DEVIATION, RGB_MEAN, rgb, seen_places
from elo_cli.engine.objective import build_encoder
from elo_cli.run.checkpoint import load_newest, load_step
from elo_cli.run.directory import RunDirectory

GEOMETRY = ("frames", "stride", "size", "frame")  # of the clips that an encoder knows, by their names in `ClipSettings`
_CLASSES = 400  # of torchvision's stock classifier


class LoadedEncoder(nn.Module):
    """An RGB encoder with the card that says what it is: clips in, features out; made by `load_encoder`.

    Args:
        path: its file.
        network: the encoder itself, which gives an `Encoding`.
        card: what is known of it.

    Attributes:
        clip: the clips it wants.
        architecture: what `network` is.
    """

    def __init__(self, path: Path, network: nn.Module, card: dict[str, Any]) -> None:
        super().__init__()
        self.path, self.network, self.card = path, network, card
        wanted = card["input"]
        geometry = {name: wanted[name] for name in GEOMETRY}
        self.clip = ClipSettings.model_validate(geometry)
        self.architecture = architecture_of(card)

    def forward(self, clips_BCTHW: Tensor) -> Tensor:
        """Encode clips.

        Args:
            clips_BCTHW: (B, 3, T, H, W), normalised, as `prepare` makes them; the sizes of the card or others.

        Returns:
            Features (B, D), float32: those that `elo extract-features` averages.

        Raises:
            UsageError: these are no such clips.
        """
        if clips_BCTHW.dim() != 5 or clips_BCTHW.shape[1] != 3 or not clips_BCTHW.is_floating_point():
            kind, shape = str(clips_BCTHW.dtype).removeprefix("torch."), tuple(clips_BCTHW.shape)
            raise UsageError(
                f"The encoder takes clips (batch, 3, frames, height, width) of normalised floats, not {kind} of {shape}.",
                hint="encoder.prepare(frames) makes such a clip of uint8 frames (frames, height, width, 3); stack several.",
            )
        vectors_BD: Tensor = self.network(clips_BCTHW).vector_BD
        return vectors_BD

    def prepare(self, frames_THWC: np.ndarray) -> Tensor:
        """Make a clip of decoded frames: the largest square in the middle (or all, squeezed), at the card's size, normalised.

        Args:
            frames_THWC: RGB, uint8 (T, H, W, 3); `card["input"]` says how many the encoder knows, and at what rate.

        Returns:
            (3, T, size, size), float32, on the CPU.

        Raises:
            UsageError: these are no such frames.
        """
        frames_THWC = np.asarray(frames_THWC)
        if frames_THWC.dtype != np.uint8 or frames_THWC.ndim != 4 or frames_THWC.shape[3] != 3 or not frames_THWC.size:
            raise UsageError(
                f"Frames are uint8 of (frames, height, width, 3), not {frames_THWC.dtype} of {frames_THWC.shape}.",
                hint="Give decoded RGB frames as they are, from 0 to 255, the colours last.",
            )
        height, width = frames_THWC.shape[1:3]
        return rgb(frames_THWC, seen_places(height, width, self.clip)[0], self.clip.size)


def card_path(encoder: Path) -> Path:
    """Return the path of the card that belongs to an encoder file."""
    return encoder.with_suffix(".json")


def save_encoder(path: Path, network: nn.Module, card: Mapping[str, Any]) -> str:
    """Write the RGB encoder and its card.

    Args:
        path: of the safetensors file; the card gets the ending `.json`.
        network: the encoder itself.
        card: what `make_card` says of it; a sum that it has is replaced by that of the file.

    Returns:
        The SHA-256 of the file.
    """
    content, digest = _content(network, card)
    write_atomic(path, content)
    write_json(card_path(path), {**card, "sha256": digest})
    return digest


def make_card(settings: EncoderSettings, clip: ClipSettings, fps: float, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Describe an encoder, but for the sum of its file.

    Args:
        settings: its architecture.
        clip: the clips that it was trained on.
        fps: their rate: stored frames per second, before the stride.
        origin: how it was made; goes into the card as it is.
    """
    return {
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
            "frame": clip.frame,
            "mean": RGB_MEAN,
            "deviation": RGB_DEVIATION,
        },
        "origin": dict(origin),
        "licence": "The weights follow from the videos they were trained on; their terms apply.",
    }


def architecture_of(card: dict[str, Any]) -> EncoderSettings:
    """Return the settings of the network that a card describes."""
    return EncoderSettings(architecture=card["architecture"], depth=card["depth"], width=card["width"])  # type: ignore[call-arg]


def classifier(features: int) -> dict[str, Tensor]:
    """Return the layer of torchvision's networks that nothing here trains, as zeros."""
    return {"fc.weight": torch.zeros(_CLASSES, features), "fc.bias": torch.zeros(_CLASSES)}


def digest_of(network: nn.Module) -> str:
    """Return the SHA-256 of a network's parameters and statistics, as a safetensors file would hold them."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    return hashlib.sha256(save(tensors)).hexdigest()


def _content(network: nn.Module, card: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return the file of an encoder, and its SHA-256."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    if (card["architecture"], card["depth"], card["width"]) == ("r2plus1d", 18, 64):
        tensors |= classifier(512)
    content = save(tensors)
    return content, hashlib.sha256(content).hexdigest()


def encoder_at(run: RunDirectory, step: str) -> LoadedEncoder:
    """Take the encoder out of a checkpoint of `elo pretrain`, which may still be at work.

    Args:
        run: of the training.
        step: `best`, by what was seen of held-out videos, `newest`, or the number of steps.

    Returns:
        The encoder, on the CPU and in evaluation mode; its path is where it would be saved.

    Raises:
        UsageError: `step` is none of these.
        DataError: there is no such checkpoint, or it is damaged.
    """
    newest = load_newest(run.checkpoints)
    if newest is None or "card" not in newest.state:
        raise DataError(f"There is no checkpoint of elo pretrain in {run.root}.", hint="Give the directory of its run.")
    if step == "best" and newest.state["best"] is None:
        raise DataError(f"No step of {run.root} is the best: nothing was held out, or looked at yet.", hint="Try --step newest.")
    if step not in ("best", "newest") and not re.fullmatch("[0-9]{1,18}", step):
        raise UsageError(f"--step {step} is no step.", hint="Give best, newest, or a number of steps.")
    number = {"best": newest.state["best"] and newest.state["best"]["step"], "newest": newest.step}.get(step) or int(step)
    found = newest if number == newest.step else load_step(run.checkpoints, number)
    card, prefix = found.state["card"], "model:encoders.rgb."
    network = build_encoder("rgb", architecture_of(card), seed=0)
    network.load_state_dict({name[len(prefix) :]: value for name, value in found.tensors.items() if name.startswith(prefix)})
    path = run.encoder.with_name(f"{run.encoder.stem}-step-{number:08}{run.encoder.suffix}")
    return LoadedEncoder(path, network, card | {"sha256": _content(network, card)[1]}).eval()


def load_encoder(path: str | Path) -> LoadedEncoder:
    """Load an encoder that `elo pretrain` wrote; nothing in the files is executed.

    Args:
        path: an `encoder.safetensors` with its card beside it, or the directory of a run that holds them.

    Returns:
        The encoder, on the CPU and in evaluation mode: `features_BD = encoder(clips_BCTHW)`.

    Raises:
        DataError: a file is missing or damaged, or the two do not belong together.
    """
    path = Path(path)
    if path.is_dir():
        path = RunDirectory(path).encoder
    try:
        content, card = path.read_bytes(), json.loads(card_path(path).read_text())
        if hashlib.sha256(content).hexdigest() != card["sha256"]:
            raise DataError(
                f"{path} is not the file that its card describes.", hint="Copy both files again, or export the encoder anew."
            )
        network = build_encoder("rgb", architecture_of(card), seed=0)
        network.load_state_dict({name: value for name, value in load(content).items() if not name.startswith("fc.")})
        encoder = LoadedEncoder(path, network, card)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{path} cannot be loaded as an encoder: {error}", hint="Give an encoder.safetensors that elo pretrain wrote."
        ) from error
    return encoder.eval()
