"""`elo export`: typed as people type it."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from elo_cli.engine import conversion
from elo_cli.engine.formats import FORMATS
from tests.support.commands import elo, files
from tests.support.encoders import write_encoder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("trained")).parent


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Path:
    for name in ("pretrain", "pretrain-2"):
        shutil.copytree(trained, tmp_path / "elo" / name)
    return tmp_path


def test_the_newest_encoder_is_exported_beside_itself(home: Path) -> None:
    result = elo("export --format torch-export", home)
    assert result.exit_code == 0, result.stderr
    assert (home / "elo/pretrain-2/encoder.pt2").is_file()
    lines = result.stdout.splitlines()
    assert "encoder = torch.export.load('elo/pretrain-2/encoder.pt2').module()" in lines, "at the margin, to be copied"
    assert "1e-04" in result.stdout and "largest difference" in result.stdout
    again = elo("export --format torch-export --json", home)
    assert again.exit_code == 0, "an export of our own is replaced"
    told = json.loads(again.stdout)
    assert set(told["differences"]) == {"1", "3"} and 0 <= told["difference"] <= told["tolerance"] == 1e-4
    assert told["bytes"] == (home / told["out"]).stat().st_size and len(told["sha256"]) == 64
    assert files(home / "elo/pretrain-2") == ["encoder.json", "encoder.pt2", "encoder.safetensors"]


def test_onnx_goes_where_it_is_wanted(home: Path) -> None:
    pytest.importorskip("onnxruntime")
    result = elo("export elo/pretrain --format onnx --out made/here.onnx --json", home)
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["out"] == "made/here.onnx" and files(home / "made") == ["here.onnx"] and told["difference"] < 1e-5
    planned = elo("export elo/pretrain --format onnx --out made/here.onnx --dry-run", home)
    assert planned.exit_code == 0 and "made/here.onnx" in planned.stdout


def test_torchvision_takes_full_width(home: Path) -> None:
    path = write_encoder(home / "full", width=64)
    result = elo("export full/encoder.safetensors --format torchvision", home)
    assert result.exit_code == 0, result.stderr
    line = "model = VideoResNet(BasicBlock, [Conv2Plus1D] * 4, [1, 1, 1, 1], R2Plus1dStem)"
    assert line in result.stdout.splitlines() and "0.0e+00" in result.stdout
    assert path.with_name("encoder-torchvision.safetensors").is_file()
    refused = elo("export --format torchvision --dry-run", home)
    assert refused.exit_code == 2 and "its stem is that of width 64" in refused.stderr


def test_a_dry_run_writes_nothing(home: Path) -> None:
    before = files(home)
    result = elo("export --format torch-export --dry-run --json", home)
    assert result.exit_code == 0 and json.loads(result.stdout)["out"] == "elo/pretrain-2/encoder.pt2"
    assert files(home) == before


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("export", 2, "Nothing is asked for that is not there"),
        ("export --format caffe", 2, "'caffe' is not one of 'torchvision', 'onnx', 'torch-export'"),
        ("export --format torch-export --out x.onnx", 2, "Let it end in .pt2"),
        ("export --format torch-export --out mine.pt2", 2, "mine.pt2 is there already and was not made by elo export"),
        ("export nowhere --format torch-export", 2, "There is no file of weights at 'nowhere'"),
        ("export mine.pt2 --format torch-export", 2, "mine.pt2"),
        ("export --format torch-export --set workspace=empty", 3, "There is no pretrained encoder in empty yet"),
    ],
)
def test_what_cannot_be_is_told(home: Path, line: str, code: int, message: str) -> None:
    (home / "mine.pt2").write_text("mine")
    before = files(home)
    result = elo(line, home)
    assert result.exit_code == code and message in result.stderr and "bug" not in result.stderr
    assert files(home) == before and (home / "mine.pt2").read_text() == "mine"


def test_a_file_with_other_features_is_not_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "TOLERANCE", -1.0)
    before = files(home)
    result = elo("export --format torch-export", home)
    assert result.exit_code == 1 and "it is not kept" in result.stderr and files(home) == before


def test_a_missing_package_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    pytest.importorskip("onnx")
    result = elo("export --format onnx", home)
    assert result.exit_code == 4 and "pip install 'elo-cli[onnx]'" in result.stderr


def test_every_format_is_offered(home: Path) -> None:
    assert all(name in elo("export --help", home).stdout for name in FORMATS)
