"""The head on regions: values worked out by hand, no boxes at all, and gradients."""

import math

import pytest
import torch
from torch.nn import functional

from elo_cli.nets.regions import RegionHead, region_loss


def transparent(channels: int, size: int = 7) -> RegionHead:
    """A head whose logits are the pooled values themselves."""
    head = RegionHead(channels, channels, dropout=0.5, size=size).eval()
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(channels))
    return head


def ramp(batch: int = 1, times: int = 3) -> torch.Tensor:
    """A map (B, 2, T, 8, 8): the first channel is the column, the second the row; their mean over time."""
    row, column = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    swing = torch.linspace(-1, 1, times)[:, None, None]
    return torch.stack([column + swing, row - swing])[None].repeat(batch, 1, 1, 1, 1)


def test_a_region_is_aligned_with_the_map_and_its_largest_value_taken() -> None:
    # The box is columns 2 to 4 and rows 1 to 5 of 8, so from 1.5 to 3.5 and 0.5 to 4.5 in the places of values (half a cell is
    # taken off). Of 7 bins the last ends there, and its only sample lies in its middle: 3.5 - 2/14, 4.5 - 4/14.
    box = torch.tensor([[0.0, 2 / 8, 1 / 8, 4 / 8, 5 / 8]])
    torch.testing.assert_close(transparent(2)(ramp(), box), torch.tensor([[3.5 - 2 / 14, 4.5 - 4 / 14]]))
    # In one bin the samples are averaged: two in 2 columns, four in 4 rows, and the middle is their mean.
    torch.testing.assert_close(transparent(2, size=1)(ramp(), box), torch.tensor([[2.5, 2.5]]))


def test_pictures_need_not_be_square() -> None:
    wide = torch.arange(16.0)[None, None, None, None].repeat(1, 1, 2, 4, 1)
    box = torch.tensor([[0.0, 0.25, 0.25, 0.75, 0.75]])  # columns 4 to 12, so 3.5 to 11.5
    torch.testing.assert_close(transparent(1, size=1)(wide, box), torch.tensor([[7.5]]))


def test_boxes_of_several_clips_come_as_one_tensor_or_as_a_list() -> None:
    random = torch.Generator().manual_seed(0)
    stage = torch.randn(3, 5, 4, 6, 6, generator=random)
    boxes = [torch.rand(count, 4, generator=random).sort(1).values[:, [0, 1, 2, 3]] for count in (2, 0, 3)]
    head = RegionHead(5, 4).eval()
    listed = head(stage, boxes)
    numbered = torch.cat([torch.cat([torch.full((len(each), 1), float(clip)), each], 1) for clip, each in enumerate(boxes)])
    assert listed.shape == (5, 4)
    torch.testing.assert_close(head(stage, numbered), listed)
    torch.testing.assert_close(head(stage[2:], boxes[2:]), listed[2:])
    torch.testing.assert_close(head(stage, numbered.flip(0)), listed.flip(0))
    assert not torch.allclose(head(stage.flip(0), numbered), listed)


def test_loss_is_the_mean_cross_entropy_over_boxes_and_classes() -> None:
    logits, target = torch.tensor([[0.0, math.log(3)], [-math.log(3), 0.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    # Probabilities 1/2, 3/4; 1/4, 1/2 of what is there: -log of their product over 4.
    assert region_loss(logits, target).item() == pytest.approx(-math.log(1 / 2 * 3 / 4 * 1 / 4 * 1 / 2) / 4)
    random = torch.Generator().manual_seed(1)
    logits, target = torch.randn(9, 6, generator=random), (torch.rand(9, 6, generator=random) > 0.7).float()
    torch.testing.assert_close(region_loss(logits, target), functional.binary_cross_entropy_with_logits(logits, target))


@pytest.mark.parametrize("empty", [torch.empty(0, 5), [torch.empty(0, 4), torch.empty(0, 4)], [torch.empty(0), torch.empty(0)]])
def test_without_any_box_the_loss_is_zero_and_has_a_gradient_of_zero(empty: torch.Tensor | list[torch.Tensor]) -> None:
    head, stage = RegionHead(3, 4).train(), torch.randn(2, 3, 2, 5, 5, requires_grad=True)
    logits = head(stage, empty)
    assert logits.shape == (0, 4)
    loss = region_loss(logits, torch.empty(0, 4))
    assert loss.item() == 0
    loss.backward()
    for tensor in (stage, head.linear.weight, head.linear.bias):
        assert tensor.grad is not None and not tensor.grad.any()


def test_gradients_reach_the_map_inside_the_boxes_alone() -> None:
    stage = torch.randn(1, 3, 2, 8, 8, requires_grad=True)
    head = RegionHead(3, 4, dropout=0.0)
    region_loss(head(stage, [torch.tensor([[0.0, 0.0, 0.25, 0.25]])]), torch.ones(1, 4)).backward()
    assert stage.grad is not None
    assert stage.grad[..., :3, :3].any() and not stage.grad[..., 3:, :].any() and not stage.grad[..., 3:].any()


def test_a_head_learns_to_tell_persons_of_one_picture_apart() -> None:
    """Two persons in each clip, one bright and one dark, each with an action of its own."""
    random = torch.Generator().manual_seed(2)
    stage = torch.randn(16, 4, 2, 8, 8, generator=random) * 0.1
    stage[:, 0, :, :, :4] += 1
    stage[:, 1, :, :, 4:] += 1
    boxes = [torch.tensor([[0.05, 0.1, 0.45, 0.9], [0.55, 0.1, 0.95, 0.9]])] * 16
    target = torch.eye(2).repeat(16, 1)
    torch.manual_seed(3)
    head = RegionHead(4, 2)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        region_loss(head(stage, boxes), target).backward()
        optimiser.step()
    probability = head.eval()(stage, boxes).sigmoid()
    assert torch.equal(probability > 0.5, target > 0.5)


def test_half_precision_around_it_changes_nothing() -> None:
    stage, boxes = torch.randn(2, 4, 2, 7, 7), torch.tensor([[0.0, 0.11, 0.13, 0.57, 0.93], [1.0, 0.0, 0.0, 1.0, 1.0]])
    head = RegionHead(4, 3).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = head(stage, boxes)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, head(stage, boxes))
