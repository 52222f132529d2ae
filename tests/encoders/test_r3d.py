"""The 3D ResNet: torchvision's network at full width."""

import torch
from torchvision.models.video import r3d_18

from elo_cli.encoders.r3d import Encoder
from tests.support.foreign import unsettle


def test_it_is_torchvisions_network_at_full_width() -> None:
    published = unsettle(r3d_18())
    state = {name: value for name, value in published.state_dict().items() if not name.startswith("fc.")}
    encoder = Encoder(3, 18, 64).eval()
    assert {name: value.shape for name, value in encoder.state_dict().items()} == {
        name: value.shape for name, value in state.items()
    }
    assert list(encoder.state_dict()) == list(state)
    encoder.load_state_dict(state)
    published.fc = torch.nn.Identity()
    clip = torch.randn(2, 3, 4, 24, 24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        encoding = encoder(clip)
        torch.testing.assert_close(encoding.vector_BD, published(clip), rtol=1e-5, atol=1e-5)
    assert encoding.vector_BD.shape == (2, 512)
