"""Weights of somebody else's: read as tensors, refused with a hint, and never run."""

import collections
import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from elo_cli.core.errors import UsageError
from elo_cli.nets import state_files
from elo_cli.nets.state_files import read_state

HINT = "Give another file."
STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.zeros(2), "a.count": torch.tensor(3)}


def saved(path: Path, value: Any, **form: Any) -> Path:
    torch.save(value, path, **form)
    return path


def refusal(path: Path, *, nested: bool = False) -> str:
    with pytest.raises(UsageError) as caught:
        read_state(path, hint=HINT, nested=nested)
    assert HINT in caught.value.hint and path.name in caught.value.message
    return caught.value.message


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return list(found) == list(wanted) and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_what_is_saved_is_read(tmp_path: Path, form: str) -> None:
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        save_file(STATE, path, {"software": "some"})
    else:
        saved(path, collections.OrderedDict(STATE), _use_new_zipfile_serialization=form == "zip")
    found = read_state(path, hint=HINT)
    assert same({name: found.tensors[name] for name in STATE}, STATE) and len(found.tensors) == len(STATE)
    assert found.notes == ({"software": "some"} if form == "safetensors" else {})
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_parameters_and_tied_weights_are_tensors(tmp_path: Path) -> None:
    parameter = nn.Parameter(torch.ones(2, 2))
    found = read_state(saved(tmp_path / "w.pt", {"a": parameter, "b": parameter.detach().T}), hint=HINT).tensors
    assert not found["a"].requires_grad and torch.equal(found["a"], found["b"].T)


def test_a_checkpoint_is_opened_only_where_that_is_allowed_and_clear(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", {"epoch": 3, "optimizer": {"state": {}, "param_groups": []}, "state_dict": STATE})
    assert "is not a state dict" in refusal(path)
    assert same(read_state(path, hint=HINT, nested=True).tensors, STATE)
    assert same(read_state(saved(tmp_path / "flat.pth", STATE), hint=HINT, nested=True).tensors, STATE)
    both = saved(tmp_path / "both.pth", {"model": STATE, "model_ema": STATE})
    assert "several state dicts: 'model' and 'model_ema'" in refusal(both, nested=True)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damage_is_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    assert "no file" in refusal(path)
    path.mkdir()
    assert "no file" in refusal(path)
    path = tmp_path / f"x{suffix}"
    save_file(STATE, path) if suffix == ".safetensors" else torch.save(STATE, path)
    whole = path.read_bytes()
    for content in (b"", b"\n", b"These are no weights at all.\n" * 99, whole[: len(whole) // 2], whole[:-1], b"\x00" * 64):
        path.write_bytes(content)
        assert "cannot be read as weights: " in refusal(path)
    path.write_bytes(whole)
    read_state(path, hint=HINT)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.pth")
    assert "no file" in refusal(tmp_path / "w.pth")


class Harmful:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_code_in_a_file_does_not_run(tmp_path: Path, form: str) -> None:
    victim = tmp_path / "victim"
    path = saved(tmp_path / "w.pth", STATE | {"x": Harmful(victim)}, _use_new_zipfile_serialization=form == "zip")
    message = refusal(path, nested=True)
    assert "code that a file brings is never run" in message and "trust" not in message
    assert not victim.exists()
    torch.serialization.load(path, weights_only=False)  # it would have, read without that word
    assert victim.exists()


@pytest.mark.parametrize(
    "value",
    [
        [torch.zeros(2)],
        torch.zeros(2),
        {1: torch.zeros(2)},
        {"a": 1.0},
        {"a": torch.zeros(2, device="meta")},
        {"a": torch.eye(3).to_sparse()},
        {"a": torch.zeros(1).expand(10**6, 10**6)},  # four million million numbers, of which one is there
    ],
    ids=["list", "tensor", "numbered", "number", "meta", "sparse", "repeated"],
)
@pytest.mark.filterwarnings("ignore:Validating sparse")  # PyTorch's word on sparse tensors
def test_what_is_no_state_dict_is_refused(tmp_path: Path, value: Any) -> None:
    for nested in (False, True):
        assert "is not a state dict" in refusal(saved(tmp_path / "w.pth", value), nested=nested)


def test_too_many_tensors_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"layer{number}": torch.zeros(1) for number in range(state_files.MOST_TENSORS + 1)}
    save_file(many, tmp_path / "w.safetensors")
    assert "10,001 tensors" in refusal(tmp_path / "w.safetensors")
    shared = dict.fromkeys(many, torch.zeros(1))  # one storage, so few parts
    assert "10,001 tensors" in refusal(saved(tmp_path / "w.pth", shared))
    monkeypatch.setattr(state_files, "MOST_RECORDS", 5)
    assert "parts" in refusal(saved(tmp_path / "v.pth", {str(number): torch.zeros(1) for number in range(9)}))


def test_sizes_are_bounded_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vast = tmp_path / "vast.pth"
    with vast.open("wb") as stream:
        stream.truncate(state_files.LARGEST + 1)  # nothing is stored of it
    assert "bytes, and at most" in refusal(vast)
    vast.unlink()
    bomb = tmp_path / "bomb.pth"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", bytes(state_files.LARGEST_STRUCTURE + 1))
    assert bomb.stat().st_size < 10**5 and "which is too much" in refusal(bomb)
    monkeypatch.setattr(state_files, "LARGEST", 10**6)
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data/0", bytes(2 * 10**6))
    assert "which is too much" in refusal(bomb)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}},
        {"a": 1},
        [],
    ],
)
def test_malformed_safetensors_are_refused(tmp_path: Path, header: Any) -> None:
    path, text = tmp_path / "w.safetensors", json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    assert "cannot be read" in refusal(path)
    path.write_bytes((2**40).to_bytes(8, "little") + text)
    assert "header" in refusal(path)
