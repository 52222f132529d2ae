"""Each format by itself: what is written is what its users read, without elo."""

import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from elo_cli.core.errors import MachineError, UsageError
from elo_cli.engine import formats
from elo_cli.engine.export import LoadedEncoder, load_encoder
from elo_cli.engine.formats import FORMATS, is_own
from tests.support.encoders import some_clips, write_encoder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedEncoder:
    return load_encoder(write_encoder(tmp_path_factory.mktemp("tiny")))


def used(usage: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run the lines that a person is told to type."""
    exec(usage, names)
    return names


@pytest.mark.parametrize("depth", [10, 18, 50])
def test_torchvision_reads_its_keys(tmp_path: Path, depth: int) -> None:
    encoder, kind, path = (
        load_encoder(write_encoder(tmp_path, depth=depth, width=64)),
        FORMATS["torchvision"],
        tmp_path / "x y.safetensors",
    )
    kind.require(encoder)
    kind.write(encoder, path)
    model = used(kind.usage(path, encoder), {})["model"].eval()
    assert type(model).__module__.startswith("torchvision.") and not model.fc.weight.any()
    model.fc = torch.nn.Identity()
    for clips in (some_clips(1), some_clips(2, size=24, frames=6)):
        with torch.no_grad():
            torch.testing.assert_close(model(clips), encoder(clips), rtol=0, atol=0)
            torch.testing.assert_close(kind.read(path, encoder)(clips), encoder(clips), rtol=0, atol=0)
    assert kind.marks(path)["sha256"] == encoder.card["sha256"] and is_own(path, kind)
    assert not is_own(encoder.path, kind), "the encoder itself is never taken for an export of it"


def test_torchvision_has_one_width(tiny: LoadedEncoder) -> None:
    with pytest.raises(UsageError, match="no network for r2plus1d of width 4") as caught:
        FORMATS["torchvision"].require(tiny)
    assert "--format onnx" in caught.value.hint


@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")  # of torch 2.10 itself
def test_a_program_of_torch_export_needs_no_elo(tiny: LoadedEncoder, tmp_path: Path) -> None:
    kind, path, clips = FORMATS["torch-export"], tmp_path / "it's.pt2", some_clips(5)
    kind.require(tiny)
    kind.write(tiny, path)
    features = used(kind.usage(path, tiny), {"clips": clips})["features"]
    torch.testing.assert_close(features, tiny(clips), rtol=1e-5, atol=1e-6)
    assert kind.marks(path)["size"] == "16" and is_own(path, kind)
    with zipfile.ZipFile(path) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
        assert max(entry.file_size for entry in archive.infolist() if "sample_inputs" in entry.filename) < 100
    assert str(Path(formats.__file__).parents[2]).encode() not in content, "it tells nothing of this machine"
    with pytest.raises((AssertionError, RuntimeError), match="16"):
        torch.export.load(path).module()(some_clips(1, size=20))


def test_a_graph_of_onnx_says_what_it_is(tiny: LoadedEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    kind, path, clips = FORMATS["onnx"], tmp_path / "x y.onnx", some_clips(5)
    kind.require(tiny)
    kind.write(tiny, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x y.onnx"]
    features = used(kind.usage(path, tiny), {"clips": clips.numpy()})["features"]
    torch.testing.assert_close(torch.from_numpy(features), tiny(clips).detach(), rtol=1e-4, atol=1e-5)
    session = runtime.InferenceSession(path)
    [taken], [given] = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.shape, given.name, given.shape) == ("clips", ["batch", 3, 4, 16, 16], "features", ["batch", 32])
    said = session.get_modelmeta().custom_metadata_map
    assert (said["frames"], said["stride"], said["fps"], said["size"]) == ("4", "1", "8.0", "16")
    assert said["mean"] == "[0.43216, 0.394666, 0.37645]" and said["deviation"].startswith("[0.22803")
    onnx.checker.check_model(path, full_check=True)
    assert str(Path(formats.__file__).parents[2]).encode() not in path.read_bytes()
    assert is_own(path, kind)
    # Weights that one file cannot hold lie beside it.
    monkeypatch.setattr(formats, "_ONE_FILE", 1000)
    kind.write(tiny, path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["x y.onnx", "x y.onnx.data"]
    assert path.stat().st_size < path.with_name("x y.onnx.data").stat().st_size
    torch.testing.assert_close(kind.read(path, tiny)(clips), tiny(clips).detach(), rtol=1e-4, atol=1e-5)
    path.with_name("x y.onnx.data").unlink()
    assert is_own(path, kind), "what it is can be said without its weights"


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named(tiny: LoadedEncoder, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None if name == package else torch)
    with pytest.raises(MachineError, match=package) as caught:
        FORMATS["onnx"].require(tiny)
    assert caught.value.hint == "pip install 'elo-cli[onnx]'"


@pytest.mark.parametrize("name", FORMATS)
def test_nobody_elses_file_is_taken_for_an_export(tmp_path: Path, name: str) -> None:
    if name == "onnx":
        pytest.importorskip("onnx")
    kind = FORMATS[name]
    contents: dict[str, Any] = {"empty": b"", "text": b"mine" * 100, "zeros": bytes(1000)}
    for label, content in contents.items():
        (tmp_path / label).write_bytes(content)
    save_file({"x": torch.zeros(2)}, tmp_path / "tensors")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("a/extra/elo.json", "[" * 100_000)
    with zipfile.ZipFile(tmp_path / "other zip", "w") as archive:
        archive.writestr("a/extra/elo.json", '["software"]')
    assert [entry.name for entry in tmp_path.iterdir() if is_own(entry, kind)] == []
    assert not is_own(tmp_path, kind) and not is_own(tmp_path / "none", kind)
    assert load_file(tmp_path / "tensors")["x"].shape == (2,)
