"""Runs whose losses stop being numbers: said, counted, ended with their state saved, and going on again."""

import json
from pathlib import Path

import pytest

from tests.support.commands import SETTINGS, elo, files, write_films

WILD = "pretrain --loss uniform --set pretrain.optimizer=sgd --set pretrain.lr=1e30 --set pretrain.clip_norm=0"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with settings and a preprocessed set."""
    folder = tmp_path_factory.mktemp("wild")
    (folder / "elo.yaml").write_text(SETTINGS)
    write_films(folder / "videos", 8)
    result = elo("preprocess videos", folder)
    assert result.exit_code == 0, result.stderr
    return folder


def journal(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_what_is_no_number_is_told_and_journaled(home: Path) -> None:
    result = elo(f"{WILD} --set pretrain.max_skipped=100 --out all", home)
    assert result.exit_code == 0, result.stderr
    assert "no finite number, on clips of" in result.stderr
    steps = [line for line in journal(home / "all") if "step" in line]
    assert any(line.get("skipped") for line in steps) and steps[-1]["step"] == 8
    assert json.loads((home / "all" / "result.json").read_text())["steps"] == 8


def test_too_many_end_the_run_with_its_state_saved(home: Path) -> None:
    for attempt in range(2):  # the second goes on from what the first saved, and ends at once
        result = elo(f"{WILD} --set pretrain.max_skipped=2 --out few", home)
        assert result.exit_code != 0 and "is no finite number at step" in result.stderr and "a lower lr" in result.stderr
        assert "Traceback" not in result.stderr
        assert ("Going on from step" in result.stderr) == bool(attempt)
    assert [name for name in files(home / "few") if name.startswith("checkpoints/")]
    steps = [line for line in journal(home / "few") if line.get("skipped")]
    assert steps, "the step that ended it is journaled"
    result = elo(f"{WILD} --set pretrain.max_skipped=100 --out few", home)  # it may be allowed to go on
    assert result.exit_code == 0, result.stderr


def test_the_first_step_is_saved_too(home: Path) -> None:
    result = elo(f"{WILD} --set pretrain.max_skipped=0 --out none", home)
    assert result.exit_code == 1 and "is no finite number at step" in result.stderr
    assert [name for name in files(home / "none") if name.startswith("checkpoints/")]
