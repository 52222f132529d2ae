"""Bring modalities of one video together and those of different videos apart (Eq. 8).

The other videos are those of the whole batch, on whichever rank they are.

Shape legend: B clips of this rank, A clips of all ranks, D features.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional

from elo_cli import dist
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
        found = other_video(dist.everyone(batch.video_B), dist.everyone(valid_B))
        index_B, found_B = (dist.own(each_A, len(valid_B)) for each_A in found)
        near_B = distance(first_BD, second_BD, self.form)
        far_B = distance(first_BD, dist.everyone(second_BD)[index_B], self.form)
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
        video_A, valid_A = dist.everyone(batch.video_B), dist.everyone(valid_B)
        target_B = dist.own(torch.arange(len(valid_A), device=valid_B.device), len(valid_B))
        same_BA = functional.one_hot(target_B, len(valid_A)).bool()
        usable_BA = valid_A[None, :] & (batch.video_B[:, None] != video_A[None, :]) | same_BA
        found_B = dist.own(other_video(video_A, valid_A)[1], len(valid_B))
        with torch.autocast(first_BD.device.type, enabled=False):  # bfloat16 would round logits of 10 to steps of 0.06
            there_BA = first_BD @ dist.everyone(second_BD).T / self.temperature
            back_BA = second_BD @ dist.everyone(first_BD).T / self.temperature
        losses = [
            functional.cross_entropy(logits_BA.masked_fill(~usable_BA, float("-inf")), target_B, reduction="none")
            for logits_BA in (there_BA, back_BA)
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
