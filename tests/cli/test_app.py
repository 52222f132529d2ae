"""Tests of the command line: what reaches a workflow, what comes out, and with which exit code."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

from elo_cli import config
from elo_cli.cli.app import build
from elo_cli.core.errors import DataError, EloError, MachineError, Stopped
from elo_cli.core.strict_yaml import load_yaml
from elo_cli.workflows.events import Outcome, Table

ROOT = Path(__file__).parents[2]
DONE = Outcome({"score": float("nan")}, [Table("Scores", ["name", "value"], [["a", "1"]])], {"log": "log.jsonl"}, "elo pretrain")


class Desk:
    """A stand-in workflow that remembers what it was asked, in place of one that takes minutes."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.act: Callable[[dict[str, Any]], Outcome] = lambda given: DONE

    def plan(self, **given: Any) -> Outcome:
        self.asked.append(("plan", given))
        return self.act(given)

    def run(self, **given: Any) -> Outcome:
        self.asked.append(("run", given))
        return self.act(given)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Every workflow, replaced by one desk; and two presets."""
    root = tmp_path / "checkout"
    (root / "presets").mkdir(parents=True)
    (root / "pyproject.toml").touch()
    (root / "presets" / "small.yaml").write_text("# elo all\n# a small run. Quick.\npretrain: {steps: 20}\n")
    (root / "presets" / "demo.yaml").write_text("# elo demo\n# a look around\npretrain: {steps: 3}\n")
    monkeypatch.setattr(config, "_PACKAGE", root / "elo_cli")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in [name for name in os.environ if name.startswith("ELO_")]:
        monkeypatch.delenv(name)
    desk = Desk()
    for verb in ("preprocess", "evolve", "proxy_search", "pretrain", "extract", "benchmark", "demo"):
        module = ModuleType(f"elo_cli.workflows.{verb}")
        module.plan, module.run = desk.plan, desk.run  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return desk


def elo(*arguments: str, **environment: str) -> Any:
    return CliRunner(env=environment).invoke(build(), arguments)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "preprocess films --out o --part 2/3 --retry-failed --root r",
            {"source": Path("films"), "out": Path("o"), "root": Path("r"), "part": "2/3", "retry": True, "check": False},
        ),
        ("evolve --data d", {"data": Path("d"), "out": None}),
        ("proxy-search", {"data": None, "out": None}),
        ("pretrain --loss uniform", {"data": None, "loss": "uniform", "out": None}),
        ("extract-features", {"source": None, "encoder": None, "out": None}),
        ("extract-features a.csv --encoder e", {"source": Path("a.csv"), "encoder": Path("e"), "out": None}),
        (
            "benchmark ucf101 --root r --encoder a=x --encoder y --features z",
            {"dataset": "ucf101", "root": Path("r"), "encoders": ["a=x", "y"], "features": ["z"], "table": None, "out": None},
        ),
        ("demo --videos v", {"videos": Path("v"), "out": None}),
    ],
)
def test_each_command_hands_over_what_was_typed(desk: Desk, line: str, expected: dict[str, Any]) -> None:
    assert elo(*line.split()).exit_code == 0
    [(act, given)] = desk.asked
    assert act == "run" and given.pop("fresh") is False
    del given["settings"], given["watch"]
    assert given == expected


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("evolve --strategy random --seed 4", {"search.strategy": "random", "seed": 4}),
        ("evolve --accept-version", {"search.accept_version": True}),
        ("proxy-search --strategy grid --candidates 9", {"proxy_search.strategy": "grid", "proxy_search.candidates": 9}),
        ("benchmark x --allow-incomplete", {"benchmark.allow_incomplete": True}),
        (
            "benchmark x --protocol knn --protocol linear --row elo",
            {"benchmark.protocols": ["knn", "linear"], "benchmark.rows": ["elo"]},
        ),
        ("pretrain --preset small --set pretrain.lr=1e-4", {"pretrain.steps": 20, "pretrain.lr": 1e-4}),
        ("demo", {"pretrain.steps": 3}),
        ("demo --preset small", {"pretrain.steps": 20}),
    ],
)
def test_options_become_settings(desk: Desk, line: str, changed: dict[str, Any]) -> None:
    assert elo(*line.split()).exit_code == 0
    assert config.changes(desk.asked[0][1]["settings"]) == changed


def test_the_environment_stands_in_for_options(desk: Desk) -> None:
    assert elo("pretrain", ELO_PRESET="small", ELO_SEED="5", ELO_SHARDS="d").exit_code == 0
    assert config.changes(desk.asked[0][1]["settings"]) == {"pretrain.steps": 20, "seed": 5}
    assert desk.asked[0][1]["data"] == Path("d")


def test_a_dry_run_plans_and_fresh_is_passed_on(desk: Desk) -> None:
    result = elo("evolve", "--dry-run", "--fresh", "--seed", "3")
    assert desk.asked[0][0] == "plan" and desk.asked[0][1]["fresh"] is True and "watch" not in desk.asked[0][1]
    assert "  seed: 3\n" in result.stdout and "nothing is written" in result.stderr


def test_the_settings_are_printed_and_nothing_runs(desk: Desk) -> None:
    result = elo("evolve", "--print-settings", "--set", "seed=3")
    assert load_yaml(result.stdout, "settings")["seed"] == 3 and desk.asked == []
    assert json.loads(elo("evolve", "--print-settings", "--json").stdout)["seed"] == 0


def test_json_is_one_document_and_nothing_else(desk: Desk) -> None:
    def act(given: dict[str, Any]) -> Outcome:
        given["watch"].start("training", 3, "step")
        given["watch"].note("resuming")
        given["watch"].finish("training")
        return DONE

    desk.act = act
    result = elo("evolve", "--json")
    assert json.loads(result.stdout) == {"score": None} and "resuming" in result.stderr
    assert json.loads(elo("evolve", "--json", "--debug").stdout) == {"score": None}


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("There are no videos.", hint="Make some."), 3, "Error: There are no videos.\nHow to mend it: Make some.\n"),
        (MachineError("No GPU."), 4, "Error: No GPU.\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/full"), 74, "Error: /full: No space left on device.\n"),
        (MemoryError(), 4, "Error: Memory ran out.\n"),
        (ZeroDivisionError("division\nby zero"), 1, "This is a bug in elo: ZeroDivisionError: division by zero\n"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "This is a bug in elo: RuntimeError: a pipe inside the workflow"),
        (EOFError(), 1, "This is a bug in elo: RuntimeError: a pipe inside the workflow"),
        (KeyboardInterrupt(), 130, "How to mend it: Go on with: elo evolve --set 'workspace=a b'\n"),
        (Stopped("Stopped."), 75, "How to mend it: Go on with: elo evolve --set 'workspace=a b'\n"),
        (Stopped("Stopped.", hint="Go on otherwise."), 75, "How to mend it: Go on otherwise.\n"),
        (EloError("\x1b[2J[bold]x\nError: y"), 1, "Error: \\x1b[2J[bold]x\n  Error: y\n"),
    ],
)
def test_each_error_has_its_words_and_its_exit_code(desk: Desk, error: BaseException, code: int, said: str) -> None:
    def act(given: dict[str, Any]) -> Outcome:
        raise error

    desk.act = act
    result = elo("evolve", "--fresh", "--set", "workspace=a b")
    assert result.exit_code == code and said in result.stderr and result.stdout == ""
    assert "Traceback" not in result.stderr
    for way in (("evolve", "--debug"), ("--debug", "evolve")):
        assert "Traceback" in elo(*way).stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("evolv", "No such command 'evolv'. Did you mean 'evolve'?"),
        ("presets shwo", "No such command 'shwo'. Did you mean 'show'?"),
        ("evolve --preste x", "No such option: --preste. Did you mean '--preset'?"),
        ("evolve --preset smal", "Did you mean 'small'?"),
        ("evolve --set pretrain.step=1", "Did you mean 'pretrain.steps'?"),
        ("evolve --seed x", "Invalid value for '--seed'"),
        ("evolve --seed -1", "seed is -1 (--seed)"),
        ("benchmark", "No data set is named."),
        ("benchmark hmdb51 --repeat result.json", "--repeat takes everything from the result."),
        ("proxy-search --candidates 0", "proxy_search.candidates is 0"),
    ],
)
def test_typing_errors_leave_with_2_and_name_the_nearest(desk: Desk, line: str, said: str) -> None:
    result = elo(*line.split())
    assert result.exit_code == 2 and said in result.stderr and result.stdout == "" and desk.asked == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75), (signal.SIGUSR1, 75)])
def test_a_signal_stops_the_work_where_it_is_safe(desk: Desk, number: int, code: int) -> None:
    before = signal.getsignal(number)
    steps = []

    def act(given: dict[str, Any]) -> Outcome:
        os.kill(os.getpid(), number)
        steps.append("saved")
        given["watch"].check()
        raise AssertionError("went on")

    desk.act = act
    result = elo("evolve", "--fresh", "--seed", "1")
    assert result.exit_code == code and steps == ["saved"]
    assert "Stopped at your request; what is done is saved." in result.stderr
    assert "Go on with: elo evolve --seed 1\n" in result.stderr  # --fresh would begin anew
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_stops_at_once(desk: Desk) -> None:
    def act(given: dict[str, Any]) -> Outcome:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("went on")

    desk.act = act
    result = elo("evolve")
    assert result.exit_code == 130 and "Stopped at once" in result.stderr


def test_presets_are_listed_shown_and_copied(desk: Desk) -> None:
    assert elo("presets").stdout == "demo   a look around\nsmall  a small run\n"
    assert json.loads(elo("presets", "--json").stdout) == {
        "demo": "elo demo\na look around",
        "small": "elo all\na small run. Quick.",
    }
    text = "# elo all\n# a small run. Quick.\npretrain: {steps: 20}\n"
    assert elo("presets", "show", "small").stdout == text
    assert elo("presets", "copy", "small").exit_code == 0 and Path("small.yaml").read_text() == text
    Path("small.yaml").write_text("mine")
    result = elo("presets", "copy", "small")
    assert result.exit_code == 2 and "there already" in result.stderr and Path("small.yaml").read_text() == "mine"
    assert elo("presets", "copy", "small", "absent/x.yaml").exit_code == 74
    assert "Did you mean 'small'?" in elo("presets", "show", "smal").stderr


def complete(words: str) -> list[str]:
    count = str(len(words.split(" ")) - 1)
    environment = {"_ELO_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": count}
    return str(CliRunner(env=environment).invoke(build(), ()).stdout).split()


def test_commands_presets_settings_strategies_and_data_sets_complete(desk: Desk) -> None:
    assert complete("elo ev") == ["evolve"]
    assert complete("elo evolve --preset ") == ["demo", "small"]
    assert complete("elo pretrain --set pretrain.st") == ["pretrain.steps="]
    assert complete("elo evolve --strategy cma") == ["cma-es"]
    assert "hmdb51" in complete("elo benchmark ")


def start(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("env", {})
    command = [sys.executable, "-m", "elo_cli", *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, env=environment, check=False, **options)


def test_a_closed_pipe_ends_quietly() -> None:
    for arguments in (("evolve", "--print-settings"), ("--help",), ("evolve", "--help")):
        reading, writing = os.pipe()
        os.close(reading)
        ended = start(*arguments, stdout=writing)
        os.close(writing)
        assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_full_disk_behind_stdout_is_told() -> None:
    with open("/dev/full", "wb") as full:
        ended = start("evolve", "--print-settings", stdout=full)
    assert ended.returncode == 74 and ended.stderr.startswith(b"Error: No space left on device.")


def test_an_ascii_terminal_and_a_strange_argument_do_not_crash(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\x1b[2J") + "λ"
    ended = start("evolve", "--preset", name, cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert ended.returncode == 2 and rb"'\xff\x1b[2J\u03bb'" in ended.stderr
