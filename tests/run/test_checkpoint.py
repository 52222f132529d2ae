"""A folder of checkpoints gives the former or the new one, never anything else."""

import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from elo_cli.core.errors import DataError, StorageError
from elo_cli.run import checkpoint as checkpoint_module
from elo_cli.run.checkpoint import Checkpoint, has_step, load_newest, load_step, save_checkpoint


class Killed(BaseException):
    """Stands for a kill -9: nothing between it and the test may catch it."""


def content(step: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors = {
        "weight": torch.full((3, 4), float(step)),
        "half": torch.ones(5, dtype=torch.bfloat16) * step,
        "count": torch.tensor(step),
    }
    return tensors, {"loss": 1 / (step + 1), "names": ["a", "ä\udcff"], "nested": {"step": step}}


def save(folder: Path, step: int, **options: int) -> Path:
    return save_checkpoint(folder, step, *content(step), **options)


def load(folder: Path) -> Checkpoint:
    checkpoint = load_newest(folder)
    assert checkpoint is not None
    tensors, state = content(checkpoint.step)
    assert checkpoint.state == state
    assert checkpoint.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert checkpoint.tensors[name].dtype == tensor.dtype
        assert torch.equal(checkpoint.tensors[name], tensor)
    return checkpoint


def flip(path: Path, position: int) -> None:
    changed = bytearray(path.read_bytes())
    changed[position] ^= 1
    path.write_bytes(changed)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    assert load_newest(tmp_path / "none") is None
    assert save(tmp_path, 7) == tmp_path / "step-00000007.json"
    assert load(tmp_path).step == 7
    assert load(tmp_path).skipped == []


def test_views_and_shared_memory_are_saved_as_they_look(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3).requires_grad_()
    save_checkpoint(tmp_path, 0, {"base": base, "same": base, "turned": base.t(), "row": base[1], "none": torch.zeros(0)}, {})
    loaded = load_newest(tmp_path)
    assert loaded
    assert torch.equal(loaded.tensors["turned"], base.t())
    assert torch.equal(loaded.tensors["same"], base)
    assert torch.equal(loaded.tensors["row"], base[1])
    assert loaded.tensors["none"].shape == (0,)


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in range(0, 50, 10):
        save(tmp_path, step)
    assert sorted(path.stem[:13] for path in tmp_path.iterdir()) == ["step-00000030"] * 2 + ["step-00000040"] * 2
    save(tmp_path, 50, keep=1)
    assert len(list(tmp_path.iterdir())) == 2
    assert load(tmp_path).step == 50


def test_steps_beyond_eight_digits_are_in_order(tmp_path: Path) -> None:
    save(tmp_path, 99_999_999)
    save(tmp_path, 100_000_000)
    assert load(tmp_path).step == 100_000_000


def test_state_that_json_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_checkpoint(tmp_path, 1, {}, {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_every_flipped_byte_is_found_and_the_one_before_is_taken(tmp_path: Path) -> None:
    save(tmp_path, 1)
    manifest = save(tmp_path, 2)
    (tensors,) = tmp_path.glob("step-00000002-*.safetensors")
    for path in (manifest, tensors):
        for position in range(path.stat().st_size):
            if path == manifest and path.read_bytes()[position : position + 1].isspace():
                continue  # another blank between the words of JSON means the same
            flip(path, position)
            checkpoint = load(tmp_path)
            assert checkpoint.step == 1
            assert len(checkpoint.skipped) == 1
            assert "step-00000002" in checkpoint.skipped[0]
            flip(path, position)
    assert load(tmp_path).step == 2


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def malform(path: Path) -> None:
    path.write_bytes(b"\xff" * 8 + b"{}" if path.suffix == ".safetensors" else b"[" * 100_000)


@pytest.mark.parametrize("harm", [truncate, malform, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("pattern", ["step-*2-*.safetensors", "step-*2.json"])
def test_damage_falls_back(tmp_path: Path, harm: Callable[[Path], object], pattern: str) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    (path,) = tmp_path.glob(pattern)
    harm(path)
    assert load(tmp_path).step == 1


def test_a_manifest_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    from elo_cli.run.checkpoint import _check

    path = save(tmp_path, 1)
    manifest = json.loads(path.read_text())
    del manifest["check"]
    manifest["tensors"] = "../secret.safetensors"
    path.write_text(json.dumps(manifest | {"check": _check(manifest)}))
    with pytest.raises(DataError, match="secret"):
        load_newest(tmp_path)


def test_when_all_are_damaged_it_says_so(tmp_path: Path) -> None:
    for step in (1, 2):
        truncate(save(tmp_path, step))
    with pytest.raises(DataError, match=r"Every checkpoint .*step-00000002\.json.*step-00000001\.json") as caught:
        load_newest(tmp_path)
    assert "--fresh" in caught.value.hint


def test_saving_after_a_fall_back_removes_what_was_beyond(tmp_path: Path) -> None:
    save(tmp_path, 10)
    truncate(save(tmp_path, 20))
    assert load(tmp_path).step == 10
    save(tmp_path, 15)
    assert load(tmp_path).skipped == []
    assert {path.name[:13] for path in tmp_path.iterdir()} == {"step-00000010", "step-00000015"}


def fail_at(patch: pytest.MonkeyPatch, number: int, error: BaseException) -> list[str]:
    """Let the `number`-th call that changes the disk raise, before or (for odd ones) after it happened."""
    calls: list[str] = []

    def wrap(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def called(*args: Any, **options: Any) -> Any:
            calls.append(name)
            if len(calls) == number:
                if number % 2:
                    original(*args, **options)
                raise error
            return original(*args, **options)

        patch.setattr(owner, name, called)

    for owner, name in ((os, "fsync"), (os, "replace"), (Path, "unlink")):
        wrap(owner, name)
    return calls


def save_version(folder: Path, step: int, version: int) -> None:
    save_checkpoint(folder, step, {"weight": torch.full((9,), float(version))}, {"version": version})


@pytest.mark.parametrize("error", [Killed(), OSError(errno.EIO, "Input/output error")], ids=["killed", "failed"])
@pytest.mark.parametrize("step", [20, 30], ids=["same-step", "next-step"])
def test_a_fault_between_any_two_writes(tmp_path: Path, error: BaseException, step: int) -> None:
    seen = set()
    number = 0
    finished = False
    while not finished:
        number += 1
        folder = tmp_path / str(number)
        save_version(folder, 10, 1)
        save_version(folder, 20, 2)
        with pytest.MonkeyPatch.context() as patch:
            calls = fail_at(patch, number, error)
            with contextlib.suppress(Killed, StorageError):
                save_version(folder, step, 3)
            finished = len(calls) < number
        checkpoint = load_newest(folder)
        assert checkpoint
        assert checkpoint.skipped == []
        assert (checkpoint.step, checkpoint.state["version"]) in {(20, 2), (step, 3)}
        assert torch.equal(checkpoint.tensors["weight"], torch.full((9,), float(checkpoint.state["version"])))
        seen.add(checkpoint.state["version"])
        save_version(folder, 40, 4)
        assert len(list(folder.iterdir())) == 4, "leftovers"
    assert number >= 7
    assert seen == {2, 3}


SAVE_WITH_LITTLE_ROOM = """
import resource, sys, torch
from pathlib import Path
from elo_cli.core.errors import StorageError
from elo_cli.run.checkpoint import save_checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_checkpoint(Path(sys.argv[1]), 2, {"weight": torch.zeros(50_000)}, {})
except StorageError as error:
    sys.exit(error.exit_code)
"""


def test_a_full_disk_leaves_the_former_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 1)
    before = sorted(tmp_path.iterdir())
    done = subprocess.run([sys.executable, "-c", SAVE_WITH_LITTLE_ROOM, str(tmp_path)], check=False)
    assert done.returncode == StorageError.exit_code
    assert sorted(tmp_path.iterdir()) == before
    assert load(tmp_path).step == 1


SAVE_FOR_EVER = """
import itertools, sys, torch
from pathlib import Path
from elo_cli.run.checkpoint import save_checkpoint
for step in itertools.count():
    save_checkpoint(Path(sys.argv[1]), step, {"weight": torch.full((300_000,), float(step))}, {"step": step})
    print(step, flush=True)
"""


def test_kill_9_while_saving(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(20):
            process.stdout.readline()
        process.kill()
        promised = max([20, *(int(line) for line in process.stdout.read().split())])
    checkpoint = load_newest(tmp_path)
    assert checkpoint
    assert checkpoint.step in {promised - 1, promised, promised + 1}
    assert checkpoint.state == {"step": checkpoint.step}
    assert torch.equal(checkpoint.tensors["weight"], torch.full((300_000,), float(checkpoint.step)))


def test_the_last_ones_stay_and_the_one_that_is_spared(tmp_path: Path) -> None:
    for step in range(1, 8):
        save(tmp_path, step, keep=3, spare=2 if step > 1 else 1)
    kept = sorted(path.stem for path in tmp_path.glob("*.json"))
    assert kept == ["step-00000002", "step-00000005", "step-00000006", "step-00000007"]
    assert len(list(tmp_path.glob("*.safetensors"))) == 4
    assert load(tmp_path).step == 7
    assert load_step(tmp_path, 2).tensors["count"] == 2
    save(tmp_path, 8, keep=1, spare=6)
    assert sorted(path.stem for path in tmp_path.glob("*.json")) == ["step-00000006", "step-00000008"]


def test_one_step_is_asked_for(tmp_path: Path) -> None:
    save(tmp_path, 3)
    path = save(tmp_path, 4)
    with pytest.raises(DataError, match="no checkpoint of step 5") as caught:
        load_step(tmp_path, 5)
    assert caught.value.hint == "There are those of: 3, 4."
    assert has_step(tmp_path, 3) and not has_step(tmp_path, 5) and not has_step(tmp_path / "none", 3)
    flip(path, 30)
    with pytest.raises(DataError, match="step-00000004"):
        load_step(tmp_path, 4)
    assert load_step(tmp_path, 3).step == 3


def test_a_run_at_work_may_take_away_what_was_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1, keep=1)
    read = checkpoint_module._read

    def saved_meanwhile(folder: Path, path: Path, step: int) -> Any:
        if step == 1:
            save(tmp_path, 2, keep=1)
        return read(folder, path, step)

    monkeypatch.setattr(checkpoint_module, "_read", saved_meanwhile)
    found = load(tmp_path)
    assert found.step == 2 and found.skipped == []
