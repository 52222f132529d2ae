"""Find the other clip of the same video among keys of earlier clips: MoDist's four terms (Xiao et al. 2021).

A query is the clip through its encoder and a projection head; a key is another clip of the same video, 0.5 to 10 s from it,
through momentum copies of both. The negatives are a queue of the keys of earlier steps.

    rgb.contrast              RGB queries, RGB keys: within the visual pathway
    motion.contrast           the same within the motion pathway, which sees the edges of the flow
    motion-to-rgb.contrast    RGB queries, motion keys: motion is distilled into the visual pathway
    rgb-to-motion.contrast    motion queries, RGB keys

As in distillation information goes from the first modality to the second: the gradient reaches the second alone. A modality
has one head and one momentum copy for all the terms that read it (`Objective`); each term has a queue of its own, of the
keys that it has seen.

Shape legend: B clips of this rank, K keys of the queue, D dimensions of queries and keys.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from elo_cli.core.clip import ClipBatch, View, modality_names
from elo_cli.core.weights import Term
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.distances import masked_mean
from elo_cli.nets.momentum import Queue
from elo_cli.nets.term import Parts, TermLoss

SEES_MOTION = True
_PATHWAYS = ("rgb", "motion")


def terms(modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Offer MoDist's terms where motion is among the modalities, for otherwise no search weighs them."""
    if "motion" not in modalities:
        return []
    pathways = [name for name in _PATHWAYS if name in modalities]
    crossed = [(key, query) for key in pathways for query in pathways if key != query]
    return [Term("contrast", (name,)) for name in pathways] + [Term("contrast", pair, directed=True) for pair in crossed]


def build(term: Term, parts: Parts) -> TermLoss:
    """Build the queue of negatives."""
    names = modality_names(term)
    return QueueContrast(View(names[-1], "query"), View(names[0], "key"), parts)


class QueueContrast(TermLoss):
    """InfoNCE: −log exp(q·k/τ) / (exp(q·k/τ) + Σ exp(q·n/τ)) over the keys n of other videos in the queue.

    Queries and keys are scaled to unit length. A clip without a negative is masked, as all are in the first step
    unless the keys of the same step are negatives too.
    """

    def __init__(self, query: View, key: View, parts: Parts) -> None:
        super().__init__([query, key])
        self.query, self.key = query, key
        form = parts.settings.contrast
        self.temperature, self.batch_negatives = form.temperature, form.batch_negatives
        self.queue = Queue(form.queue, form.dimension)

    def forward(self, encoded: Mapping[View, Encoding], batch: ClipBatch) -> Tensor:
        valid_B = self.valid(batch)
        query_BD = functional.normalize(encoded[self.query].vector_BD.float(), dim=1)
        key_BD = functional.normalize(encoded[self.key].vector_BD.detach().float(), dim=1)
        if self.training and self.batch_negatives:
            self.queue.push(key_BD, batch.video_B, valid_B)
        with torch.autocast(batch.video_B.device.type, enabled=False):  # bfloat16 would round logits of 10 to steps of 0.06
            near_B1 = (query_BD * key_BD).sum(1, keepdim=True)
            far_BK = query_BD @ self.queue.keys_KD.T.clone()  # the queue moves on before the gradient is taken
        video_K = self.queue.video_K
        usable_BK = (video_K >= 0)[None, :] & (batch.video_B[:, None] != video_K[None, :])
        logits = torch.cat([near_B1, far_BK.masked_fill(~usable_BK, float("-inf"))], 1) / self.temperature
        target_B = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        loss_B = functional.cross_entropy(logits, target_B, reduction="none")
        if self.training and not self.batch_negatives:
            self.queue.push(key_BD, batch.video_B, valid_B)
        return masked_mean(loss_B, valid_B & usable_BK.any(1))
