"""Encodings of noise, for tests of single terms without any encoder."""

from collections.abc import Iterable

import torch
from torch import Tensor

from elo_cli.core.clip import MODALITIES, ClipBatch, Source, View
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.term import Parts, TermLoss

CLIP_STAGES = ((2, 4, 4, 4), (3, 2, 3, 3), (4, 1, 2, 2), (5, 1, 1, 1))
SOUND_STAGES = ((2, 4, 6), (6, 2, 3), (4, 1, 2), (5, 1, 1))
VIDEOS = 8
CLIP_SHAPES = {"rgb": (3, 4, 8, 8), "grey": (1, 4, 8, 8), "flow": (2, 4, 8, 8), "audio": (1, 4, 6), "motion": (2, 4, 8, 8)}


def make_parts(settings: ObjectiveSettings | None = None) -> Parts:
    """Say what a term may know of networks that make such stages."""
    shapes: dict[Source, tuple[int, ...]] = {}
    for name, shape in CLIP_SHAPES.items():
        short = (1, 4, 3) if name == "audio" else (shape[0], 2, *shape[2:])
        modality = next(known for known in MODALITIES if known == name)
        shapes |= {Source(modality): shape, Source(modality, "shifted"): shape, Source(modality, "future"): short}
        shapes[Source(modality, "paired")] = shape
    shapes[Source("flow", "clip", True)] = CLIP_SHAPES["flow"]
    stages = {name: SOUND_STAGES if name == "audio" else CLIP_STAGES for name in MODALITIES}
    return Parts(stages, shapes, settings or ObjectiveSettings(), VIDEOS, VIDEOS, seed=0)


def make_encoding(modality: str, clips: int, generator: torch.Generator) -> Encoding:
    """Make noise of the right shapes that takes a gradient; its vector is independent of its stages."""
    shapes = SOUND_STAGES if modality == "audio" else CLIP_STAGES
    first, second, third, fourth = (torch.randn(clips, *shape, generator=generator).requires_grad_() for shape in shapes)
    return Encoding((first, second, third, fourth), torch.randn(clips, shapes[-1][0], generator=generator).requires_grad_())


def make_case(loss: TermLoss, parts: Parts, clips: int, seed: int = 0) -> tuple[dict[View, Encoding], ClipBatch]:
    """Make what a term's forward takes: everything is present, every clip is of another video."""
    generator = torch.Generator().manual_seed(seed)
    encoded = {view: make_encoding(view.modality, clips, generator) for view in sorted(loss.views)}
    sources = sorted(loss.sources)
    inputs = {source: torch.randn(clips, *parts.shapes[source], generator=generator) for source in sources}
    present = {source: torch.ones(clips, dtype=torch.bool) for source in sources}
    return encoded, ClipBatch(inputs, present, tuple(map(str, range(clips))), torch.arange(clips))


def gradients(encoded: dict[View, Encoding]) -> list[Tensor]:
    """The gradients of all encodings, zeros where there is none, and forget them."""
    leaves = [tensor for view in sorted(encoded) for tensor in (*encoded[view].stages, encoded[view].vector_BD)]
    found = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad.clone() for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    return found


def reach(encoded: dict[View, Encoding], found: Iterable[Tensor]) -> set[View]:
    """The views that a gradient reaches."""
    names = [view for view in sorted(encoded) for _ in range(5)]
    return {view for view, gradient in zip(names, found, strict=True) if gradient.any()}
