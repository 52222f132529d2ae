"""What every encoder of clips does at any depth, width and number of channels; the entries are those of the shelf."""

import pytest
import torch
from torch import nn
from torchvision.models import video

from elo_cli.core.train_settings import EncoderSettings
from elo_cli.encoders import SHELF
from elo_cli.engine.objective import stage_shapes
from elo_cli.engine.precision import Precision
from elo_cli.nets.recompute import recompute
from tests.support.foreign import unsettle
from tests.support.shards import BF16, PLAIN

NAMES = [name for name in SHELF.names() if name != "audio-resnet"]
FORMS = [(3, 10, 4), (2, 18, 4), (1, 34, 4), (2, 50, 4), (3, 10, 7)]


def build(name: str, channels: int, depth: int, width: int) -> nn.Module:
    torch.manual_seed(0)
    encoder: nn.Module = SHELF.take(name).Encoder(channels, depth, width)
    return encoder


def test_they_are_all_here() -> None:
    assert {"r2plus1d", "r3d", "mc3", "inflated-resnet"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "depth", "width"), FORMS)
@pytest.mark.parametrize("shape", [(4, 16, 16), (2, 17, 19), (9, 16, 33)])
def test_they_run_and_learn(name: str, channels: int, depth: int, width: int, shape: tuple[int, int, int]) -> None:
    encoder = build(name, channels, depth, width)
    encoding = encoder(torch.randn(2, channels, *shape))
    assert [stage.shape[1] for stage in encoding.stages] == [width * 2**number * (4 if depth == 50 else 1) for number in range(4)]
    frames = [stage.shape[2] for stage in encoding.stages]
    assert frames[0] == shape[0] and frames == sorted(frames, reverse=True)
    torch.testing.assert_close(encoding.vector_BD, encoding.stages[3].mean((2, 3, 4)))
    encoding.vector_BD.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())
    assert not any(key.startswith("fc.") for key in encoder.state_dict())


@pytest.mark.parametrize("name", ["r2plus1d", "r3d", "mc3"])
def test_they_are_torchvisions_networks_at_full_width(name: str) -> None:
    published = unsettle(getattr(video, f"{name}_18")())
    state = {key: value for key, value in published.state_dict().items() if not key.startswith("fc.")}
    encoder = build(name, 3, 18, 64).eval()
    assert {key: value.shape for key, value in encoder.state_dict().items()} == {key: value.shape for key, value in state.items()}
    assert list(encoder.state_dict()) == list(state)
    encoder.load_state_dict(state)
    published.fc = nn.Identity()
    clip = torch.randn(2, 3, 4, 24, 24, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        encoding = encoder(clip)
        torch.testing.assert_close(encoding.vector_BD, published(clip), rtol=1e-5, atol=1e-5)
    assert encoding.vector_BD.shape == (2, 512)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_are_found_without_memory(name: str) -> None:
    settings = EncoderSettings(architecture=name, depth=10, width=4)  # type: ignore[call-arg]
    found = build(name, 3, 10, 4).eval()(torch.randn(1, 3, 5, 17, 20)).stages
    assert stage_shapes("rgb", settings, (3, 5, 17, 20)) == tuple(tuple(stage.shape[1:]) for stage in found)


@pytest.mark.parametrize("name", NAMES)
def test_processors_guard_every_convolution_in_bf16(name: str) -> None:
    for depth in (10, 50):
        placed = BF16.place(build(name, 3, depth, 4))
        convolutions = [part for part in placed.modules() if isinstance(part, nn.Conv3d)]
        assert convolutions and all(type(part).__name__ == "_SafeConv3d" for part in convolutions)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frames", [2, 4])
def test_in_bf16_they_stay_close_to_float32(name: str, frames: int) -> None:
    encoder, clip = build(name, 3, 10, 8), torch.randn(4, 3, frames, 24, 24)

    def vectors(precision: Precision) -> list[torch.Tensor]:
        placed, found = precision.place(encoder), []
        for _ in range(2):
            placed.zero_grad(set_to_none=True)
            with precision.autocast():
                vector = placed(precision.send(clip)).vector_BD
            (vector * torch.linspace(-1, 1, vector.numel()).view_as(vector)).sum().backward()
            found.append(torch.cat([p.grad.flatten() for p in placed.parameters() if p.grad is not None]))
        assert torch.equal(*found)
        assert vector.dtype == torch.float32
        return [vector.detach(), found[0]]

    (exact, slope), (rounded, rounded_slope) = vectors(PLAIN), vectors(BF16)
    assert (rounded - exact).norm() / exact.norm() < 0.05
    assert torch.nn.functional.cosine_similarity(rounded_slope, slope, dim=0) > 0.75


@pytest.mark.parametrize("name", NAMES)
def test_what_is_computed_again_is_the_same(name: str) -> None:
    clip = torch.randn(2, 3, 4, 16, 16)

    def gradients(again: bool) -> list[torch.Tensor]:
        encoder = build(name, 3, 18, 4)
        if again:
            recompute(encoder, "rgb")
        encoder(clip).vector_BD.square().sum().backward()
        return [p.grad for p in encoder.parameters() if p.grad is not None]

    plain, again = gradients(False), gradients(True)
    assert len(plain) == len(again) and all(map(torch.equal, plain, again))
