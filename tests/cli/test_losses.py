"""`elo losses`: terms with their costs, and losses as pictures."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from elo_cli.cli.app import build

SMALL = ("--set", "pretrain.encoder.width=4", "--set", "pretrain.clip.size=16", "--set", "pretrain.clip.frames=4")


def elo(*arguments: object) -> Any:
    return CliRunner().invoke(build(), [str(argument) for argument in arguments])


@pytest.fixture
def loss(tmp_path: Path) -> Path:
    path = tmp_path / "my loss.yaml"
    path.write_text("rgb.reverse: 0.25\nflow-to-rgb.distill.3: 1.0\nrgb-audio.align: 0\n")
    return path


def test_every_term_is_listed_with_its_cost() -> None:
    result = elo("losses", *SMALL, "--set", "objective.modalities=[rgb,audio]", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["terms"]["rgb.reverse"]["views"] == ["rgb", "reversed rgb"]
    assert told["terms"]["rgb.predict"]["targets"] == ["future rgb"]
    assert told["passes"] == len({view for term in told["terms"].values() for view in term["views"]})
    shown = elo("losses", *SMALL, "--set", "objective.terms=[rgb.*]").stdout
    assert "rgb.reconstruct" in shown and "flow" not in shown and "need" in shown


def test_a_dry_run_lists_names_alone() -> None:
    result = elo("losses", "--dry-run", "--set", "objective.modalities=[rgb]")
    assert result.exit_code == 0 and "rgb.cluster" in result.stdout and "GFLOP" not in result.stdout


def test_a_loss_is_shown_in_words_and_as_a_picture(loss: Path) -> None:
    result = elo("losses", "show", loss)
    assert result.exit_code == 0, result.stderr
    assert "distill.3" in result.stdout and "1.00 █" in result.stdout and "0.25 ░" in result.stdout
    with Image.open(loss.with_suffix(".png")) as picture:
        assert picture.format == "PNG" and min(picture.size) > 100
    assert elo("losses", "show", loss).exit_code == 0, "a picture of our own is replaced"


def test_nothing_else_is_written_over(loss: Path) -> None:
    loss.with_suffix(".png").write_text("mine")
    result = elo("losses", "show", loss)
    assert result.exit_code == 2 and "it is left as it is" in result.stderr
    assert loss.with_suffix(".png").read_text() == "mine"


def test_the_picture_is_a_png_by_name(loss: Path) -> None:
    result = elo("losses", "show", loss, "--out", loss.parent / "x.jpg")
    assert result.exit_code == 2 and "Let it end in .png." in result.stderr


def test_a_task_that_is_none_is_said_and_small_weights_are_not_nothing(tmp_path: Path) -> None:
    path = tmp_path / "loss.yaml"
    path.write_text("rgb.revrse: 0.5\nrgb.shuffle: 1e-4\nrgb.reverse: 0.0\n")
    result = elo("losses", "show", path)
    assert result.exit_code == 0 and "there is no task called revrse" in result.stderr
    assert "1e-04" in result.stdout and "0.00" not in result.stdout


def test_a_dry_run_draws_nothing(loss: Path) -> None:
    assert elo("losses", "show", loss, "--dry-run", "--out", loss.parent / "x.png").exit_code == 0
    assert not list(loss.parent.glob("*.png"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no term"),
        ("rgb: 1\n", "'rgb' is not the name of a term"),
        ("rgb.reverse: 2\n", "loss.yaml: The weight of rgb.reverse is 2"),
        (f"rgb.reverse: {'9' * 400}\n", "The weight of rgb.reverse is 999"),
        ("rgb.distill.03: 1\n", "'rgb.distill.03' is not the name of a term"),
    ],
)
def test_what_is_no_loss_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "loss.yaml").write_text(text)
    result = elo("losses", "show", tmp_path / "loss.yaml")
    assert result.exit_code == 2 and message in result.stderr


def test_a_missing_loss_is_named(tmp_path: Path) -> None:
    result = elo("losses", "show", tmp_path / "none.yaml")
    assert result.exit_code == 2 and "There is no loss file" in result.stderr
