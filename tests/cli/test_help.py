"""Tests of the help: an example for each command, plain off a terminal, and nothing heavy loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from elo_cli.cli.app import build

ROOT = Path(__file__).parents[2]
COMMANDS = (
    (),
    ("demo",),
    ("preprocess",),
    ("proxy-search",),
    ("evolve",),
    ("pretrain",),
    ("extract-features",),
    ("benchmark",),
    ("fitness",),
    ("export",),
    ("doctor",),
    ("dataset",),
    ("dataset", "info"),
    ("dataset", "verify"),
    ("dataset", "sample"),
    ("losses",),
    ("losses", "show"),
    ("presets",),
    ("presets", "show"),
    ("presets", "copy"),
)
HEAVY = ("torch", "pydantic", "numpy", "scipy", "sklearn", "av", "cv2", "cma", "matplotlib", "elo_cli.workflows")
PROBE = f"""
import sys
from elo_cli.cli.app import main
sys.argv = ["elo", *sys.argv[1:], "--help"]
try:
    main()
except SystemExit as leaving:
    assert not leaving.code, leaving.code
loaded = [name for name in {HEAVY!r} if name in sys.modules]
print("loaded:", loaded, file=sys.stderr)
"""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "elo")
def test_help_is_plain_and_gives_an_example(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(build(), [*command, "--help"])
    assert result.exit_code == 0 and result.stderr == ""
    assert f"Example: {' '.join(('elo', *command[:1]))}" in result.stdout
    assert result.stdout.isascii()  # neither boxes nor colours
    assert "..." not in result.stdout.partition("Commands:")[2]  # no summary is cut short


@pytest.mark.parametrize("command", COMMANDS[1:8], ids=lambda command: command[0])
def test_every_long_command_has_the_shared_options(command: tuple[str, ...]) -> None:
    text = CliRunner().invoke(build(), [*command, "--help"]).stdout
    shared = "--preset --config --set --seed --dry-run --json --resume --fresh --debug --print-settings"
    assert [option for option in shared.split() if option not in text] == []


def test_elo_alone_shows_the_help_and_completion_stays() -> None:
    result = CliRunner().invoke(build(), [])
    assert result.exit_code == 2 and "Commands:" in result.stdout and result.stderr == ""
    assert "--install-completion" in result.stdout and "--show-completion" in result.stdout
    assert CliRunner().invoke(build(), ["--version"]).stdout.startswith("elo ")


@pytest.mark.parametrize(
    "command",
    [(), ("evolve",), ("export",), ("doctor",), ("dataset",), ("dataset", "sample"), ("presets",), ("presets", "copy")],
    ids=lambda command: " ".join(command) or "elo",
)
def test_help_loads_nothing_heavy(command: tuple[str, ...]) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", PROBE, *command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0 and done.stderr == "loaded: []\n" and "Example:" in done.stdout
