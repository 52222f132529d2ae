"""Eq. 1: L = Σ λ L over the terms with positive weight, on encoders that run once for each view.

A term of weight 0 is not built: no parameter, no forward pass, no random number, and a modality that
no positive term reads is not even loaded. All the views of a modality go through its encoder as one
batch, so they share batch-norm statistics and no term can tell views apart by them.

Where several processes train together, each returns its share of the loss: the mean of their summands is that of the
whole batch.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from elo_cli import dist
from elo_cli.core.clip import CHANNELS, MODALITIES, ClipBatch, Modality, Source, View
from elo_cli.core.errors import UsageError
from elo_cli.core.seeds import derive
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.train_settings import EncoderSettings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.encoders import SHELF as ENCODERS
from elo_cli.engine.trainee import LossReport, Trainee
from elo_cli.engine.views import forms_of, make_view
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.decoding import Decoding
from elo_cli.nets.momentum import Follower, projection_head
from elo_cli.nets.norms import synchronise
from elo_cli.nets.term import Parts, TermLoss
from elo_cli.tasks import build_term


def build_encoder(modality: str, settings: EncoderSettings, seed: int) -> nn.Module:
    """Build the encoder of a modality; its first parameters depend on the seed and modality alone."""
    name = settings.audio_architecture if modality == "audio" else settings.architecture
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "encoder", modality))
        encoder: nn.Module = ENCODERS.take(name).Encoder(CHANNELS[modality], settings.depth, settings.width)
    return encoder


def stage_shapes(modality: str, settings: EncoderSettings, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of an encoder's stages for an input of this shape, without the batch; takes no memory."""
    with torch.device("meta"), torch.no_grad():
        stages = build_encoder(modality, settings, 0).eval()(torch.zeros(1, CHANNELS[modality], *shape[1:])).stages
    return tuple(tuple(stage.shape[1:]) for stage in stages)


