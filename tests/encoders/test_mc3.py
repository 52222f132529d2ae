"""The ResNet of mixed convolutions: torchvision's network at full width."""

import torch
from torchvision.models.video import mc3_18

from elo_cli.encoders.mc3 import Encoder
from tests.support.foreign import unsettle


def test_it_is_torchvisions_network_at_full_width() -> None:
    published = unsettle(mc3_18())
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


def test_only_its_stem_and_first_stage_look_over_time() -> None:
    encoder = Encoder(3, 18, 4)
    spans = {name.split(".")[0] for name, value in encoder.named_parameters() if value.dim() == 5 and value.shape[2] > 1}
    assert spans == {"stem", "layer1"}
    assert [stage.shape[2] for stage in encoder(torch.randn(2, 3, 7, 16, 16)).stages] == [7, 7, 7, 7]
