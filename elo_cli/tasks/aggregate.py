"""Draw a clip towards its close neighbours among its near ones (local aggregation: Zhuang et al. 2019).

The background neighbours B of a clip are the videos whose vectors in the bank are nearest to its own;
the close ones C are those that share its cluster in any of several runs of k-means. With
P(A) = Σ_{j∈A} exp(v_j·v/τ) the loss is −log P(C ∩ B) / P(B).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from elo_cli.core.clip import ClipBatch, View, modality_names
from elo_cli.core.weights import Term
from elo_cli.nets.bank import Bank
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.distances import masked_mean
from elo_cli.nets.term import Parts, TermLoss

DIMENSION = 128  # of the embedding, as in the paper


def terms(modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Offer one term for each modality."""
    return [Term("aggregate", (name,)) for name in modalities]


def build(term: Term, parts: Parts) -> TermLoss:
    """Build the embedding and its bank."""
    (name,) = modality_names(term)
    return Aggregation(View(name), parts)


class Aggregation(TermLoss):
    """Local aggregation in an embedding of x_m by one linear layer.

    A clip whose video has no cluster yet is masked; in a batch alone it contributes 0.
    """

    def __init__(self, view: View, parts: Parts) -> None:
        super().__init__([view])
        form = parts.settings.aggregate
        self.view, self.neighbours, self.temperature = view, form.neighbours, form.temperature
        self.bank = Bank(
            parts.videos, parts.drawn, DIMENSION, form.number, form.clusterings, form.every, form.momentum, parts.seed
        )
        self.embedding = nn.Linear(parts.dimension(view.modality), DIMENSION)

    def forward(self, encoded: Mapping[View, Encoding], batch: ClipBatch) -> Tensor:
        with torch.autocast(batch.video_B.device.type, enabled=False):  # bfloat16 would round logits of 10 to steps of 0.06
            vector_BD = functional.normalize(self.embedding(encoded[self.view].vector_BD.float()), dim=1)
            known_ND = self.bank.vectors_ND.clone() if self.training else self.bank.vectors_ND  # it is written to below
            logits_BN = vector_BD @ known_ND.T / self.temperature
        near_BN = self._near(logits_BN.detach())
        label_HB = self.bank.labels_HN[:, batch.video_B]
        close_BN = (self.bank.labels_HN[:, None, :] == label_HB[:, :, None]).any(0) & near_BN
        # A clip's own video is a neighbour of both kinds, which also keeps a row finite that is masked.
        for chosen_BN in (near_BN, close_BN):
            chosen_BN.scatter_(1, batch.video_B[:, None], value=True)
        apart_B = _log_sum(logits_BN, near_BN) - _log_sum(logits_BN, close_BN)
        valid_B = self.valid(batch)
        clustered_B = label_HB[0] >= 0
        if self.training:  # last: a clip is compared with what was known before it came
            self.bank.update(batch.video_B, vector_BD.detach(), valid_B, batch.size)
        return masked_mean(apart_B, valid_B & clustered_B)

    def _near(self, logits_BN: Tensor) -> Tensor:
        """The background neighbours: the nearest videos seen."""
        logits_BN = logits_BN.masked_fill(~self.bank.seen_N, float("-inf"))
        nearest = logits_BN.topk(min(self.neighbours, logits_BN.shape[1]), dim=1).indices
        near_BN = torch.zeros_like(logits_BN, dtype=torch.bool).scatter_(1, nearest, value=True)
        return near_BN & self.bank.seen_N


def _log_sum(logits_BN: Tensor, chosen_BN: Tensor) -> Tensor:
    return logits_BN.masked_fill(~chosen_BN, float("-inf")).logsumexp(1)
