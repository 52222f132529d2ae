"""A file is kept if its features are those of the encoder, and nothing else is lost for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from elo_cli.core.errors import DataError, EloError, Stopped, UsageError
from elo_cli.engine.conversion import BATCHES, STEPS, TOLERANCE, convert, free_target
from elo_cli.engine.export import LoadedEncoder, load_encoder
from elo_cli.engine.formats import FORMATS, Torchvision, described
from tests.support.commands import files
from tests.support.encoders import write_encoder


class Plain(Torchvision):
    """A format as quick as a test likes it: its file is read back as a function of one's choice."""

    def __init__(self, function: Callable[[LoadedEncoder, torch.Tensor], torch.Tensor]) -> None:
        self.function = function

    def write(self, encoder: LoadedEncoder, path: Path) -> None:
        save_file({"x": torch.zeros(1)}, path, described(encoder))
        (path.parent / "beside").write_text("too")

    def read(self, path: Path, encoder: LoadedEncoder) -> Callable[[torch.Tensor], torch.Tensor]:
        assert path.is_file()
        return lambda clips: self.function(encoder, clips)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def encoder(trained: Path) -> LoadedEncoder:
    return load_encoder(trained)


def test_what_agrees_is_kept(encoder: LoadedEncoder, tmp_path: Path) -> None:
    seen: list[int] = []
    target = tmp_path / "new folder" / "x.safetensors"
    agreement = convert(encoder, Plain(lambda same, clips: same(clips) * (1 + 1e-5)), target, seen.append)
    assert list(agreement.differences) == list(BATCHES) and seen == list(range(1, STEPS + 1))
    assert 0.9e-5 < agreement.largest < 1.1e-5 < TOLERANCE
    assert files(target.parent) == ["beside", "x.safetensors"]
    assert free_target(target, FORMATS["torchvision"]) == target, "an export of our own is replaced"
    convert(encoder, Plain(lambda same, clips: same(clips)), target, seen.append)
    assert files(target.parent) == ["beside", "x.safetensors"]


@pytest.mark.parametrize(
    "function",
    [
        lambda same, clips: same(clips) * (1 + 1e-3),
        lambda same, clips: same(clips) * float("nan"),
        lambda same, clips: same(clips)[:1],
        lambda same, clips: same(clips) if len(clips) == 1 else same(clips).flip(0),
    ],
    ids=["far", "none", "fewer", "mixed up"],
)
def test_what_differs_is_not(encoder: LoadedEncoder, tmp_path: Path, function: Any) -> None:
    target = tmp_path / "x.safetensors"
    save_file({"old": torch.zeros(1)}, target, described(encoder))
    before = target.read_bytes()
    with pytest.raises(EloError, match="it is not kept") as caught:
        convert(encoder, Plain(function), target, lambda done: None)
    assert caught.value.exit_code == 1 and "--format" in caught.value.hint
    assert target.read_bytes() == before and sorted(entry.name for entry in tmp_path.iterdir()) == ["x.safetensors"]


def test_a_stop_leaves_nothing(encoder: LoadedEncoder, tmp_path: Path) -> None:
    def stop(done: int) -> None:
        raise Stopped("now")

    with pytest.raises(Stopped):
        convert(encoder, Plain(lambda same, clips: same(clips)), tmp_path / "x.safetensors", stop)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_of_nothing_is_told(encoder: LoadedEncoder, tmp_path: Path) -> None:
    with torch.no_grad():
        next(encoder.parameters()).fill_(float("inf"))
    with pytest.raises(DataError, match="not finite"):
        convert(encoder, Plain(lambda same, clips: same(clips)), tmp_path / "x.safetensors", lambda done: None)


@pytest.mark.parametrize("name", ["torchvision", "torch-export"])
def test_another_file_is_left_as_it_is(encoder: LoadedEncoder, tmp_path: Path, name: str) -> None:
    kind = FORMATS[name]
    target = tmp_path / f"x{kind.ending}"
    assert free_target(target, kind) == target
    for make in (target.mkdir, lambda: target.symlink_to("nowhere"), lambda: target.write_text("mine")):
        make()
        with pytest.raises(UsageError, match="is left as it is"):
            free_target(target, kind)
        target.rmdir() if target.is_dir() else target.unlink()
    with pytest.raises(UsageError, match="is no name of a file of") as caught:
        free_target(tmp_path / "x.pt", kind)
    assert kind.ending in caught.value.hint
    with pytest.raises(UsageError):
        free_target(encoder.path, FORMATS["torchvision"])


def test_the_weights_of_another_graph_are_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "x.onnx.data").write_text("mine")
    with pytest.raises(UsageError, match=r"x\.onnx\.data is there already"):
        free_target(tmp_path / "x.onnx", FORMATS["onnx"])
