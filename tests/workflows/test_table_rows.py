"""Rows of Table 1 that elo trains: which losses they are, and when they cannot be trained."""

from pathlib import Path

import pytest

from elo_cli.config import resolve
from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.settings import Settings
from elo_cli.workflows import paper_figures
from elo_cli.workflows.table_rows import ROWS, check_rows, losses_of
from tests.workflows.test_loss_choice import write_search


def settings_of(folder: Path, *changes: str) -> Settings:
    return resolve("demo", None, [f"workspace={folder}", *changes], 0)


def test_every_row_is_one_of_the_paper() -> None:
    check_rows(ROWS)
    assert set(ROWS) <= set(paper_figures.names_of_rows())
    with pytest.raises(UsageError, match="no row called 'predct'") as caught:
        check_rows(("random", "predct"))
    assert "predict" in caught.value.hint


def test_a_row_is_one_task_or_many_random_losses(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "benchmark.random_losses=3")
    assert losses_of("predict", settings) == {"predict": "rgb.predict"}
    assert losses_of("joint-embedding", settings) == {"joint-embedding": "*.embed"}
    assert losses_of("random", settings) == {f"random-{number}": f"random:{number}" for number in range(3)}


def test_the_rows_of_a_search_take_its_newest_loss(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    for row, words in (("elo", "elo evolve"), ("elo-weak", "fitness.measure=weak")):
        with pytest.raises(DataError, match=f"The row {row} is the best loss of a search") as caught:
            losses_of(row, settings)
        assert words in caught.value.hint
    first = write_search(tmp_path / "evolve")
    weak = write_search(tmp_path / "evolve-2", "weak")
    assert losses_of("elo", settings) == {"elo": str(first / "best-loss.yaml")}
    assert losses_of("elo-weak", settings) == {"elo-weak": str(weak / "best-loss.yaml")}
    newest = write_search(tmp_path / "evolve-10")
    assert losses_of("elo", settings) == {"elo": str(newest / "best-loss.yaml")}
