"""Weights learned by gradient descent: repeatable, resumable, and measured as the candidates of any other strategy."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from elo_cli.config import resolve
from elo_cli.core.errors import UsageError
from elo_cli.core.settings import Settings
from elo_cli.data.video_set import VideoSet
from elo_cli.workflows.material import served_terms
from elo_cli.workflows.weight_learning import WeightLearning, held_out_videos
from tests.support.commands import SETTINGS, elo, finish, hashes, start, write_home
from tests.support.shards import PLAIN, write_set

KEPT = ("trajectory.json", "evaluations.jsonl", "leaderboard.json", "best-loss.yaml")
MORE = (
    "search.strategy=gradient", "search.held_out_share=0.5", "search.weights_every=1", "search.held_out_objective=contrast",
    "proxy.steps=6", "proxy.checkpoint_every=2", "proxy.optimizer=adamw", "search.weights_lr=0.1",
)  # fmt: skip


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    return write_set(tmp_path_factory.mktemp("set"), videos=18)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "given.yaml").write_text(SETTINGS)
    return resolve(None, tmp_path / "given.yaml", list(MORE), 0)


def learning(settings: Settings, videos: VideoSet) -> WeightLearning:
    return WeightLearning(settings, videos, served_terms(settings.objective, videos)[0], PLAIN)


def go_on(one: WeightLearning, until: int) -> WeightLearning:
    for record in one.training.run(0):
        if record.step + 1 < one.settings.proxy.steps:
            one.update()
        if record.step + 1 == until:
            break
    return one


def test_a_resumed_learning_is_the_learning(settings: Settings, videos: VideoSet, tmp_path: Path) -> None:
    whole = go_on(learning(settings, videos), 6)
    assert len(whole.values) == 5 and len(whole.trajectory) == 6
    for stop in (1, 3):
        cut = go_on(learning(settings, videos), stop)
        cut.save(tmp_path / str(stop))
        resumed = learning(settings, videos)
        resumed.load(tmp_path / str(stop))
        go_on(resumed, 6)
        assert np.array_equal(whole.trajectory, resumed.trajectory)
        assert whole.values == resumed.values
    moved = whole.trajectory[-1] - 0.5
    assert (np.abs(moved) > 0.05).any() and np.isfinite(moved).all()
    assert ((whole.trajectory[-1] >= 0) & (whole.trajectory[-1] <= 1)).all()
    objective = whole.training.objective
    assert list(objective.weights.values()) == whole.trajectory[-1].tolist()


def test_no_clip_is_drawn_from_a_held_out_video(settings: Settings, videos: VideoSet) -> None:
    kept = set(held_out_videos(settings, videos).tolist())
    assert len(kept) == 9 and kept != set(range(9))
    clips = learning(settings, videos).training.clips
    drawn = {int(video) for step in range(12) for video in clips[step].video_B}
    assert drawn == set(range(18)) - kept


def test_too_few_held_out_videos_are_refused(settings: Settings, videos: VideoSet) -> None:
    few = settings.model_copy(update={"search": settings.search.model_copy(update={"held_out_share": 0.3})})
    with pytest.raises(UsageError, match="5 held-out videos of 18; 8 are needed"):
        held_out_videos(few, videos)


def test_a_search_by_gradient_measures_what_it_learned(tmp_path: Path) -> None:
    write_home(tmp_path, 12)
    line = "evolve --strategy gradient " + " ".join(f"--set {one}" for one in MORE[1:]) + " --set search.held_out_share=0.7"
    plan = elo(f"{line} --dry-run --json", tmp_path)
    assert plan.exit_code == 0, plan.stderr
    assert (json.loads(plan.stdout)["candidates"], json.loads(plan.stdout)["steps"]) == (3, 6 * 4)
    result = elo(f"{line} --out one", tmp_path)
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(row) for row in (tmp_path / "one" / "evaluations.jsonl").read_text().splitlines()]
    learned = json.loads((tmp_path / "one" / "trajectory.json").read_text())
    assert [list(row["weights"].values()) for row in rows][::2] == [learned["weights"][0], learned["weights"][-1]]
    assert learned["weights"][0] == [0.5] * 4 and len(learned["values"]) == 5
    assert all(row["score"] is not None for row in rows)
    assert (tmp_path / "one" / "pictures" / "weights-by-update.png").exists()
    again = elo(f"{line} --out one", tmp_path)
    assert again.exit_code == 0, again.stderr
    for out, moment, code in (
        ("two", "os.rename:step-00000004.json:1", -signal.SIGKILL),
        ("three", "os.rename:step-00000002.json:1:TERM", 75),
    ):
        assert finish(start(f"{line} --out {out}", tmp_path, die_at=moment))[0] == code
        assert (tmp_path / out / "checkpoints").exists() and not (tmp_path / out / "trajectory.json").exists()
        other = elo(f"{line} --out {out}", tmp_path)
        assert other.exit_code == 0, other.stderr
        assert not (tmp_path / out / "checkpoints").exists()
        assert hashes(tmp_path / "one", *KEPT) == hashes(tmp_path / out, *KEPT)


def test_damaged_checkpoints_cost_what_they_held_and_nothing_else(settings: Settings, videos: VideoSet, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    cut = go_on(learning(settings, videos), 2)
    cut.save(folder)
    go_on(cut, 4).save(folder)
    newest = max(folder.glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-9])
    resumed = learning(settings, videos)
    resumed.load(folder)
    assert resumed.training.done == 2 and len(resumed.passed_over) == 1
    assert np.array_equal(go_on(resumed, 6).trajectory, go_on(learning(settings, videos), 6).trajectory)