class Objective(Trainee):
    """All the networks of one loss, and the loss itself.

    Args:
        weights: λ of each term.
        settings: the form of the losses.
        encoders: architecture, depth and width.
        shapes: shape of every source's tensor, without the batch.
        videos: how many videos there are.
        seed: of the first parameters, of shuffled orders and of what terms draw.
        drawn: how many of the videos training ever draws; all of them by default.
        together: whether batch norm is over the clips of all ranks, and not of each alone.

    Raises:
        UsageError: no weight is positive.
    """

    def __init__(
        self,
        weights: LossWeights,
        settings: ObjectiveSettings,
        encoders: EncoderSettings,
        shapes: Mapping[Source, tuple[int, ...]],
        videos: int,
        seed: int,
        drawn: int | None = None,
        together: bool = True,
    ) -> None:
        super().__init__()
        self.terms = weights.active()
        if not self.terms:
            raise UsageError(
                "Every weight of the loss is 0: there is nothing to learn.", hint="Give at least one term a positive weight."
            )
        self.seed, self.scale, self.stripes = seed, settings.scale, settings.spec_augment
        self.weights = {str(term): weights[term] for term in self.terms}
        read = [name for name in MODALITIES if name == "rgb" or any(name in term.modalities for term in self.terms)]
        self.stages: dict[str, tuple[tuple[int, ...], ...]] = {
            name: stage_shapes(name, encoders, shapes[Source(name)]) for name in read
        }
        parts = Parts(self.stages, shapes, settings, videos, videos if drawn is None else drawn, seed)
        losses = {_key(term): _build(term, parts, seed) for term in self.terms}
        self.views = frozenset(view for loss in losses.values() for view in loss.views)
        # A mere target has no encoder; RGB has one even where no term reads it, as it is what training is for.
        encoded = {"rgb"} | {view.modality for view in self.views}
        self.together = together and dist.world() > 1
        self.encoders = nn.ModuleDict({name: build_encoder(name, encoders, seed) for name in read if name in encoded})
        self._build_pathways(parts)
        if self.together:
            synchronise(self.encoders)
        self.losses = nn.ModuleDict(losses)
        self.sources = frozenset(source for loss in losses.values() for source in loss.sources)
        # The value of each term at the first step, by which it is divided where the settings say so.
        self.register_buffer("initial", torch.zeros(len(self.terms)))

    def _build_pathways(self, parts: Parts) -> None:
        """Build what contrast needs of a modality: the head of its queries, and momentum copies of head and encoder for keys."""
        form = parts.settings.contrast
        contrasted = {view.modality for view in self.views if view.form in ("query", "key")}
        self.heads = nn.ModuleDict({name: _build_head(name, parts) for name in self.encoders if name in contrasted})
        keyed = {view.modality for view in self.views if view.form == "key"}
        followed = [name for name in self.encoders if name in keyed]
        self.key_encoders = nn.ModuleDict({name: Follower(self.encoders[name], form.momentum) for name in followed})
        self.key_heads = nn.ModuleDict({name: Follower(self.heads[name], form.momentum) for name in followed})

    def after_step(self) -> None:
        """Let the momentum copies follow."""
        for followers, leaders in ((self.key_encoders, self.encoders), (self.key_heads, self.heads)):
            for name, follower in followers.items():
                assert isinstance(follower, Follower)
                follower.follow(leaders[name])

    def forward(self, batch: ClipBatch, step: int) -> LossReport:
        """Return the weighted loss of one batch."""
        few, encodable = self._encodable(batch)
        encoded: dict[View, Encoding] = {}
        for name, encoder in _named(self.encoders):
            encoded |= self._encode(name, encoder, encodable, few, step)
            encoded |= self._project(name, encoded, batch, step)
        # What cannot be encoded is missing to the terms that encode it, not to those that only compare with it.
        parts = {
            str(term): loss(encoded, encodable if few & {view.source for view in loss.views} else batch).float()
            for term, loss in self._losses()
        }
        # What is no finite number on one rank is none on any: all leave out the same.
        means_T = dist.mean(torch.stack([part.detach() for part in parts.values()]))
        # Each summand is a graph of its own: what is not finite in one must not reach the gradient of another.
        values = parts
        if self.scale == "initial":
            values = {
                name: part / scale for (name, part), scale in zip(parts.items(), self._scale(means_T).unbind(), strict=True)
            }
        summands = {name: self.weights[name] * value for name, value in values.items()}
        return LossReport(summands, dict(zip(parts, means_T.unbind(), strict=True)))

    @property
    def decoding(self) -> dict[Term, Decoding]:
        """The terms that make a picture or a spectrogram."""
        return {term: loss for term, loss in self._losses() if isinstance(loss, Decoding)}

    @torch.no_grad()
    def decoded(self, batch: ClipBatch) -> dict[Term, Tensor]:
        """Return what each term of `decoding` makes of a batch, in evaluation mode; asks no other rank."""
        assert not self.training
        views = {loss.view for loss in self.decoding.values()}
        encoded = {view: self.encoders[view.modality](batch.inputs[view.source]) for view in views}
        return {term: loss.decode(encoded).float() for term, loss in self.decoding.items()}

    def _losses(self) -> Iterator[tuple[Term, TermLoss]]:
        for term in self.terms:
            loss = self.losses[_key(term)]
            assert isinstance(loss, TermLoss)
            yield term, loss

    def _encodable(self, batch: ClipBatch) -> tuple[set[Source], ClipBatch]:
        """Mask what is to be encoded but only one clip of the batch has: batch norm needs two."""
        sources = sorted({view.source for view in self.views if view.form != "key"})
        count_S = torch.stack([batch.present[source].sum() for source in sources])
        count_S = dist.total(count_S) if self.together else count_S
        few = {source for source, count in zip(sources, count_S.tolist(), strict=True) if count < 2}
        present = {source: present_B & (source not in few) for source, present_B in batch.present.items()}
        return few, dataclasses.replace(batch, present=present)

    def _encode(self, name: Modality, encoder: nn.Module, batch: ClipBatch, few: set[Source], step: int) -> dict[View, Encoding]:
        """Run an encoder once, over all the views of its modality that terms read; `few` are the sources that none has."""
        views = forms_of(self.views, name)
        if not views:
            return {}
        stripes = self.stripes if self.training else None
        inputs = [make_view(batch, view, self.seed, step, stripes) for view in views]
        present_N = torch.cat([batch.present[view.source] for view in views])
        stacked = torch.cat(inputs)
        if present_N.all():
            encoding = encoder(stacked)
        else:
            # Clips that lack the modality are never encoded: they are zero rows that every term masks.
            # Of a batch over ranks this one may have no such clip, and takes part all the same: batch norm asks all.
            some = not {view.source for view in views} <= few
            encoding = self._spread(name, encoder(stacked[present_N]) if some else None, present_N)
        size = len(batch.ids)
        return {view: encoding.rows(number * size, (number + 1) * size) for number, view in enumerate(views)}

    def _project(self, name: Modality, encoded: Mapping[View, Encoding], batch: ClipBatch, step: int) -> dict[View, Encoding]:
        """Return the queries and keys of a modality that terms read, each with its projection in the place of x_m."""
        made: dict[View, Encoding] = {}
        query, key = View(name, "query"), View(name, "key")
        if query in self.views:
            encoding = encoded[View(name)]
            made[query] = encoding._replace(vector_BD=self.heads[name](encoding.vector_BD))
        if key in self.views:
            encoding = self.key_encoders[name](make_view(batch, key, self.seed, step))
            made[key] = encoding._replace(vector_BD=self.key_heads[name](encoding.vector_BD))
        return made

    def _spread(self, name: Modality, encoding: Encoding | None, present_N: Tensor) -> Encoding:
        """Put the rows of an encoding where the mask is true; the others are zero."""
        rows: list[Tensor] = []
        for number, shape in enumerate((*self.stages[name], self.stages[name][-1][:1])):
            part = None if encoding is None else (*encoding.stages, encoding.vector_BD)[number]
            full = torch.zeros(len(present_N), *shape, device=present_N.device, dtype=None if part is None else part.dtype)
            rows.append(full if part is None else full.index_put((present_N.nonzero()[:, 0],), part))
        return Encoding((rows[0], rows[1], rows[2], rows[3]), rows[4])

    def _scale(self, values: Tensor) -> Tensor:
        # A term that had no valid clip so far has no value to be divided by; it gets one when it has.
        initial = self.get_buffer("initial")
        if self.training:
            initial.copy_(torch.where((initial == 0) & torch.isfinite(values), values, initial))
        return torch.where(initial > 0, initial, torch.ones_like(initial))


def _named(encoders: nn.ModuleDict) -> list[tuple[Modality, nn.Module]]:
    return [(name, encoders[name]) for name in MODALITIES if name in encoders]


def _key(term: Term) -> str:
    return str(term).replace(".", "/")  # a module's name may not hold a dot


def _build_head(name: str, parts: Parts) -> nn.Module:
    form = parts.settings.contrast
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(parts.seed, "head", name))
        return projection_head(parts.dimension(name), form.hidden, form.dimension)


def _build(term: Term, parts: Parts, seed: int) -> TermLoss:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "term", str(term)))
        return build_term(term, parts)
