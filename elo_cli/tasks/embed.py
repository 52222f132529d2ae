"""Bring modalities of one video together and those of different videos apart (Eq. 8)."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional

from elo_cli.core.clip import ClipBatch, View, modality_names
from elo_cli.core.weights import Term
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.distances import distance, masked_mean
from elo_cli.nets.term import Parts, TermLoss


def terms(modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Offer one term for each pair of modalities."""
    return [Term("embed", pair) for pair in combinations(modalities, 2)]


def build(term: Term, parts: Parts) -> TermLoss:
    """Build the loss in the form that `objective.embed_form` names."""
    first, second = modality_names(term)
    kind = Contrast if parts.settings.embed_form == "infonce" else Margin
    return kind(View(first), View(second), parts)


class Margin(TermLoss):
    """Eq. 8: ‖x₁ − x₂‖ + max(0, α − ‖x₁ − x_n‖), x_n the second modality of another video of the batch."""

    def __init__(self, first: View, second: View, parts: Parts) -> None:
        super().__init__([first, second])
        self.first, self.second = first, second
        self.form, self.margin = parts.settings.distance, parts.settings.margin

    def forward(self, encoded: Mapping[View, Encoding], batch: ClipBatch) -> Tensor:
        first_BD, second_BD = encoded[self.first].vector_BD, encoded[self.second].vector_BD
        valid_B = self.valid(batch)
        index_B, found_B = other_video(batch.video_B, valid_B)
        near_B = distance(first_BD, second_BD, self.form)
        far_B = distance(first_BD, second_BD[index_B], self.form)
        return masked_mean(near_B + (self.margin - far_B).clamp_min(0), valid_B & found_B)


class Contrast(TermLoss):
    """InfoNCE over the batch, both directions: the negatives are the clips of all other videos."""

    def __init__(self, first: View, second: View, parts: Parts) -> None:
        super().__init__([first, second])
        self.first, self.second, self.temperature = first, second, parts.settings.temperature

    def forward(self, encoded: Mapping[View, Encoding], batch: ClipBatch) -> Tensor:
        first_BD = functional.normalize(encoded[self.first].vector_BD, dim=1)
        second_BD = functional.normalize(encoded[self.second].vector_BD, dim=1)
        valid_B = self.valid(batch)
        with torch.autocast(first_BD.device.type, enabled=False):  # bfloat16 would round logits of 10 to steps of 0.06
            logits_BB = first_BD @ second_BD.T / self.temperature
        same_BB = torch.eye(len(valid_B), dtype=torch.bool, device=valid_B.device)
        usable_BB = valid_B[None, :] & (batch.video_B[:, None] != batch.video_B[None, :]) | same_BB
        _, found_B = other_video(batch.video_B, valid_B)
        target_B = torch.arange(len(valid_B), device=valid_B.device)
        losses = [
            functional.cross_entropy(logits.masked_fill(~usable_BB, float("-inf")), target_B, reduction="none")
            for logits in (logits_BB, logits_BB.T)
        ]
        return masked_mean((losses[0] + losses[1]) / 2, valid_B & found_B)


def other_video(video_B: Tensor, valid_B: Tensor) -> tuple[Tensor, Tensor]:
    """For each clip, pick the next valid clip in the batch (cyclic) that comes from another video.

    Returns:
        (index_B, found_B): which clip, and whether there is one.
    """
    size = len(video_B)
    positions = torch.arange(size, device=video_B.device)
    candidates_BB = (video_B[:, None] != video_B[None, :]) & valid_B[None, :]
    # Distance forward from clip i to clip j; what is no candidate is pushed behind all others.
    ahead_BB = (positions[None, :] - positions[:, None]) % size + (~candidates_BB) * size
    return ahead_BB.argmin(1), candidates_BB.any(1)
