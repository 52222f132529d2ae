"""Whatever ends a command, the same command again comes to the same bytes as one that nobody disturbed.

Each stage is killed several times in one directory, at moments counted by what it does to its files
and once by the clock, and then runs to its end.
"""

import json
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.support.commands import SETTINGS, elo, finish, hashes, kill_by_clock, processes_in, start, wait_for, write_films

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks at /proc")

PREPROCESS, EVOLVE, PRETRAIN = "preprocess videos", "evolve --strategy cma-es", "pretrain"
SHARDS = ("shards/*", "result.json", "plan.jsonl")
SEARCH = ("evaluations.jsonl", "best-loss.yaml", "leaderboard.json", "leaderboard.csv", "result.json", "settings.yaml")
ENCODER = ("encoder.safetensors", "encoder.json", "result.json", "loss.yaml", "checkpoints/*")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory whose stages ran undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "elo.yaml").write_text(
        SETTINGS.replace("videos_per_shard: 3", "videos_per_shard: 2").replace("steps: 8", "steps: 40")
    )
    write_films(folder / "videos", 9)
    (folder / "videos" / "09-broken.mp4").write_bytes(b"\0" * 500)
    for line in (PREPROCESS, EVOLVE, PRETRAIN):
        result = elo(line, folder)
        assert result.exit_code == 0, result.stderr
    return folder


def copy(whole: Path, folder: Path, *stages: str) -> Path:
    """Make a working directory with the same videos and the earlier stages done."""
    for name in ("elo.yaml", "videos", *(f"elo/{stage}" for stage in stages)):
        source = whole / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    return folder


def kill(line: str, folder: Path, die_at: str) -> None:
    """Run a command into its `kill -9`; nothing of it may live on."""
    code, _, complained = finish(start(line, folder, die_at=die_at))
    assert code == -signal.SIGKILL, complained
    wait_for(lambda: not processes_in(folder), 10)


def test_a_killed_preprocess_goes_on(whole: Path, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path)
    dataset = folder / "elo" / "dataset"
    command = f"{PREPROCESS} --set preprocess.workers=2"
    plan = [json.loads(line)["shard"] for line in (whole / "elo" / "dataset" / "plan.jsonl").read_text().splitlines()]
    kill(command, folder, f"os.rename:{plan[1]}:1")  # its bytes are written, its name is not
    assert not (dataset / "shards" / plan[1]).exists()
    assert list(dataset.glob("shards/*.part"))
    kill_by_clock(command, folder, dataset / "environment.json")
    kill(command, folder, "os.rename:result.json:1")  # all shards are there, the count is not
    assert elo(PREPROCESS, folder).exit_code == 0
    assert hashes(dataset, *SHARDS) == hashes(whole / "elo" / "dataset", *SHARDS)
    assert not list(dataset.rglob("*.part"))


def test_a_killed_search_goes_on(whole: Path, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path, "dataset")
    evolve = folder / "elo" / "evolve"
    kill(EVOLVE, folder, "open:evaluations.jsonl:3")  # one line is there, and another about to be
    lines = (evolve / "evaluations.jsonl").read_bytes().splitlines()
    assert 1 <= len(lines) < 6
    with open(evolve / "evaluations.jsonl", "ab") as stream:
        stream.write(lines[0][:40])  # a write that the kill cut short
    kill_by_clock(EVOLVE, folder, evolve / "environment.json")
    kill(EVOLVE, folder, "os.rename:best-loss.yaml:1")
    assert not (evolve / "best-loss.yaml").exists()
    assert elo("pretrain", folder).exit_code == 3  # a search that is not done is none
    assert elo(EVOLVE, folder).exit_code == 0
    assert hashes(evolve, *SEARCH) == hashes(whole / "elo" / "evolve", *SEARCH)


def test_a_killed_training_goes_on(whole: Path, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path, "dataset", "evolve")
    pretrain = folder / "elo" / "pretrain"
    kill(PRETRAIN, folder, "os.rename:checkpoints/step-00000004.json:1")  # tensors without their manifest
    assert (pretrain / "checkpoints" / "step-00000002.json").exists()
    kill_by_clock(PRETRAIN, folder, pretrain / "environment.json")
    kill(PRETRAIN, folder, "os.rename:encoder.json:1")  # an encoder without its card
    assert elo(PRETRAIN, folder).exit_code == 0
    assert hashes(pretrain, *ENCODER) == hashes(whole / "elo" / "pretrain", *ENCODER)


def test_a_preprocess_whose_workers_get_the_signal_too_blames_no_video(whole: Path, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path)
    dataset = folder / "elo" / "dataset"
    # As service managers and clusters stop a job: every process of it is told, a worker in the midst of a shard too.
    found, said, complained = finish(start(PREPROCESS, folder, die_at="os.rename:.safetensors:3:TERM"))
    assert found == 75, complained
    assert f"elo {PREPROCESS}" in complained and said == ""
    wait_for(lambda: not processes_in(folder), 10)
    assert not (dataset / "result.json").exists()
    assert elo(PREPROCESS, folder).exit_code == 0
    assert hashes(dataset, *SHARDS) == hashes(whole / "elo" / "dataset", *SHARDS)


def test_a_search_that_is_asked_to_stop_goes_on(whole: Path, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path, "dataset")
    evolve = folder / "elo" / "evolve"
    found, _, complained = finish(start(EVOLVE, folder, die_at="open:evaluations.jsonl:3:USR1"))
    assert found == 75, complained
    assert f"elo {EVOLVE}" in complained
    assert not (evolve / "result.json").exists()
    assert elo(EVOLVE, folder).exit_code == 0
    assert hashes(evolve, *SEARCH) == hashes(whole / "elo" / "evolve", *SEARCH)


def test_a_training_that_is_asked_to_stop_saves_and_says_how_to_go_on(whole: Path, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path, "dataset", "evolve")
    pretrain = folder / "elo" / "pretrain"
    rare = f"{PRETRAIN} --set pretrain.checkpoint_every=100000"  # so that no checkpoint but that of the signal is there
    for step, name, code in ((1, "TERM", 75), (2, "INT", 130)):
        found, _, complained = finish(start(rare, folder, die_at=f"open:pretrain/log.jsonl:1:{name}"))
        assert found == code, complained
        assert f"elo {rare}" in complained
        assert "Stopped at your request; what is done is saved." in complained
        assert "Traceback" not in complained
        assert (pretrain / "checkpoints" / f"step-{step:08}.json").exists()
        assert not (pretrain / "encoder.safetensors").exists()
    assert elo(PRETRAIN, folder).exit_code == 0
    kept = ("encoder.safetensors", "encoder.json", "result.json")
    assert hashes(pretrain, *kept) == hashes(whole / "elo" / "pretrain", *kept)
