"""A head that tells what the person in each box does, from an encoder's feature map (SlowFast's head; Feichtenhofer et al. 2019).

Shape legend: B clips, C channels, T', H', W' the last stage's times, rows and columns, K boxes, L classes, S bins a side.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import roi_align

from elo_cli.nets.distances import masked_mean

SIZE = 7  # bins a side that a region is parted into, as in SlowFast


class RegionHead(nn.Module):
    """Map the last stage of an encoder and boxes to a logit for each class of each box.

    The map is averaged over time, aligned with the boxes (RoIAlign, He et al. 2017), and the largest value of each channel in
    a region goes through one linear layer.

    Args:
        channels: of the last stage, C.
        classes: L; a box may have any number of them.
        dropout: the share of values that training sets to zero before the linear layer, in [0, 1).
        size: bins a side of a region, S.
    """

    def __init__(self, channels: int, classes: int, dropout: float = 0.5, size: int = SIZE) -> None:
        super().__init__()
        self.size = size
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, classes)
        nn.init.normal_(self.linear.weight, std=0.01)  # as SlowFast: all probabilities begin near 1/2
        nn.init.zeros_(self.linear.bias)

    def forward(self, stage_BCTHW: Tensor, regions: Tensor | Sequence[Tensor]) -> Tensor:
        """Return the logits, (K, L) float32; their sigmoids are the probabilities.

        Args:
            stage_BCTHW: the last stage's map (B, C, T', H', W').
            regions: boxes x1, y1, x2, y2 in shares of the clip's picture, in [0, 1]: (K, 5) with the number of the clip
                first, or for each clip a tensor (K_b, 4). There may be none.
        """
        map_BCHW = stage_BCTHW.float().mean(2)
        region_K5 = _indexed(regions, map_BCHW)
        rows, columns = map_BCHW.shape[2:]
        region_K5 = region_K5 * region_K5.new_tensor([1, columns, rows, columns, rows])
        # In half precision boxes would move by parts of a bin, so this stays in float32 under autocast too.
        with torch.autocast(map_BCHW.device.type, enabled=False):
            pooled_KCSS = roi_align(map_BCHW, region_K5, self.size, aligned=True)
            pooled_KC = pooled_KCSS.flatten(2).max(2).values
            logit_KL: Tensor = self.linear(self.dropout(pooled_KC))
        return logit_KL


def region_loss(logit_KL: Tensor, target_KL: Tensor) -> Tensor:
    """Return the binary cross-entropy, the mean over boxes and classes, in float32.

    Of no boxes at all it is 0, with a zero gradient. Where several processes train together it is as in `masked_mean`: the mean
    of what they return is that over the boxes of all; so each calls it, also without a box.

    Args:
        logit_KL: of `RegionHead`.
        target_KL: 1 for the classes that a box has, and 0.
    """
    loss_KL = functional.binary_cross_entropy_with_logits(logit_KL.float(), target_KL.float(), reduction="none")
    loss_K = loss_KL.mean(1)
    return masked_mean(loss_K, torch.ones_like(loss_K, dtype=torch.bool))


def _indexed(regions: Tensor | Sequence[Tensor], map_BCHW: Tensor) -> Tensor:
    """Return boxes as (K, 5), in float32 on the map's device, the number of the clip first."""
    if isinstance(regions, Tensor):
        assert regions.ndim == 2 and regions.shape[1] == 5, regions.shape
        return regions.to(map_BCHW)
    assert len(regions) == len(map_BCHW), (len(regions), len(map_BCHW))
    number_K1 = torch.cat([torch.full((len(boxes), 1), float(clip)) for clip, boxes in enumerate(regions)])
    return torch.cat([number_K1.to(map_BCHW), torch.cat([boxes.reshape(-1, 4).to(map_BCHW) for boxes in regions])], 1)
