"""The file name is the key; names come without heavy imports; wrong names are answered with the nearest."""

import subprocess
import sys
from pathlib import Path

import pytest

from elo_cli.core.errors import UsageError
from elo_cli.core.shelf import Shelf, suggest

TASKS, STRATEGIES = Shelf("elo_cli.tasks", "task"), Shelf("elo_cli.strategies", "strategy")


def test_names_are_the_files() -> None:
    own = {"align", "distill", "embed", "predict", "reconstruct", "reverse", "shuffle", "transfer"}
    assert own <= set(TASKS.names())
    assert list(TASKS.names()) == sorted(TASKS.names())


def test_dashes_and_underscores_are_the_same() -> None:
    encoders = Shelf("elo_cli.encoders", "encoder")
    assert "audio-resnet" in encoders.names()
    assert encoders.take("audio-resnet") is encoders.take("audio_resnet")


def test_a_wrong_name_is_answered_with_the_nearest_and_the_list() -> None:
    with pytest.raises(UsageError, match="no task called 'revers'") as caught:
        TASKS.take("revers")
    assert "Did you mean 'reverse'?" in caught.value.hint and "shuffle" in caught.value.hint


@pytest.mark.parametrize("name", ["", ".", "..", "reverse.terms", "__init__", "../nets"])
def test_no_name_leads_off_the_shelf(name: str) -> None:
    with pytest.raises(UsageError):
        TASKS.take(name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "ModuleNotFoundError"),
        ("import nothere", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("(", "SyntaxError"),
    ],
)
def test_a_broken_plug_in_is_named(content: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = tmp_path / "guest-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[elo_cli.tasks]\nbroken = broken_{said.lower()}\n")
    if content is not None:
        (tmp_path / f"broken_{said.lower()}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    assert "broken" in TASKS.names()
    with pytest.raises(UsageError, match=f"The task 'broken' of guest cannot be loaded: broken_.*{said}") as caught:
        TASKS.take("broken")
    assert caught.value.hint == "Mend or uninstall guest."
    assert TASKS.take("reverse")


def test_a_plug_in_with_the_name_of_one_of_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = tmp_path / "guest-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[elo_cli.strategies]\ncma-es = guest\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="guest has a strategy called 'cma-es', which is the name of one of elo's own"):
        STRATEGIES.names()


def test_suggestions_are_bounded() -> None:
    assert suggest("x", ["a"]) == "There is: a."
    assert suggest("n7", [f"n{number}" for number in range(100)]).endswith(", ….")


def test_names_are_listed_without_torch() -> None:
    names = "from elo_cli.core.shelf import Shelf; Shelf('elo_cli.strategies', 's').names()"
    code = f"import sys; {names}; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
