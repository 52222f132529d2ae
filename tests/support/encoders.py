"""Encoders as `elo pretrain` leaves them, without the training."""

from pathlib import Path

import torch

from elo_cli.core.train_settings import ClipSettings, EncoderSettings
from elo_cli.engine.export import make_card, save_encoder
from elo_cli.engine.objective import build_encoder


def write_encoder(folder: Path, *, depth: int = 10, width: int = 4, size: int = 16, architecture: str = "r2plus1d") -> Path:
    """Write an encoder for four frames of a size, whose norms have seen something, and its card."""
    settings = EncoderSettings(architecture=architecture, depth=depth, width=width)  # type: ignore[arg-type, call-arg]
    clip = ClipSettings(frames=4, stride=1, size=size, future=2)  # type: ignore[call-arg]
    encoder = build_encoder("rgb", settings, seed=3)
    with torch.no_grad():
        encoder(0.5 + 2 * torch.randn(4, 3, 4, size, size, generator=torch.Generator().manual_seed(5)))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "encoder.safetensors"
    origin = {"short_side": 20, "method": "none", "loss": {"rgb.reverse": 0.5}}
    save_encoder(path, encoder, make_card(settings, clip, 8.0, origin))
    return path


def some_clips(batch: int, size: int = 16, frames: int = 4) -> torch.Tensor:
    """Return random clips (batch, 3, frames, size, size)."""
    return torch.randn(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(batch))
