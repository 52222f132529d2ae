"""Batch norm over ranks, beside PyTorch's own where there is one rank; several ranks are in tests/engine/test_ranks.py."""

import copy

import pytest
import torch
from torch import Tensor, nn

from elo_cli.nets import norms
from tests.support.ranks import together

SHAPES = [(6, 5, 3, 4, 4), (4, 7, 6, 5), (2, 3, 1, 1, 1)]


def pair(shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    """A norm of PyTorch with weights of its own, and ours."""
    torch.manual_seed(0)
    plain = nn.BatchNorm3d(shape[1]) if len(shape) == 5 else nn.BatchNorm2d(shape[1])
    with torch.no_grad():
        plain.weight.uniform_(0.5, 2)
        plain.bias.normal_()
    ours = copy.deepcopy(plain)
    ours.__class__ = norms._SHARED[type(plain)]
    return plain, ours


def run(norm: nn.Module, given: Tensor, pull: Tensor) -> list[Tensor]:
    """Everything that comes of a forward and backward pass."""
    given = given.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    output = norm(given)
    output.backward(pull)
    parameters = [parameter.grad for parameter in norm.parameters()]
    found = [output.detach(), given.grad, *parameters, *(buffer.clone() for buffer in norm.buffers())]
    assert all(each is not None for each in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_alone_it_is_that_of_pytorch(shape: tuple[int, ...], last: bool, offset: float) -> None:
    plain, ours = pair(shape)
    given, pull = torch.randn(shape) * 2 + offset, torch.randn(shape)
    if last:
        layout = torch.channels_last_3d if len(shape) == 5 else torch.channels_last
        given, pull = given.contiguous(memory_format=layout), pull.contiguous(memory_format=layout)
    for _ in range(2):
        for one, other in zip(run(plain, given, pull), run(ours, given, pull), strict=True):
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5 if not offset else 2e-3)
    plain.eval(), ours.eval()
    torch.testing.assert_close(ours(given), plain(given), rtol=1e-4, atol=1e-5 if not offset else 2e-3)


@pytest.mark.parametrize("shape", SHAPES[:2])
def test_bfloat16_is_as_near_to_the_exact_gradient_as_that_of_pytorch(shape: tuple[int, ...]) -> None:
    plain, ours = pair(shape)
    given, pull = torch.randn(shape) * 2 + 1, torch.randn(shape)
    exact = run(copy.deepcopy(plain), given.bfloat16().float(), pull.bfloat16().float())
    for one, other, true in zip(
        run(plain, given.bfloat16(), pull.bfloat16()), run(ours, given.bfloat16(), pull.bfloat16()), exact, strict=True
    ):
        error, usual = ((each.float() - true.float()).abs().mean() for each in (other, one))
        assert error <= 1.5 * usual + 1e-5 * true.abs().max()


def unequal(counts: list[int]) -> list[Tensor]:
    """One rank's part of a batch of unequal parts."""
    from elo_cli import dist

    given, pull = batch(sum(counts))
    first = sum(counts[: dist.rank()])
    rows = slice(first, first + counts[dist.rank()])
    return run(pair(SHAPES[0])[1], given[rows], pull[rows])


def batch(clips: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    shape = (clips, *SHAPES[0][1:])
    return torch.randn(shape, generator=random) + 3, torch.randn(shape, generator=random)


def test_ranks_may_have_few_clips_or_none() -> None:
    counts = [3, 0, 1]
    given, pull = batch(4)
    output, gradient, *rest = run(pair(SHAPES[0])[0], given, pull)
    each = together(3, unequal, counts)
    torch.testing.assert_close(torch.cat([found[0] for found in each]), output, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.cat([found[1] for found in each]), gradient, rtol=1e-4, atol=1e-5)
    for place in range(2):  # of the weight and the bias: each rank has its own summand
        torch.testing.assert_close(sum(found[2 + place] for found in each), rest[place], rtol=1e-4, atol=1e-4)
    for found in each:
        for one, other in zip(found[4:], rest[2:], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
