"""Tell to which cluster of representations a clip's video belongs (DeepCluster: Caron et al. 2018).

The pseudo-labels come from k-means on a moving mean of each video's representation, as in online
deep clustering (Zhan et al. 2020), so they cost no pass over the set. When they change, the
classifier starts anew, and clusters count alike however many videos they have: both as DeepCluster does.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from elo_cli.core.clip import ClipBatch, View, modality_names
from elo_cli.core.seeds import derive
from elo_cli.core.weights import Term
from elo_cli.nets.bank import Bank
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.distances import masked_mean
from elo_cli.nets.term import Parts, TermLoss


def terms(modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Offer one term for each modality."""
    return [Term("cluster", (name,)) for name in modalities]


def build(term: Term, parts: Parts) -> TermLoss:
    """Build the classifier and the bank of pseudo-labels."""
    (name,) = modality_names(term)
    return Clustering(View(name), parts)


class Clustering(TermLoss):
    """Cross-entropy of one linear layer on x_m against the cluster of the clip's video.

    A clip whose video has no cluster yet is masked; in a batch alone it contributes 0.
    """

    def __init__(self, view: View, parts: Parts) -> None:
        super().__init__([view])
        self.view = view
        form, dimension = parts.settings.cluster, parts.dimension(view.modality)
        self.bank = Bank(parts.videos, parts.drawn, dimension, form.number, 1, form.every, form.momentum, parts.seed)
        self.head = nn.Linear(dimension, form.number)

    def forward(self, encoded: Mapping[View, Encoding], batch: ClipBatch) -> Tensor:
        vector_BD, valid_B = encoded[self.view].vector_BD, self.valid(batch)
        if self.training and self.bank.update(batch.video_B, vector_BD.detach(), valid_B, batch.size):
            self._forget()
        labels_N = self.bank.labels_HN[0]
        label_B = labels_N[batch.video_B]
        valid_B = valid_B & (label_B >= 0)
        counts_K = torch.bincount(labels_N[labels_N >= 0], minlength=len(self.head.bias))
        there_K = counts_K > 0
        absent_K = ~there_K & there_K.any()  # none is, before the first clustering
        logits_BK = self.head(vector_BD).float().masked_fill(absent_K, float("-inf"))
        loss_B = functional.cross_entropy(logits_BK, label_B.clamp_min(0), reduction="none")
        # The mean of these weights over the videos of the bank is 1.
        weight_K = counts_K.sum() / (counts_K.clamp_min(1) * there_K.sum().clamp_min(1))
        return masked_mean(weight_K[label_B.clamp_min(0)] * loss_B, valid_B)

    @torch.no_grad()
    def _forget(self) -> None:
        """Start the classifier anew: clusters have other numbers now."""
        random = torch.Generator().manual_seed(derive(self.bank.seed, "head", int(self.bank.rounds)))
        self.head.weight.copy_(0.01 * torch.randn(self.head.weight.shape, generator=random))
        self.head.bias.zero_()
