"""Tests of the contact sheet of a set: which clips, into which file, and what becomes of damage."""

from pathlib import Path

import pytest
from PIL import Image

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.settings import Settings
from elo_cli.workflows import dataset_sample
from elo_cli.workflows.events import Outcome, Unwatched
from tests.support.known_sets import Watcher, flip, write_known_set


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_known_set(tmp_path / "set")


def sample(
    root: Path, clips: int = 3, seed: int = 0, out: Path | None = None, watch: Unwatched | None = None, *, motion: bool = False
) -> Outcome:
    settings = Settings(seed=seed)
    return dataset_sample.run(settings=settings, data=root, watch=watch or Unwatched(), clips=clips, motion=motion, out=out)


def test_a_sheet_is_a_function_of_the_seed(root: Path) -> None:
    outcome = sample(root)
    sheet = root / "contact-sheet.png"
    first = sheet.read_bytes()
    assert outcome.files == {"contact sheet": str(sheet)} and len(outcome.result["clips"]) == 3
    with Image.open(sheet) as picture:
        assert list(picture.size) == outcome.result["size"]
    assert sample(root).result == outcome.result and sheet.read_bytes() == first
    assert any(sample(root, seed=seed).result["clips"] != outcome.result["clips"] for seed in (1, 2, 3))


def test_videos_differ_as_long_as_there_are_any(root: Path) -> None:
    for seed in range(5):
        four = sample(root, 4, seed).result["clips"]
        assert {clip["video"] for clip in four} == {"a.mp4", "b.mp4", "c.mp4", "d/é.mp4"}
    all_there_are = sample(root, 24).result["clips"]
    assert len(all_there_are) == 6 and len({(clip["video"], clip["start_s"]) for clip in all_there_are}) == 6
    assert {clip["video"]: clip["sound"] for clip in all_there_are}["c.mp4"] == "no sound (silent)"


def test_edges_of_the_flow_stand_below_it_if_asked_for(root: Path, tmp_path: Path) -> None:
    plain, edged = (sample(root, 24, out=tmp_path / f"{motion}.png", motion=motion) for motion in (False, True))
    assert plain.result["clips"] == edged.result["clips"]
    assert any(clip["flow"] == "yes" for clip in plain.result["clips"])
    assert edged.result["size"][1] > plain.result["size"][1] or edged.result["size"][0] > plain.result["size"][0]


def test_only_a_sheet_is_written_over(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.png"
    sample(root, out=out)
    sample(root, out=out, seed=1)
    Image.new("RGB", (8, 8)).save(out)
    before = out.read_bytes()
    for content in (before, b"text", b""):
        out.write_bytes(content)
        with pytest.raises(UsageError, match="was not made by elo dataset sample"):
            sample(root, out=out)
        assert out.read_bytes() == content


def test_damaged_shards_are_left_out_of_the_sheet_aloud(root: Path) -> None:
    flip(root / "shards" / "two.safetensors", 100)
    watch = Watcher()
    assert {clip["shard"] for clip in sample(root, 24, watch=watch).result["clips"]} == {"one.safetensors"}
    assert len(watch.warnings) == 1
    flip(root / "shards" / "one.safetensors", 100)
    with pytest.raises(DataError, match="no readable clip"):
        sample(root, out=root / "x.png")
    assert not (root / "x.png").exists()


def test_a_plan_writes_nothing(root: Path) -> None:
    before = sorted(root.rglob("*"))
    planned = dataset_sample.plan(settings=Settings(), data=root, clips=5, motion=False, out=None)
    assert planned.result["out"] == str(root / "contact-sheet.png") and sorted(root.rglob("*")) == before
