"""The decoder: six convolutions, none over time, and any target from any features."""

import pytest
import torch
from torch import nn

from elo_cli.nets.decoders import Decoder

CLIPS = ((3, 4, 16, 16), (1, 2, 17, 17), (2, 5, 24, 24))
SOUND = ((1, 8, 9), (1, 80, 33), (1, 8, 1))


@pytest.mark.parametrize("features", [(8, 1, 1, 1), (8, 2, 3, 3), (8, 1, 2)])
@pytest.mark.parametrize("target", CLIPS + SOUND)
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last_3d])
def test_it_decodes_every_target_with_six_flat_convolutions(
    features: tuple[int, ...], target: tuple[int, ...], form: torch.memory_format
) -> None:
    decoder = Decoder(features, target)
    convolutions = [layer for layer in decoder.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)]
    assert [type(layer) for layer in convolutions] == [nn.Conv2d] * 6
    assert sum(parameter.numel() for layer in convolutions for parameter in layer.parameters()) == sum(
        parameter.numel() for parameter in decoder.parameters()
    )
    given = torch.randn(2, *features, requires_grad=True)
    laid_out = given.contiguous(memory_format=form) if given.dim() == 5 else given
    decoded = decoder(laid_out)
    assert decoded.shape == (2, *target)
    decoded.square().sum().backward()
    assert given.grad is not None and torch.isfinite(given.grad).all() and given.grad.any()
    assert all(parameter.grad is not None for parameter in decoder.parameters())


def test_pictures_decode_where_they_lie() -> None:
    decoder = Decoder((4, 1, 4, 4), (3, 2, 64, 64))
    features = torch.zeros(1, 4, 1, 4, 4)
    nothing = decoder(features)
    features[..., 0, 0] = 5
    changed = (decoder(features) - nothing).abs().sum((0, 1, 2)) > 0
    assert changed[:16, :16].any() and not changed[48:, 48:].any()


def test_clips_do_not_see_each_other() -> None:
    decoder = Decoder((4, 1, 1, 1), (1, 8, 9))
    features = torch.randn(3, 4, 1, 1, 1)
    torch.testing.assert_close(decoder(features)[1:2], decoder(features[1:2]))


def test_it_starts_near_zero_and_no_unit_dies() -> None:
    torch.manual_seed(0)
    decoder, features, target = Decoder((8, 1, 2, 2), (2, 5, 24, 24)), torch.randn(16, 8, 1, 2, 2), torch.randn(16, 2, 5, 24, 24)
    assert decoder(features).abs().max() < 0.3
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=0.02)
    for _ in range(60):  # towards a target of which nothing can be foretold, and then towards one that can
        optimizer.zero_grad()
        (decoder(torch.randn(16, 8, 1, 2, 2)) - 3 * target).square().mean().backward()
        optimizer.step()
    loss = (decoder(features) - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    for convolution in decoder.convolutions:
        assert convolution.weight.grad.flatten(1).any(1).all()  # type: ignore[union-attr, operator]
