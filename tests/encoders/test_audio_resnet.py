"""The ResNet on spectrograms of any length."""

import pytest
import torch
from torchvision.models import resnet18

from elo_cli.encoders.audio_resnet import Encoder


@pytest.mark.parametrize(("depth", "width"), [(10, 4), (18, 5), (34, 4), (50, 4)])
@pytest.mark.parametrize("shape", [(8, 8), (80, 33), (8, 1)])
def test_it_runs(depth: int, width: int, shape: tuple[int, int]) -> None:
    encoder = Encoder(1, depth, width)
    encoding = encoder(torch.randn(3, 1, *shape))
    assert [stage.shape[1] for stage in encoding.stages] == [width * 2**number * (4 if depth == 50 else 1) for number in range(4)]
    torch.testing.assert_close(encoding.vector_BD, encoding.stages[3].mean((2, 3)))
    encoding.vector_BD.square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_at_full_width_its_stages_are_torchvisions() -> None:
    published = {name: value.shape for name, value in resnet18().state_dict().items() if name.startswith("layer")}
    ours = {name: value.shape for name, value in Encoder(1, 18, 64).state_dict().items() if name.startswith("layer")}
    assert ours == published
