"""The inflated ResNet: torchvision's 2D network on clips whose frames are all equal."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import ResNet, resnet18, resnet34, resnet50
from torchvision.models.resnet import BasicBlock
from torchvision.transforms._presets import ImageClassification

from elo_cli.data.transforms import RGB_DEVIATION, RGB_MEAN
from elo_cli.encoders.inflated_resnet import IMAGENET_DEVIATION, IMAGENET_MEAN, Encoder, inflate
from tests.support.foreign import unsettle

DRAW = torch.Generator().manual_seed(1)


def normalised(pictures_BCHW: Tensor, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Tensor:
    return (pictures_BCHW - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(deviation).view(3, 1, 1)


def inflated(published: nn.Module, depth: int, width: int = 64) -> Encoder:
    encoder = Encoder(3, depth, width)
    flat = {name: value for name, value in published.state_dict().items() if not name.startswith("fc.")}
    encoder.load_state_dict(inflate(flat, {name: value.shape for name, value in encoder.state_dict().items()}))
    return encoder.eval()


@pytest.mark.parametrize(("make", "depth"), [(resnet18, 18), (resnet34, 34), (resnet50, 50)])
@pytest.mark.parametrize("frames", [2, 5])
def test_a_static_clip_has_the_features_of_the_picture(make: type, depth: int, frames: int) -> None:
    published = unsettle(make())
    encoder = inflated(published, depth)
    published.fc = nn.Identity()
    pictures = torch.rand(2, 3, 40, 48, generator=DRAW)
    with torch.no_grad():
        expected = published(normalised(pictures, IMAGENET_MEAN, IMAGENET_DEVIATION))
        clip = normalised(pictures, RGB_MEAN, RGB_DEVIATION).unsqueeze(2).expand(-1, -1, frames, -1, -1)
        encoding = encoder(clip)
        torch.testing.assert_close(encoding.vector_BD, expected, rtol=1e-5, atol=1e-5)
    # At the ends of the clip just as in its middle.
    assert (encoding.stages[3] - encoding.stages[3][:, :, :1]).abs().max() < 1e-5 * expected.abs().max()
    assert expected.std() > 0.05, "features that are all equal would agree too"


def test_moving_clips_are_seen_over_time() -> None:
    encoder = inflated(unsettle(resnet18()), 18)
    clip = torch.randn(1, 3, 6, 32, 32, generator=DRAW)
    with torch.no_grad():
        ordered, shuffled = encoder(clip).vector_BD, encoder(clip[:, :, [0, 3, 5, 2, 1, 4]]).vector_BD
        backward = encoder(clip.flip(2)).vector_BD
    assert (ordered - shuffled).abs().max() > 1e-2 * ordered.abs().max()
    # Equal parts over time know no direction, until something is trained.
    torch.testing.assert_close(ordered, backward, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("depth", "blocks"), [(10, 4), (18, 4), (34, 2 + 2 + 3 + 2), (50, 2 + 2 + 3 + 2)])
def test_every_second_block_spans_frames(depth: int, blocks: int) -> None:
    kernels = {name: tuple(p.shape[2:]) for name, p in Encoder(3, depth, 4).named_parameters() if p.dim() == 5}
    assert kernels.pop("stem.0.weight") == (5, 7, 7)
    spanning = [name for name, kernel in kernels.items() if kernel[0] > 1]
    assert len(spanning) == blocks and all(kernels[name] == (3, 3, 3) for name in spanning)
    assert {kernel for name, kernel in kernels.items() if name not in spanning} <= {(1, 3, 3), (1, 1, 1)}
    assert {name.split(".")[1] for name in spanning} <= {"0", "2", "4"}


def test_at_depth_10_it_is_the_2d_network_of_one_block_a_stage() -> None:
    published = unsettle(ResNet(BasicBlock, [1, 1, 1, 1]))
    encoder = inflated(published, 10)
    published.fc = nn.Identity()
    picture = torch.rand(1, 3, 32, 32, generator=DRAW)
    with torch.no_grad():
        expected = published(normalised(picture, IMAGENET_MEAN, IMAGENET_DEVIATION))
        clip = normalised(picture, RGB_MEAN, RGB_DEVIATION).unsqueeze(2).expand(-1, -1, 3, -1, -1)
        torch.testing.assert_close(encoder(clip).vector_BD, expected, rtol=1e-5, atol=1e-5)


def test_the_constants_are_torchvisions() -> None:
    recipe = ImageClassification(crop_size=224)
    assert (tuple(recipe.mean), tuple(recipe.std)) == (IMAGENET_MEAN, IMAGENET_DEVIATION)


def test_flow_and_grey_are_taken_as_they_are() -> None:
    encoder = Encoder(2, 10, 4).eval()
    flow = torch.zeros(1, 2, 3, 16, 16)
    with torch.no_grad():
        assert encoder(flow).vector_BD.abs().max() == 0, "a bias would come from a change of normalisation"
        assert Encoder(3, 10, 4).eval()(torch.zeros(1, 3, 3, 16, 16)).vector_BD.abs().max() > 0
