"""A warm start: every term alone, and then weights that follow what each was worth."""

import json
import shutil
from pathlib import Path

import pytest

from elo_cli.run.journal import Journal
from tests.support.commands import elo, hashes, write_home

LINE = "evolve --set search.warm_start=true --set search.rounds=1 --set search.rungs=2 --set search.reduction=2"


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_home(tmp_path_factory.mktemp("home"), 9)
    result = elo(f"{LINE} --strategy tournament --out one", folder)
    assert result.exit_code == 0, result.stderr
    return folder


def test_the_first_weights_rise_with_what_each_term_is_worth_alone(home: Path) -> None:
    singles = rows_of(home / "one" / "single-terms" / "evaluations.jsonl")
    assert [list(row["weights"].values()) for row in singles] == [[float(i == j) for j in range(4)] for i in range(4)]
    assert {row["steps"] for row in singles} == {1}
    first = list(rows_of(home / "one" / "evaluations.jsonl")[0]["weights"].values())
    scores = [row["score"] for row in singles]
    assert sorted(range(4), key=first.__getitem__) == sorted(range(4), key=scores.__getitem__)
    assert min(first) == pytest.approx(0.2) and max(first) == pytest.approx(0.8)


def test_what_was_found_alone_is_read_back(home: Path) -> None:
    kept = hashes(home / "one", "evaluations.jsonl", "single-terms/evaluations.jsonl")
    result = elo(f"{LINE} --strategy tournament --out one", home)
    assert result.exit_code == 0, result.stderr
    assert hashes(home / "one", "evaluations.jsonl", "single-terms/evaluations.jsonl") == kept


def test_the_status_speaks_of_the_single_terms_before_the_first_round(home: Path, tmp_path: Path) -> None:
    early = tmp_path / "early"
    shutil.copytree(home / "one" / "single-terms", early / "single-terms")
    Journal(early / "log.jsonl").append({"event": "start", "time": 1.0})
    told = json.loads(elo(f"evolve --status --json --out {early}", home).stdout)
    assert (told["state"], told["candidates"], told["of"], told["steps"]) == ("under way", 4, 4, 4)
    learning = tmp_path / "learning"
    learning.mkdir()
    Journal(learning / "log.jsonl").extend([{"event": "start", "time": 1.0}, {"event": "learning", "time": 2.0, "steps": 30}])
    assert "under way  learning weights, 30 steps" in " ".join(elo(f"evolve --status --out {learning}", home).stdout.split("\n"))
    Journal(learning / "log.jsonl").append({"event": "end", "time": 3.0})
    assert json.loads(elo(f"evolve --status --json --out {learning}", home).stdout)["state"] == "stopped"


def test_a_strategy_that_begins_nowhere_is_told_so(home: Path) -> None:
    result = elo(f"{LINE} --strategy random --out two", home)
    assert result.exit_code == 2 and "begins from no point" in result.stderr
    assert not (home / "two").exists()


def test_the_steps_before_are_counted(home: Path) -> None:
    plan = elo(f"{LINE} --strategy cma-es --dry-run --json", home)
    assert json.loads(plan.stdout)["steps"] == 4 * 1 + 3 * 1 + 2 * 1
