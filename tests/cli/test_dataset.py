"""Tests of `elo dataset`: what reaches the workflows, and what damage does to the exit code."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from elo_cli.cli.app import build
from elo_cli.core.settings import Settings
from elo_cli.workflows import dataset_info, dataset_sample, dataset_verify
from elo_cli.workflows.events import Outcome
from tests.support.known_sets import flip, tensor_at, video, write_shard


def elo(*arguments: str, **environment: str) -> Any:
    return CliRunner(env=environment).invoke(build(), arguments)


@pytest.mark.parametrize(
    ("line", "module", "expected"),
    [
        ("dataset info", dataset_info, {"data": None}),
        ("dataset info d", dataset_info, {"data": Path("d")}),
        ("dataset verify d", dataset_verify, {"data": Path("d")}),
        ("dataset sample", dataset_sample, {"data": None, "clips": 8, "motion": False, "out": None}),
        (
            "dataset sample d --clips 24 --motion --out o.png",
            dataset_sample,
            {"data": Path("d"), "clips": 24, "motion": True, "out": Path("o.png")},
        ),
    ],
)
@pytest.mark.parametrize("act", ["run", "plan"])
def test_each_command_hands_over_what_was_typed(
    monkeypatch: pytest.MonkeyPatch, line: str, module: Any, expected: dict[str, Any], act: str
) -> None:
    asked = []
    monkeypatch.setattr(module, act, lambda **given: (asked.append(given), Outcome({"n": 1}))[1])
    monkeypatch.delenv("ELO_SHARDS", raising=False)
    assert elo(*line.split(), "--set", "workspace=w", *(["--dry-run"] if act == "plan" else [])).exit_code == 0
    [given] = asked
    settings = given.pop("settings")
    assert isinstance(settings, Settings) and settings.workspace == "w"
    assert (given.pop("watch", None) is not None) == (act == "run")
    assert given == expected


def test_the_environment_names_the_set(tmp_path: Path) -> None:
    write_shard(tmp_path, "s", {"a": video()})
    for command in ("info", "verify", "sample"):
        result = elo("dataset", command, "--json", ELO_SHARDS=str(tmp_path))
        assert result.exit_code == 0 and json.loads(result.stdout)["data"] == str(tmp_path), command
    assert (tmp_path / "contact-sheet.png").is_file()


def test_damage_is_shown_and_leaves_with_3(tmp_path: Path) -> None:
    path = write_shard(tmp_path, "s", {"a\x1b[2J.mp4": video()})
    assert "Every shard is whole." in elo("dataset", "verify", str(tmp_path)).stdout
    flip(path, tensor_at(path, "0.flow"))
    result = elo("dataset", "verify", str(tmp_path))
    assert result.exit_code == 3 and r"flow of a\x1b[2J.mp4 at 0 s" in result.stdout
    assert "is damaged in 1 file: shards/s.safetensors." in result.stderr and "How to mend it: Delete" in result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    result = elo("dataset", "verify", str(tmp_path), "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 3 and found["whole"] is False and found["damaged"][0]["tensors"][0]["tensor"] == "0.flow"


def test_the_group_alone_shows_its_commands_and_wrong_use_is_told() -> None:
    result = elo("dataset")
    assert result.exit_code == 2 and "verify" in result.stdout and result.stderr == ""
    assert "Did you mean 'verify'?" in elo("dataset", "verfy").stderr
    assert elo("dataset", "sample", "--clips", "25").exit_code == 2
    result = elo("dataset", "verify", "absent")
    assert result.exit_code == 3 and result.stdout == "" and "absent is not a preprocessed set" in result.stderr
