"""torchvision's weights as encoders of elo; the weights are random, the networks that they are compared with torchvision's."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50, resnet101, wide_resnet50_2
from torchvision.models.video import MC3_18_Weights, R2Plus1D_18_Weights, R3D_18_Weights, mc3_18, r2plus1d_18, r3d_18

from elo_cli.core.errors import DataError, UsageError
from elo_cli.data.transforms import RGB_DEVIATION, RGB_MEAN
from elo_cli.encoders.inflated_resnet import IMAGENET_DEVIATION, IMAGENET_MEAN
from elo_cli.engine import foreign
from elo_cli.engine.export import load_encoder, save_encoder
from elo_cli.engine.foreign import load_any_encoder, load_foreign
from elo_cli.engine.formats import FORMATS
from tests.support.encoders import some_clips, write_encoder
from tests.support.foreign import unsettle

VIDEO = {"r2plus1d_18": r2plus1d_18, "r3d_18": r3d_18, "mc3_18": mc3_18}


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path: Path) -> Iterator[None]:
    yield
    shutil.rmtree(tmp_path)  # weights are of tens of megabytes


def write(path: Path, state: dict[str, Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save(state, path)
    return path


def without_classifier(network: nn.Module) -> nn.Module:
    network.fc = nn.Identity()
    return network


@pytest.mark.parametrize("name", VIDEO)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_video_networks_give_torchvisions_features(tmp_path: Path, name: str, suffix: str) -> None:
    published = unsettle(VIDEO[name]())
    path = write(tmp_path / f"weights{suffix}", published.state_dict())
    encoder, clips = load_foreign(path), some_clips(2, size=24)
    with torch.no_grad():
        torch.testing.assert_close(encoder(clips), without_classifier(published)(clips), rtol=1e-5, atol=1e-5)
    assert not encoder.training and encoder.path == path
    assert encoder.card["origin"] == {
        "method": "torchvision",
        "network": name,
        "file": path.name,
        "weights": "kinetics400",
        "short_side": 128,
    }
    assert (encoder.architecture.architecture, encoder.architecture.depth, encoder.architecture.width) == (name[:-3], 18, 64)
    assert encoder.card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (encoder.clip.frames, encoder.clip.stride, encoder.clip.size, encoder.card["input"]["fps"]) == (16, 1, 112, 15.0)


@pytest.mark.parametrize("make", [resnet18, resnet50])
def test_image_networks_give_the_features_of_a_picture(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    published = unsettle(make())
    encoder = load_foreign(write(tmp_path / "weights.pth", published.state_dict()))
    assert encoder.card["origin"]["weights"] == "imagenet" and encoder.card["architecture"] == "inflated_resnet"
    pictures = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(2))
    seen, known = (
        (pictures - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(deviation).view(3, 1, 1)
        for mean, deviation in ((RGB_MEAN, RGB_DEVIATION), (IMAGENET_MEAN, IMAGENET_DEVIATION))
    )
    with torch.no_grad():
        features = encoder(seen.unsqueeze(2).expand(-1, -1, 4, -1, -1))
        torch.testing.assert_close(features, without_classifier(published)(known), rtol=1e-5, atol=1e-5)


def test_the_clips_are_those_of_torchvisions_recipes() -> None:
    for weights in (R2Plus1D_18_Weights, R3D_18_Weights, MC3_18_Weights):
        published = weights.KINETICS400_V1
        recipe = published.transforms()
        assert set(recipe.crop_size) == {foreign.SIZE} and min(recipe.resize_size) == foreign.SHORT_SIDE
        assert (tuple(recipe.mean), tuple(recipe.std)) == (RGB_MEAN, RGB_DEVIATION)
        assert f"`frame_rate={foreign.FPS:g}`" in published.meta["_docs"]
        assert f"`clip_len={foreign.FRAMES}`" in published.meta["_docs"]
        assert len(published.meta["categories"]) == 400


@pytest.mark.parametrize(
    ("classes", "weights"), [(400, "kinetics400"), (101, "unknown"), (1000, "unknown"), (None, "unknown"), (0, "unknown")]
)
def test_the_classifier_says_what_the_weights_are_of(tmp_path: Path, classes: int | None, weights: str) -> None:
    state = mc3_18(num_classes=classes or 400).state_dict()
    if classes is None:
        del state["fc.weight"], state["fc.bias"]
    elif classes == 0:  # as elo exports it
        state["fc.weight"].zero_()
    assert load_foreign(write(tmp_path / "w.pth", state)).card["origin"]["weights"] == weights


@pytest.mark.parametrize("depth", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_what_elo_exported_comes_back_with_its_clips(tmp_path: Path, depth: int) -> None:
    original = load_encoder(write_encoder(tmp_path / "run", depth=depth, width=64))
    path = tmp_path / "run/encoder-torchvision.safetensors"
    FORMATS["torchvision"].write(original, path)
    again, clips = load_any_encoder(path), some_clips(2)
    with torch.no_grad():
        assert torch.equal(again(clips), original(clips))
    assert again.clip == original.clip.model_copy(update={"future": again.clip.future}) and again.card["input"]["fps"] == 8.0
    origin = again.card["origin"]
    assert (origin["method"], origin["weights"], origin["short_side"]) == ("torchvision", "unknown", 20)
    assert origin["exported"] == {"sha256": original.card["sha256"], "origin": original.card["origin"]}
    for notes in ({"software": "elo export"}, {"software": "elo export", "frames": "many"}):
        save_file(load_file(path), path, notes)
        with pytest.raises(UsageError, match="not which clips it is for"):
            load_foreign(path)


def test_any_encoder_is_one_with_a_card_or_one_from_elsewhere(tmp_path: Path) -> None:
    own = write_encoder(tmp_path / "run")
    assert load_any_encoder(own).card == load_any_encoder(str(own.parent)).card == load_encoder(own).card
    other = load_any_encoder(write(tmp_path / "weights.pth", resnet18().state_dict()))
    assert other.card["origin"]["method"] == "torchvision"
    own.with_suffix(".json").unlink()
    with pytest.raises(UsageError, match="holds no network") as caught:
        load_any_encoder(own)
    assert "card" in caught.value.hint
    with pytest.raises(DataError):
        load_any_encoder(tmp_path)
    with pytest.raises(UsageError, match="no file"):
        load_any_encoder(tmp_path / "nowhere.pth")


def test_it_can_be_kept_as_an_encoder_of_elo_and_exported(tmp_path: Path) -> None:
    encoder = load_foreign(write(tmp_path / "weights.pth", unsettle(resnet18()).state_dict()))
    save_encoder(tmp_path / "kept.safetensors", encoder.network, encoder.card)
    clips = some_clips(1, size=32)
    with torch.no_grad():
        assert torch.equal(load_any_encoder(tmp_path / "kept.safetensors")(clips), encoder(clips))
    assert json.loads(json.dumps(encoder.card))["origin"] == encoder.card["origin"]


@pytest.mark.parametrize("form", ["module.", "model.", "module.model.", "state_dict", "model", "both"])
def test_wrappers_come_off(tmp_path: Path, form: str) -> None:
    state: Any = unsettle(mc3_18()).state_dict()
    expected = load_foreign(write(tmp_path / "plain.pth", state))
    if form.endswith(".") or form == "both":
        state = {("module." if form == "both" else form) + name: value for name, value in state.items()}
    if not form.endswith("."):
        state = {"state_dict" if form == "both" else form: state, "epoch": 9}
    found = load_foreign(write(tmp_path / "wrapped.pth", state))
    assert found.card["origin"]["weights"] == "kinetics400"
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in expected.state_dict().items())


def test_what_is_wrapped_in_two_ways_is_refused(tmp_path: Path) -> None:
    state = mc3_18().state_dict()
    halves = {(f"module.{name}" if name.startswith("layer4") else name): value for name, value in state.items()}
    with pytest.raises(UsageError, match=r"nearest is mc3_18.*missing, first 'layer4.*too many, first 'module.layer4"):
        load_foreign(write(tmp_path / "halves.pth", halves))
    with pytest.raises(UsageError, match="several state dicts: 'model' and 'model_ema'"):
        load_foreign(write(tmp_path / "two.pth", {"model": state, "model_ema": state}))  # type: ignore[dict-item]


def test_counters_may_lack_as_in_old_files_and_halves_are_made_whole(tmp_path: Path) -> None:
    published = unsettle(resnet18())
    state = {name: value for name, value in published.state_dict().items() if not name.endswith("num_batches_tracked")}
    whole = load_foreign(write(tmp_path / "old.pth", state))
    half = load_foreign(write(tmp_path / "half.pth", {name: value.half() for name, value in state.items()}))
    assert {value.dtype for value in half.state_dict().values()} == {torch.float32, torch.int64}
    clips = some_clips(1, size=32)
    with torch.no_grad():
        assert torch.nn.functional.cosine_similarity(whole(clips), half(clips)).item() > 0.999


def change(state: dict[str, Tensor], kind: str) -> dict[str, Tensor]:
    if kind == "missing":
        del state["layer2.0.conv1.weight"]
    elif kind == "extra":
        state["layer2.0.conv9.weight"] = torch.zeros(1)
    elif kind == "shape":
        state["bn1.weight"] = torch.zeros(63)
    elif kind == "whole":
        state["bn1.weight"] = torch.zeros(64, dtype=torch.int64)
    elif kind == "vast":
        state["bn1.weight"] = torch.zeros(1).expand(10**9)
    elif kind == "name":
        state["\x1b[31m" + "x" * 10**5] = torch.zeros(1)
    return state


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "nearest is resnet18, of 120 tensors: 1 missing, first 'layer2.0.conv1.weight'"),
        ("extra", "1 too many, first 'layer2.0.conv9.weight'"),
        ("shape", "1 of another shape, first 'bn1.weight': 63 and not 64"),
        ("whole", "'bn1.weight': 64 whole numbers and not 64"),
        ("vast", "is not a state dict"),
        ("name", "1 too many, first '\\x1b[31mxxx"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, kind: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_foreign(write(tmp_path / "w.pth", change(resnet18().state_dict(), kind)))
    assert said in caught.value.message and len(caught.value.message) < 600 and "\x1b" not in caught.value.message
    assert "resnet50" in caught.value.hint


@pytest.mark.parametrize("make", [resnet101, wide_resnet50_2, torchvision.models.video.s3d], ids=lambda make: make.__name__)
def test_other_networks_of_torchvision_are_refused(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    with pytest.raises(UsageError, match="holds no network that elo knows"):
        load_foreign(write(tmp_path / "w.pth", make().state_dict()))


class Harmful:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.victim),)


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    path, victim = tmp_path / "w.pth", tmp_path / "victim"
    torch.save({"state_dict": resnet18().state_dict(), "args": Harmful(victim)}, path)
    for content in (path.read_bytes(), path.read_bytes()[: 2 * 10**7], b"no weights\n", b""):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="cannot be read as weights") as caught:
            load_any_encoder(path)
        assert "resnet50" in caught.value.hint
    assert not victim.exists()
    torch.save({}, path)
    with pytest.raises(UsageError, match="holds no network"):
        load_foreign(path)
    save_file({f"x{number}": torch.zeros(1) for number in range(20_000)}, tmp_path / "many.safetensors")
    with pytest.raises(UsageError, match="20,000 tensors"):
        load_foreign(tmp_path / "many.safetensors")
    shutil.copy(path, tmp_path / "named.safetensors")
    with pytest.raises(UsageError, match="cannot be read"):
        load_foreign(tmp_path / "named.safetensors")
