"""`elo fitness`: measures of features that elo or anybody else has made."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from elo_cli.cli.app import build
from elo_cli.cli.options import complete_measure
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive, numpy_generator
from elo_cli.fitness import SHELF, rankme, weak, zipf

MATRIX = numpy_generator(0, "features").standard_normal((60, 12)).astype(np.float32)
FEW = ("--set", "fitness.clusters=5", "--set", "fitness.runs=3")


def elo(*arguments: object) -> Any:
    return CliRunner().invoke(build(), [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with one plain file of features."""
    monkeypatch.chdir(tmp_path)
    np.save("features.npy", MATRIX)
    return tmp_path


def as_features(labels: tuple[str | None, ...] = (None,) * 60) -> Features:
    return Features(MATRIX, tuple(f"row {row + 1}" for row in range(60)), labels)


def test_all_measures_without_labels_the_guide_first() -> None:
    result = elo("fitness", "features.npy", *FEW, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert list(told["measures"]) == ["zipf", "alpha-req", "rankme"]
    assert (told["rows"], told["dimensions"], told["labelled"]) == (60, 12, 0)
    ours = zipf.measure(as_features(), seed=derive(0, "fitness"), clusters=5, runs=3)
    found = told["measures"]["zipf"]
    assert found["value"] == ours.value and found["score"] == -ours.value and found["larger_is_better"] is False
    assert found["details"] == ours.details
    assert told["measures"]["rankme"]["value"] == rankme.measure(as_features(), seed=0).value
    led = json.loads(elo("fitness", "features.npy", *FEW, "--json", "--set", "fitness.measure=rankme").stdout)
    assert list(led["measures"]) == ["rankme", "alpha-req", "zipf"]


def test_a_table_for_a_person() -> None:
    shown = elo("fitness", "features.npy", *FEW).stdout
    lines = {line.split()[0]: line for line in shown.splitlines() if line.split()}
    assert "smaller" in lines["zipf"] and "how near the clusters' sizes are to Zipf's law" in lines["zipf"]
    assert "smaller" in lines["zipf-paper"] and "the paper's letter" in lines["zipf-paper"]
    assert "larger" in lines["rankme"] and "how many directions the features fill" in lines["rankme"]
    assert "how fast the eigenvalues" in lines["alpha-req"]
    assert "60 rows × 12 features" in shown


def test_measures_are_chosen_and_every_one_says_what_it_is() -> None:
    (Path("labels.txt")).write_text("a\nb\n" * 30)
    named = [part for name in SHELF.names() for part in ("--measure", name)]
    result = elo("fitness", "features.npy", *FEW, *named, "--labels", "labels.txt")
    assert result.exit_code == 0, result.stderr
    for line in result.stdout.splitlines():
        if line.startswith(SHELF.names()):
            assert len(line.split("  ")[-1]) > 20
    again = elo("fitness", "features.npy", "--measure", "alpha_req", "--measure", "alpha-req", "--json")
    assert list(json.loads(again.stdout)["measures"]) == ["alpha-req"]


def test_weak_takes_labels_from_the_file_or_beside_it(here: Path) -> None:
    labels = tuple("ab"[row % 2] for row in range(60))
    (here / "elo" / "features").mkdir(parents=True)
    as_features(labels).save(here / "elo" / "features" / "features.safetensors")
    expected = weak.measure(as_features(labels), seed=derive(4, "fitness"), runs=3).value
    Path("labels.txt").write_text("\n".join(labels) + "\n")
    for source in ((), ("elo/features",), ("elo/features/features.safetensors",), ("features.npy", "--labels", "labels.txt")):
        result = elo("fitness", *source, "--measure", "weak", "--set", "fitness.runs=3", "--seed", 4, "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["measures"]["weak"]["value"] == expected
    assert "weak" not in elo("fitness", *FEW).stdout, "labels are looked at when they are asked for"
    bare = elo("fitness", "features.npy", "--measure", "weak")
    assert bare.exit_code == 3 and "none of 60 rows has one" in bare.stderr and "--labels" in bare.stderr


def test_too_few_rows_say_what_to_set() -> None:
    np.save("few.npy", MATRIX[:20])
    result = elo("fitness", "few.npy")
    assert result.exit_code == 2 and "fitness.clusters is 50" in result.stderr and "--set fitness.clusters=5" in result.stderr
    assert elo("fitness", "few.npy", "--set", "fitness.clusters=5").exit_code == 0


def test_collapsed_features_are_told_by_name() -> None:
    np.save("flat.npy", np.ones((60, 4)))
    result = elo("fitness", "flat.npy")
    assert result.exit_code == 0 and result.stdout.count("all rows are equal") == 3
    told = json.loads(elo("fitness", "flat.npy", "--json").stdout)["measures"]["zipf"]
    assert (told["value"], told["score"], told["collapsed"]) == (None, None, "all rows are equal")


def test_features_that_are_not_finite_are_refused() -> None:
    broken = MATRIX.copy()
    broken[[3, 7], 0] = np.nan
    np.save("broken.npy", broken)
    result = elo("fitness", "broken.npy")
    assert result.exit_code == 3 and "2 of 60 rows" in result.stderr and "row 4" in result.stderr


def test_wrong_words_are_answered() -> None:
    result = elo("fitness", "features.npy", "--measure", "ziph")
    assert result.exit_code == 2 and "Did you mean 'zipf'?" in result.stderr
    result = elo("fitness")
    assert result.exit_code == 3 and "elo extract-features" in result.stderr


def test_a_dry_run_measures_nothing() -> None:
    result = elo("fitness", "features.npy", "--dry-run", *FEW)
    assert result.exit_code == 0 and "zipf, alpha-req, rankme" in result.stdout and "value" not in result.stdout
    assert elo("fitness", "features.npy", "--dry-run", "--set", "fitness.clusters=61").exit_code == 2


def test_measures_complete() -> None:
    assert [word for word, _ in complete_measure("")] == list(SHELF.names())
    assert [word for word, _ in complete_measure("ra")] == ["rankme"]
