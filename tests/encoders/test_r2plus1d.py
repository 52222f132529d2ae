"""The (2+1)D ResNet: torchvision's network at full width, and any other depth, width and channels."""

import pytest
import torch
from torchvision.models.video import r2plus1d_18

from elo_cli.encoders.r2plus1d import Encoder


def test_it_is_torchvisions_network_at_full_width() -> None:
    torch.manual_seed(0)
    published = r2plus1d_18().eval()
    with torch.no_grad():
        for layer in published.modules():
            if isinstance(layer, torch.nn.BatchNorm3d):
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 2)
    state = {name: value for name, value in published.state_dict().items() if not name.startswith("fc.")}
    encoder = Encoder(3, 18, 64).eval()
    assert {name: value.shape for name, value in encoder.state_dict().items()} == {
        name: value.shape for name, value in state.items()
    }
    assert list(encoder.state_dict()) == list(state)
    encoder.load_state_dict(state)
    published.fc = torch.nn.Identity()
    clip = torch.randn(2, 3, 4, 24, 24)
    with torch.no_grad():
        encoding = encoder(clip)
        torch.testing.assert_close(encoding.vector_BD, published(clip), rtol=1e-4, atol=1e-5)
    assert encoding.vector_BD.shape == (2, 512)


@pytest.mark.parametrize(("channels", "depth", "width"), [(3, 10, 4), (2, 18, 4), (1, 34, 4), (2, 50, 4), (3, 10, 7)])
@pytest.mark.parametrize("shape", [(4, 16, 16), (2, 17, 19), (9, 16, 33)])
def test_other_forms_run(channels: int, depth: int, width: int, shape: tuple[int, int, int]) -> None:
    encoder = Encoder(channels, depth, width)
    encoding = encoder(torch.randn(2, channels, *shape))
    assert [stage.shape[1] for stage in encoding.stages] == [width * 2**number * (4 if depth == 50 else 1) for number in range(4)]
    frames = [stage.shape[2] for stage in encoding.stages]
    assert frames[0] == shape[0] and frames == sorted(frames, reverse=True)
    torch.testing.assert_close(encoding.vector_BD, encoding.stages[3].mean((2, 3, 4)))
    encoding.vector_BD.square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_the_layers_add_up() -> None:
    for depth, convolutions in ((10, 1 + 8), (18, 1 + 16), (34, 1 + 32)):
        layers = [
            name for name, _ in Encoder(3, depth, 4).named_parameters() if name.endswith("weight") and "downsample" not in name
        ]
        # Of each (2+1)D convolution two are stored with a norm between and one after.
        assert len(layers) == convolutions * 4
