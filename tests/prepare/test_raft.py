"""RAFT from a local file: which architecture, its sizes, and what a wrong or hostile file does. The weights are random."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import optical_flow
from torchvision.models.optical_flow import Raft_Large_Weights, Raft_Small_Weights

from elo_cli.core.errors import MachineError, UsageError
from elo_cli.prepare import raft
from elo_cli.prepare.flow import flow_method
from elo_cli.prepare.raft import Raft, check_weights


def random_state(architecture: str = "raft_small") -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(optical_flow, architecture)(weights=None).state_dict()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.pth"
    torch.save(random_state(), path)
    return path


@pytest.fixture(autouse=True)
def _few_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raft, "UPDATES", 2)  # each takes as long as all that is before them


def film(frames: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), np.uint8)


def test_it_is_torchvision_s_network_on_the_frames_as_they_are(small: Path) -> None:
    frames = film(2, 128, 136)  # a size that needs no change
    forward, backward = Raft(small, "cpu")(frames)
    network = optical_flow.raft_small(weights=None).eval()
    network.load_state_dict(random_state())
    first, second = torch.from_numpy(frames).permute(0, 3, 1, 2).float()[:, None] / 127.5 - 1
    with torch.inference_mode():
        expected, reverse = (network(*pair, num_flow_updates=2)[-1][0] for pair in ((first, second), (second, first)))
    assert forward.dtype == backward.dtype == np.float32
    # The order of sums differs with the number of threads.
    np.testing.assert_allclose(forward[0], expected.permute(1, 2, 0), atol=2e-3 * np.abs(forward).max())
    np.testing.assert_allclose(backward[0], reverse.permute(1, 2, 0), atol=2e-3 * np.abs(backward).max())


def test_backward_is_the_flow_of_the_reversed_film(small: Path) -> None:
    method = flow_method("raft", small)
    frames = film(4, 130, 140)
    forward, backward = method(frames)
    reversed_forward, reversed_backward = method(frames[::-1])
    np.testing.assert_array_equal(backward, reversed_forward[::-1])
    np.testing.assert_array_equal(forward, reversed_backward[::-1])


def test_batches_do_not_show(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = film(4, 128, 128)
    alone, _ = Raft(small, "cpu")(frames)
    method = Raft(small, "cpu")
    monkeypatch.setattr(method, "_batch", lambda height, width: 2)  # as on a GPU; the last batch is half empty
    forward, backward = method(frames)
    np.testing.assert_array_equal(backward, method(frames[::-1])[0][::-1])
    np.testing.assert_allclose(forward, alone, atol=1e-3 * np.abs(alone).max())


class Shift(torch.nn.Module):
    """In place of RAFT: says that everything moves by (4, 2) pixels of the picture it is given, and keeps that picture."""

    def forward(self, first: Tensor, second: Tensor, num_flow_updates: int) -> list[Tensor]:
        self.seen = first
        batch, _, height, width = first.shape
        return [torch.tensor([4.0, 2.0])[None, :, None, None].expand(batch, 2, height, width)]


@pytest.mark.parametrize(
    ("size", "padded", "factor"),
    [((128, 171), (128, 176), 1), ((200, 129), (200, 136), 1), ((64, 86), (128, 176), 2), ((32, 400), (128, 1600), 4)],
)
def test_sizes_are_padded_and_small_pictures_enlarged(
    small: Path, size: tuple[int, int], padded: tuple[int, int], factor: int
) -> None:
    method = Raft(small, "cpu")
    method._model = Shift()
    frames = film(2, *size)
    forward, _ = method(frames)
    assert forward.shape == (1, *size, 2)
    np.testing.assert_allclose(forward, np.broadcast_to(np.float32([4, 2]) / factor, forward.shape), rtol=1e-6)
    seen = method._model.seen[0].permute(1, 2, 0).numpy()
    assert seen.shape == (*padded, 3)
    assert -1 <= seen.min() < seen.max() <= 1
    if factor == 1:
        np.testing.assert_allclose(seen[: size[0], : size[1]], frames[1] / np.float32(127.5) - 1, atol=1e-6)
        np.testing.assert_array_equal(
            seen[:, size[1] :], np.broadcast_to(seen[:, size[1] - 1 : size[1]], seen[:, size[1] :].shape)
        )


def test_one_frame_has_no_flow_and_frames_are_checked(small: Path) -> None:
    method = Raft(small, "cpu")
    assert method(film(1, 20, 30))[0].shape == (0, 20, 30, 2)
    with pytest.raises(ValueError, match="uint8"):
        method(np.zeros((2, 128, 128, 3), np.float32))


@pytest.mark.parametrize("architecture", ["raft_small", "raft_large"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_keys_tell_the_architecture(tmp_path: Path, architecture: str, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    state = {name: tensor.contiguous() for name, tensor in random_state(architecture).items()}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    assert check_weights(path) == Raft(path, "cpu").architecture == architecture


def test_threads_are_as_before(small: Path) -> None:
    before = torch.get_num_threads()
    Raft(small, "cpu")(film(2, 16, 16))
    assert torch.get_num_threads() == before


def refusal(path: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        check_weights(path)
    assert "https://download.pytorch.org/models/raft_large" in caught.value.hint
    assert "preprocess.flow_weights" in caught.value.hint
    with pytest.raises(UsageError, match=re.escape(caught.value.message[:40])):
        flow_method("raft", path)
    return caught.value


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_wrong_files_are_named(tmp_path: Path, small: Path, suffix: str) -> None:
    assert "no file" in refusal(tmp_path / f"absent{suffix}").message
    (tmp_path / f"folder{suffix}").mkdir()
    assert "no file" in refusal(tmp_path / f"folder{suffix}").message
    garbage = tmp_path / f"garbage{suffix}"
    for content in (b"", b"GIF89a not weights at all", small.read_bytes()[:20_000]):
        garbage.write_bytes(content)
        assert "cannot be read" in refusal(garbage).message


@pytest.mark.parametrize("change", ["missing", "shape", "foreign", "nested", "list"])
def test_other_weights_are_refused(tmp_path: Path, change: str) -> None:
    state: Any = random_state()
    name = "feature_encoder.conv.weight"
    if change == "missing":
        del state[name]
    elif change == "shape":
        state[name] = torch.zeros(1)
    elif change == "foreign":  # such as the authors' own files
        state = {f"module.{key}": tensor for key, tensor in state.items()}
    elif change == "nested":
        state = {"model": state}
    else:
        state = list(state.values())
    path = tmp_path / "other.pth"
    torch.save(state, path)
    message = refusal(path).message
    assert "state dict" in message if change in ("nested", "list") else "raft_small" in message


class Harmful:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_malicious_pickle_does_not_run(tmp_path: Path, form: str) -> None:
    victim, path = tmp_path / "victim", tmp_path / "evil.pth"
    torch.save(random_state() | {"x": Harmful(victim)}, path, _use_new_zipfile_serialization=form == "zip")
    assert "cannot be read" in refusal(path).message
    assert not victim.exists()
    torch.serialization.load(path, weights_only=False)  # it would have, read without that word
    assert victim.exists()


def test_devices(small: Path) -> None:
    with pytest.raises(UsageError, match="no device"):
        Raft(small, "warp")
    with pytest.raises(MachineError, match="cuda:99"):
        Raft(small, "cuda:99")
    assert Raft(small, "auto")._device.type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same(small: Path) -> None:
    frames = film(20, 128, 171)
    method = Raft(small, "cuda")
    forward, backward = method(frames)
    np.testing.assert_array_equal(backward, method(frames[::-1])[0][::-1])
    np.testing.assert_allclose(forward, Raft(small, "cpu")(frames)[0], atol=0.02 * np.abs(forward).max())


def test_the_addresses_are_torchvision_s() -> None:
    known = {
        "raft_large": {str(each.url) for each in Raft_Large_Weights},
        "raft_small": {str(each.url) for each in Raft_Small_Weights},
    }
    assert raft.URLS.keys() == known.keys()
    for architecture, url in raft.URLS.items():
        assert url in known[architecture]
