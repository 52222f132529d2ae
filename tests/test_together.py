"""`elo pretrain` in several processes: stopped, killed and gone on with, as in one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from elo_cli.cli.launching import free_port
from tests.support.commands import ROOT, elo, finish, hashes, processes_in, start, wait_for, write_home
from tests.support.ranks import announcement

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks at /proc")

ENCODER = ("encoder.safetensors", "encoder.json", "result.json", "loss.yaml", "checkpoints/*")
LINE = "pretrain --loss uniform --set pretrain.steps=40 --set pretrain.lr=0.01"
TOGETHER = f"{LINE} --processes 2"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a preprocessed set, and a run of two processes that nobody disturbed."""
    folder = write_home(tmp_path_factory.mktemp("home"), 9)
    code, said, complained = finish(start(f"{TOGETHER} --json --out {folder / 'whole'}", folder))
    assert code == 0, complained
    assert "A step has 4 clips (processes × parts × clips: 2 × 1 × 2); 40 steps are" in complained
    assert json.loads(said)["steps"] == 40, "one process speaks"
    return folder


def test_two_processes_train_as_one(home: Path) -> None:
    assert elo(f"{LINE} --out {home / 'alone'}", home).exit_code == 0
    steps = [first_step(home / name) for name in ("whole", "alone")]
    assert steps[0]["parts"] == pytest.approx(
        steps[1]["parts"], rel=1e-4
    )  # what follows drifts apart: sums are rounded otherwise
    environments = [json.loads((home / name / "environment.json").read_text()) for name in ("whole", "alone")]
    assert [environment["processes"] for environment in environments] == [2, 1]


def first_step(run: Path) -> dict[str, Any]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return next(line for line in lines if line.get("step") == 1)


def ranks_of(launcher: "subprocess.Popen[str]") -> list[int]:
    """The processes that a launcher has started, by rank."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            told = dict(line.partition("=")[::2] for line in (entry / "environ").read_text().split("\0"))
        except (OSError, IndexError):
            continue
        if parent == launcher.pid and "RANK" in told:
            found[int(told["RANK"])] = int(entry.name)
    return [found[rank] for rank in sorted(found)]


@pytest.mark.parametrize("how", ["SIGTERM", "killed", "one killed", "launcher killed"])
def test_an_end_on_the_way_changes_nothing(home: Path, tmp_path: Path, how: str) -> None:
    run = tmp_path / "run"
    line = f"{TOGETHER} --config {home / 'elo.yaml'} --data {home / 'elo' / 'dataset'} --out {run}"
    launcher = start(line, tmp_path)
    wait_for(lambda: list(run.glob("checkpoints/*.json")) or launcher.poll() is not None)
    ranks = ranks_of(launcher)
    assert len(ranks) == 2
    if how == "SIGTERM":
        launcher.send_signal(signal.SIGTERM)
    elif how == "launcher killed":
        launcher.kill()
    else:
        os.kill(ranks[0 if how == "killed" else 1], signal.SIGKILL)
    code, _, complained = finish(launcher)
    expected = {"SIGTERM": 75, "launcher killed": -signal.SIGKILL}.get(how, 4)
    assert code == expected, complained
    if how == "SIGTERM":
        assert complained.count("Stopped at your request") == 1
    elif how != "launcher killed":
        assert f"Process {0 if how == 'killed' else 1} of 2 was killed by signal 9" in complained
    wait_for(lambda: not processes_in(tmp_path), 10)
    assert not (run / "result.json").exists()
    code, _, complained = finish(start(line, tmp_path))
    assert code == 0, complained
    assert "Going on from step" in complained
    assert hashes(run, *ENCODER) == hashes(home / "whole", *ENCODER)


def test_torchrun_starts_them_too(home: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    line += ["-m", "elo_cli", *LINE.split(), "--out", str(tmp_path / "run")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ELO_")}
    done = subprocess.run(
        line, cwd=home, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Pretrained") == 1
    assert hashes(tmp_path / "run", *ENCODER) == hashes(home / "whole", *ENCODER)


@pytest.mark.parametrize(
    ("options", "told", "code", "words"),
    [
        ("--processes 2 --gpus 2", {}, 2, "are both given"),
        ("--gpus 99", {}, 4, "--gpus 99: this machine has"),
        ("--gpus 1", {"CUDA_VISIBLE_DEVICES": ""}, 4, "--gpus 1: this machine has 0 GPUs"),
        ("--processes 0", {}, 2, "Input should be greater than or equal to 1"),
        ("--set pretrain.batch=5 --processes 2", {}, 2, "A batch of 5 clips cannot be divided among 2 processes."),
        ("--processes 2 --data nowhere", {}, 3, "nowhere"),
        ("", {"RANK": "3", "WORLD_SIZE": "2"}, 2, "The environment makes no sense: RANK=3, WORLD_SIZE=2."),
        ("", {"RANK": "one", "WORLD_SIZE": "2"}, 2, "The environment makes no sense"),
    ],
)
def test_what_cannot_begin_says_so(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, told: dict[str, str], code: int, words: str
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    found, _, complained = finish(start(f"{LINE} {options} --out {tmp_path / 'run'}", home))
    assert found == code, complained
    assert complained.count(words) == 1, "one process speaks"
    assert "How to mend it:" in complained or code == 2
    assert not (tmp_path / "run").exists()


def test_a_launcher_that_says_too_little_is_told(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in announcement(1, 2, free_port()).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR")
    code, _, complained = finish(start(f"{LINE} --out {tmp_path / 'run'}", home))
    assert code == 4, complained
    assert "Rank 1 of 2 cannot meet the others at None" in complained
