"""A search whose candidates train on a Ray cluster: the same journal, and what is lost is tried again."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.executors.conftest import WITHOUT_RAY
from tests.support.commands import SETTINGS, elo, finish, hashes, start, write_films

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason=WITHOUT_RAY),
    pytest.mark.skipif(sys.platform != "linux", reason="workers are killed by a signal"),
]
KEPT = ("evaluations.jsonl", "best-loss.yaml", "leaderboard.*", "result.json")
ON_CPU = "--set machine.device=cpu"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preprocessed set, and a search of it by one worker of this machine, in `whole`."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "elo.yaml").write_text(SETTINGS.replace("rounds: 2", "rounds: 1"))
    write_films(folder / "videos", 9)
    assert elo("preprocess videos", folder).exit_code == 0
    result = elo(f"evolve --workers 1 {ON_CPU} --out whole", folder)
    assert result.exit_code == 0, result.stderr
    return folder


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("cluster")
def test_the_journal_is_that_of_one_worker_of_this_machine(home: Path, tmp_path: Path) -> None:
    result = elo(f"evolve --engine ray {ON_CPU} --out {tmp_path / 'out'}", home)
    assert result.exit_code == 0, result.stderr
    assert hashes(tmp_path / "out", *KEPT) == hashes(home / "whole", *KEPT)
    log = log_of(tmp_path / "out")
    assert [row["workers"] for row in log if row.get("event") == "search"] == [2]  # the processors of the cluster
    assert {row["device"] for row in log if "device" in row} == {"cpu"}


@pytest.mark.usefixtures("cluster")
def test_where_the_cluster_has_gpus_a_candidate_uses_the_one_that_it_is_given(home: Path, tmp_path: Path) -> None:
    """The two GPUs of this cluster are not there."""
    result = elo(f"evolve --engine ray --workers-per-device 3 --dry-run --json --out {tmp_path / 'out'}", home)
    assert json.loads(result.stdout)["workers"] == 2, result.stderr  # two processors; six would share the GPUs
    result = elo(f"evolve --engine ray --set search.gpus_per_candidate=0.5 --out {tmp_path / 'out'}", home)
    assert result.exit_code != 0 and "The device 'cuda:0' cannot be used" in result.stderr
    refused = elo(f"evolve --engine ray --set search.gpus_per_candidate=3 --out {tmp_path / 'out'}", home)
    assert "No machine of the cluster has room for a candidate, which asks for 1 CPU and 3 GPUs" in refused.stderr


@pytest.mark.parametrize(
    ("how", "words"),
    [("KILL:alone", "its process was ended by SIGKILL"), ("KILL", "its Ray actor died")],
    ids=["worker", "actor"],
)
def test_what_is_killed_costs_its_candidate_one_retry(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, words: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    line = f"evolve --engine ray --workers 1 {ON_CPU} --out {tmp_path / 'out'}"
    # A worker dies over what it measured of its second candidate; the one after it begins to count anew.
    code, _, complained = finish(start(line, home, die_at=f"os.rename:measured:2:{how}"))
    assert code == 0, complained
    assert words in complained and complained.count("It is tried once more") == 2
    assert hashes(tmp_path / "out", *KEPT) == hashes(home / "whole", *KEPT)
