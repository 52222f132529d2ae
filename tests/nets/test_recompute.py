"""Activations that are computed again: less memory, the same numbers, and running statistics that move once."""

import copy

import pytest
import torch
from torch import Tensor, nn

from elo_cli.core.errors import UsageError
from elo_cli.encoders.audio_resnet import Encoder as SoundEncoder
from elo_cli.encoders.r2plus1d import Encoder
from elo_cli.nets.recompute import recompute

CASES = [(Encoder(3, 50, 4), (4, 3, 4, 16, 16)), (Encoder(2, 10, 8), (4, 2, 4, 16, 16)), (SoundEncoder(1, 18, 4), (4, 1, 16, 30))]


def run(encoder: nn.Module, given: Tensor) -> tuple[Tensor, list[Tensor | None], dict[str, Tensor], int]:
    """Forward and backward; also how many numbers were kept in between."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        vector_BD = encoder(given).vector_BD
    number = sum(kept.values())
    vector_BD.square().sum().backward()
    return vector_BD, [parameter.grad for parameter in encoder.parameters()], dict(encoder.named_buffers()), number


@pytest.mark.parametrize(("encoder", "shape"), CASES, ids=["depth 50", "depth 10", "sound"])
def test_it_is_the_same_network_in_less_memory(encoder: nn.Module, shape: tuple[int, ...]) -> None:
    plain, again, given = copy.deepcopy(encoder), copy.deepcopy(encoder), torch.randn(shape)
    names = list(again.state_dict())
    recompute(again, "rgb")
    assert list(again.state_dict()) == names
    (vector, gradients, buffers, kept), (vector_2, gradients_2, buffers_2, kept_2) = run(plain, given), run(again, given)
    assert torch.equal(vector, vector_2) and kept_2 < kept / 2
    for one, other in zip(gradients, gradients_2, strict=True):
        assert one is not None and other is not None and torch.equal(one, other)
    assert all(torch.equal(value, buffers_2[name]) for name, value in buffers.items())
    with torch.no_grad():
        assert torch.equal(plain.eval()(given).vector_BD, again.eval()(given).vector_BD)


def test_a_copy_computes_with_its_own_weights() -> None:
    encoder = Encoder(3, 10, 4)
    recompute(encoder, "rgb")
    twin = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    assert twin(torch.randn(2, 3, 4, 16, 16)).vector_BD.abs().sum() > 0


def test_an_encoder_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="the encoder of flow has no stem"):
        recompute(nn.Sequential(nn.Linear(1, 1)), "flow")
