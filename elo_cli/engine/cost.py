"""What each term of a loss costs: passes of encoders, parameters of its own, floating-point operations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from elo_cli.core.clip import ClipBatch, Modality, Source, View
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.train_settings import EncoderSettings
from elo_cli.core.weights import Term
from elo_cli.engine.objective import stage_shapes
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.momentum import projection_head
from elo_cli.nets.term import Parts
from elo_cli.tasks import build_term

CLIPS = 2  # what a term's own operations are counted on: batch norm and negatives need more than one


@dataclass(frozen=True)
class TermCost:
    """One term alone.

    Attributes:
        views: what encoders must see for it.
        targets: what else is read from the shards.
        parameters: of its decoder, head or adapter, which are thrown away after training.
        encoder_flop: floating-point operations of the encoders' forward passes over its views, for one clip.
        own_flop: those of its own forward pass, for one clip. A step takes about three times both.
    """

    views: tuple[View, ...]
    targets: tuple[Source, ...]
    parameters: int
    encoder_flop: float
    own_flop: float


def term_costs(
    terms: Sequence[Term],
    settings: ObjectiveSettings,
    encoders: EncoderSettings,
    shapes: Mapping[Source, tuple[int, ...]],
    videos: int,
) -> dict[Term, TermCost]:
    """Count what each term costs alone; nothing is trained, and encoders are built without memory.

    Args:
        terms: those that are asked for.
        settings: the form of the losses.
        encoders: architecture, depth and width.
        shapes: shape of every source's tensor, without the batch.
        videos: how many videos training would draw from.
    """
    stages: dict[str, tuple[tuple[int, ...], ...]] = {}
    passes: dict[str, float] = {}
    for name in sorted({name for term in terms for name in term.modalities}):
        stages[name], passes[name] = _encoder(name, encoders, shapes)
    parts = Parts(stages, shapes, settings, videos, videos, seed=0)
    return {term: _cost(term, parts, passes) for term in terms}


def _encoder(
    name: str, settings: EncoderSettings, shapes: Mapping[Source, tuple[int, ...]]
) -> tuple[tuple[tuple[int, ...], ...], float]:
    """The shapes of an encoder's stages, and the operations of one clip."""
    modality: Modality = name  # type: ignore[assignment]  # a term of a user's task may read no other
    with FlopCounterMode(display=False) as counter:
        stages = stage_shapes(name, settings, shapes[Source(modality)])
    return stages, float(counter.get_total_flops())


def _cost(term: Term, parts: Parts, passes: Mapping[str, float]) -> TermCost:
    with torch.random.fork_rng(devices=[]):
        loss = build_term(term, parts)
    asking = [view for view in loss.views if view.form == "query"]
    encoded = {view: _zeros(view, parts) for view in loss.views}
    batch = ClipBatch(
        {source: _nothing(*parts.shapes[source]) for source in loss.sources},
        {source: torch.ones(CLIPS, dtype=torch.bool) for source in loss.sources},
        ("",) * CLIPS,
        torch.arange(CLIPS),
    )
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        loss.eval()(encoded, batch)
    return TermCost(
        tuple(sorted(loss.views)),
        tuple(sorted(loss.targets)),
        sum(parameter.numel() for parameter in loss.parameters()) + sum(_head(view.modality, parts) for view in asking),
        sum(passes[view.modality] for view in loss.views),
        counter.get_total_flops() / CLIPS,
    )


def _head(modality: str, parts: Parts) -> int:
    """The parameters of the head that queries of a modality go through, which terms share."""
    form = parts.settings.contrast
    with torch.device("meta"):
        made = projection_head(parts.dimension(modality), form.hidden, form.dimension)
    return sum(parameter.numel() for parameter in made.parameters())


def _zeros(view: View, parts: Parts) -> Encoding:
    first, second, third, fourth = (_nothing(*shape) for shape in parts.stages[view.modality])
    return Encoding((first, second, third, fourth), _nothing(parts.vector(view)))


def _nothing(*shape: int) -> Tensor:
    """Zeros that take no memory."""
    return torch.zeros(1).expand(CLIPS, *shape)
