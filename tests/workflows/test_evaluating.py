"""Candidates on workers: the same journal however many there are, and whatever becomes of them."""

import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from elo_cli.workflows import replaying
from tests.support.commands import SETTINGS, elo, finish, hashes, kill_by_clock, start, write_films

KEPT = ("evaluations.jsonl", "best-loss.yaml", "leaderboard.*", "result.json")
SEARCHES = {"cma-es": "rungs: 2, reduction: 2, finalists: 0", "tournament": "pool: 4, contestants: 2, finalists: 1, repeats: 1"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preprocessed set, and settings of a search with checkpoints between."""
    folder = tmp_path_factory.mktemp("home")
    short = SETTINGS.replace("steps: 2, batch: 4}", "steps: 4, batch: 4, checkpoint_every: 1}")
    (folder / "elo.yaml").write_text(short)
    write_films(folder / "videos", 9)
    assert elo("preprocess videos", folder).exit_code == 0
    return folder


@pytest.fixture(scope="module", params=SEARCHES)
def search(request: pytest.FixtureRequest, home: Path) -> tuple[Path, str, Path]:
    """A working directory with one kind of search, its command line, and the directory of the undisturbed one."""
    folder = home.parent / request.param
    folder.mkdir()
    shutil.copytree(home / "elo", folder / "elo")
    usual, wanted = "rounds: 2, population: 3, finalists: 0", f"rounds: 2, population: 4, {SEARCHES[request.param]}"
    (folder / "elo.yaml").write_text((home / "elo.yaml").read_text().replace(usual, wanted))
    line = f"evolve --strategy {request.param}"
    result = elo(f"{line} --set search.workers=1 --out whole", folder)
    assert result.exit_code == 0, result.stderr
    return folder, line, folder / "whole"


def rows_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]


def test_the_journal_is_the_same_at_any_number_of_workers(search: tuple[Path, str, Path], tmp_path: Path) -> None:
    folder, line, whole = search
    result = elo(f"{line} --set search.workers=3 --out {tmp_path / 'three'}", folder)
    assert result.exit_code == 0, result.stderr
    assert hashes(tmp_path / "three", *KEPT) == hashes(whole, *KEPT)
    assert not (tmp_path / "three" / "candidates").exists()
    drawn = {path.stem for path in (tmp_path / "three" / "pictures").iterdir()}
    assert drawn >= {"best-loss", "fitness-by-round", "weights-by-round"}
    rungs = [row["rung"] for row in rows_of(whole)]
    assert rungs == ([0, 0, 0, 0, 1, 1] * 2 if "cma-es" in line else [0] * 9)


def test_the_status_says_how_far_a_search_is(search: tuple[Path, str, Path], tmp_path: Path) -> None:
    folder, _, whole = search
    for lines, state, candidates in ((None, "done", 8), (3, "under way", 3)):
        look = tmp_path / f"look{candidates}"
        shutil.copytree(whole, look)
        if lines is not None:
            (look / "result.json").unlink()
            for name, kept in (("evaluations.jsonl", lines), ("log.jsonl", 2)):
                text = (look / name).read_text().splitlines(keepends=True)
                (look / name).write_text("".join(text[:kept]))
        result = elo(f"evolve --status --json --out {look}", folder)
        assert result.exit_code == 0, result.stderr
        told = json.loads(result.stdout)
        assert (told["state"], told["candidates"], told["of"]) == (state, candidates, 8)
        assert told["best"]["score"] is not None and told["rounds"][0]["best"] is not None
        assert state in elo(f"evolve --status --out {look}", folder).stdout
    nothing = elo(f"evolve --status --out {tmp_path / 'none'}", folder)
    assert nothing.exit_code == 3 and "No search has begun" in nothing.stderr


def test_another_version_of_pycma_is_accepted_on_request(
    search: tuple[Path, str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, line, whole = search
    command = f"{line} --out {shutil.copytree(whole, tmp_path / 'out')}"
    before = replaying.library_of("cma-es")["cma"]
    monkeypatch.setattr(replaying, "version", lambda name: "9.9")
    refused = elo(command, folder)
    if "tournament" in line:  # it rests on no library
        assert refused.exit_code == 0, refused.stderr
        return
    assert refused.exit_code == 2 and f"began under cma {before}; installed is 9.9" in refused.stderr
    accepted = elo(f"{command} --accept-version", folder)
    assert accepted.exit_code == 0 and "proposes the 8 recorded candidates alike" in accepted.stderr
    assert hashes(tmp_path / "out", *KEPT) == hashes(whole, *KEPT)
    assert elo(command, folder).exit_code == 0  # it is bound to this one now


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at /proc")
def test_killed_at_random_moments_it_ends_with_the_same_leaderboard(search: tuple[Path, str, Path], tmp_path: Path) -> None:
    folder, line, whole = search
    out = tmp_path / "out"
    command = f"{line} --set search.workers=2 --out {out}"
    for _ in range(2):
        kill_by_clock(command, folder, out / "environment.json", within=8.0)
    assert elo(command, folder).exit_code == 0
    assert hashes(out, *KEPT) == hashes(whole, *KEPT)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are killed by it")
def test_a_worker_that_dies_costs_its_candidate_one_retry(home: Path, tmp_path: Path) -> None:
    line = "evolve --set search.workers=1 --set search.rounds=1 --out"
    assert elo(f"{line} {tmp_path / 'whole'}", home).exit_code == 0
    # A worker dies over what it measured of its second candidate; the one after it begins to count anew.
    code, _, complained = finish(start(f"{line} {tmp_path / 'out'}", home, die_at="os.rename:measured:2:KILL:alone"))
    assert code == 0, complained
    assert "its process was ended by SIGKILL" in complained and "It is tried once more" in complained
    assert hashes(tmp_path / "out", *KEPT) == hashes(tmp_path / "whole", *KEPT)


@pytest.mark.skipif(sys.platform != "linux", reason="workers are killed by it")
def test_a_candidate_whose_workers_die_twice_is_the_worst_by_name(home: Path, tmp_path: Path) -> None:
    line = f"proxy-search --candidates 1 --workers 1 --out {tmp_path / 'out'}"
    code, _, complained = finish(start(line, home, die_at="os.rename:measured:1:KILL:alone"))
    assert code == 1, complained
    assert "All 1 candidates failed; the last one broke off: its process was ended by SIGKILL" in complained
    [row] = rows_of(tmp_path / "out")
    assert row["score"] is None and "broke off" in row["collapsed"]


def test_a_candidate_that_diverges_is_tried_once_more_and_then_the_worst_by_name(home: Path, tmp_path: Path) -> None:
    wild = "--set proxy.lr=1e30 --set proxy.max_skipped=0 --set proxy.clip_norm=0 --set proxy.warmup=0"
    result = elo(f"proxy-search {wild} --candidates 2 --workers 1 --out {tmp_path / 'out'}", home)
    assert result.exit_code == 1
    assert "All 2 candidates failed; the last one diverged" in result.stderr
    assert result.stderr.count("It is tried once more") == 2
    assert all(row["collapsed"].startswith("diverged: ") for row in rows_of(tmp_path / "out"))


def test_a_candidate_that_does_not_move_is_broken_off(home: Path, tmp_path: Path) -> None:
    line = f"proxy-search --candidates 1 --workers 1 --set search.stalled_seconds=0.001 --out {tmp_path / 'out'}"
    result = elo(line, home)
    assert result.exit_code == 1
    assert "broke off: it took longer than 0.001 s" in result.stderr


def test_a_damaged_checkpoint_of_a_candidate_costs_its_training_only(search: tuple[Path, str, Path], tmp_path: Path) -> None:
    folder, line, whole = search
    command = f"{line} --set search.workers=1 --out {tmp_path / 'out'}"
    second = "candidates/000001/checkpoints"
    code, _, complained = finish(start(command, folder, die_at=f"os.rename:{second}/step-00000002.json:1"))
    assert code == -signal.SIGKILL, complained
    for path in (tmp_path / "out" / second).glob("*.json"):
        path.write_text("{}")
    result = elo(command, folder)
    assert result.exit_code == 0, result.stderr
    assert hashes(tmp_path / "out", *KEPT) == hashes(whole, *KEPT)
