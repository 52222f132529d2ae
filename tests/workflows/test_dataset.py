"""Tests of looking into a set: damage is named to the tensor, numbers are right, clips are drawn."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from elo_cli.core.errors import DataError, Stopped, UsageError
from elo_cli.core.settings import Settings
from elo_cli.data.records import VideoFailure
from elo_cli.workflows import dataset_info, dataset_sample, dataset_verify
from elo_cli.workflows.dataset_verify import DamagedSet
from elo_cli.workflows.events import Outcome, Unwatched
from tests.support.known_sets import SETTINGS, flip, tensor_at, video, write_plan, write_shard

FAILED = VideoFailure("bad.mp4", "open", "empty-file", "it has no bytes")


class Watcher(Unwatched):
    """A watch that keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.done: list[int] = []
        self.total: int | None = None

    def start(self, stage: str, total: int | None, unit: str) -> None:
        self.total = total

    def advance(self, stage: str, done: int, figures: Any = None) -> None:
        self.done.append(done)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A finished set: two shards of two videos, and one video that failed."""
    root = tmp_path / "set"
    write_shard(root, "one", {"a.mp4": video(label="run"), "b.mp4": video(label="sit")}, segments=2, failures=[FAILED])
    write_shard(root, "two", {"c.mp4": video(label="run", sound="silent"), "d/é.mp4": video(label="run")}, sound=0)
    write_plan(root, {"one": ["a.mp4", "b.mp4", "bad.mp4"], "two": ["c.mp4", "d/é.mp4"]})
    return root


def verify(root: Path, watch: Unwatched | None = None) -> Outcome:
    return dataset_verify.run(settings=Settings(), data=root, fresh=False, watch=watch or Unwatched())


def damage(root: Path) -> dict[str, dict[str, Any]]:
    with pytest.raises(DamagedSet) as caught:
        verify(root)
    assert caught.value.exit_code == 3 and not caught.value.outcome.result["whole"]
    found = json.loads(json.dumps(caught.value.outcome.result))["damaged"]  # it must be JSON
    assert all(name["file"] in caught.value.message and name["mends"] for name in found)
    return {entry.pop("file"): entry for entry in found}


def test_a_whole_set_is_whole(root: Path) -> None:
    watch = Watcher()
    result = verify(root, watch).result
    size = sum(path.stat().st_size for path in (root / "shards").glob("*.safetensors"))
    assert result["whole"] and result["damaged"] == [] and result["bytes"] == size
    assert (result["shards"], result["videos"], result["segments"], result["failed"]) == (2, 4, 6, 1)
    assert result["plan"] == {
        "videos": 5, "shards": 2, "unfinished_videos": 0, "unfinished_shards": 0, "unplanned_shards": (),
    }  # fmt: skip
    assert watch.done == sorted(watch.done) and watch.done[-1] == watch.total == 1


@pytest.mark.parametrize(
    ("tensor", "video_id", "start_s", "modality"),
    [
        ("0.rgb", "a.mp4", 0.0, "rgb"),
        ("1.audio", "a.mp4", 4.0, "audio"),
        ("2.flow_scale", "b.mp4", 0.0, "flow"),
        ("3.flow_backward", "b.mp4", 4.0, "flow"),
    ],
)
def test_a_flipped_bit_is_named(root: Path, tensor: str, video_id: str, start_s: float, modality: str) -> None:
    path = root / "shards" / "one.safetensors"
    flip(path, tensor_at(path, tensor) + 3)
    found = damage(root)
    assert list(found) == ["shards/one.safetensors"]
    entry = found["shards/one.safetensors"]
    assert entry["tensors"] == [{"tensor": tensor, "video": video_id, "start_s": start_s, "modality": modality}]
    assert entry["what"] == [f"{tensor.partition('.')[2]} of {video_id} at {start_s:g} s"]
    assert "elo preprocess again" in entry["mends"][0]


def test_every_byte_of_a_shard_is_compared(root: Path) -> None:
    path = root / "shards" / "two.safetensors"
    content = path.read_bytes()
    for at in np.random.default_rng(0).choice(len(content), 40, replace=False):
        path.write_bytes(content)
        flip(path, int(at))
        assert list(damage(root)) == ["shards/two.safetensors"], at


def test_a_cut_shard_and_one_that_is_none_are_named(root: Path) -> None:
    path = root / "shards" / "one.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    (root / "shards" / "two.safetensors").write_bytes(b"")
    found = damage(root)
    assert set(found) == {"shards/one.safetensors", "shards/two.safetensors"}
    assert "was written with" in found["shards/one.safetensors"]["what"][0]


def test_a_shard_of_other_settings_is_named_with_what_differs(root: Path) -> None:
    other = SETTINGS.model_copy(update={"fps": 5.0})
    write_shard(root, "two", {"c.mp4": video(), "d/é.mp4": video()}, settings=other)
    assert damage(root)["shards/two.safetensors"]["what"] == ["it was made with other settings: fps 5.0 (the set: 10.0)"]
    (root / "settings.yaml").unlink()  # then most shards are right
    write_shard(root, "three", {"e.mp4": video()})
    assert list(damage(root)) == ["shards/two.safetensors"]


def test_a_video_in_two_shards_is_damage(root: Path) -> None:
    write_shard(root, "zero", {"a.mp4": video()})
    assert damage(root)["shards/zero.safetensors"]["what"] == ["a.mp4 is in one.safetensors too"]


def test_what_is_not_finished_is_said_and_is_no_damage(root: Path) -> None:
    (root / "shards" / "two.safetensors").unlink()
    (root / "shards" / "two.safetensors.part").write_bytes(b"half")
    outcome = verify(root)
    assert (outcome.result["plan"]["unfinished_videos"], outcome.result["plan"]["unfinished_shards"]) == (2, 1)
    assert outcome.result["leftovers"] == ["two.safetensors.part"]
    assert "2 of 5 planned videos have no shard yet" in outcome.tables[0].note


def test_a_shard_whose_every_video_failed_is_not_missing(root: Path) -> None:
    write_plan(root, {"three": ["x.mp4"]})
    assert verify(root).result["plan"]["unfinished_shards"] == 1
    (root / "shards" / "three.failures.json").write_text(
        '{"failures": [{"video": "x.mp4", "stage": "open", "reason": "crash", "message": ""}]}'
    )
    assert verify(root).result["plan"]["unfinished_shards"] == 0


def test_a_lost_or_broken_list_of_failures_is_damage(root: Path) -> None:
    path = root / "shards" / "one.failures.json"
    path.write_text('{"failures": [{}]}')
    assert set(damage(root)) == {"shards/one.failures.json", "shards/one.safetensors"}
    path.unlink()
    assert damage(root)["shards/one.safetensors"]["what"] == ["bad.mp4 is planned, and neither here nor among the failures"]


def test_a_broken_plan_and_broken_settings_are_damage(root: Path) -> None:
    plan, settings = root / "plan.jsonl", root / "settings.yaml"
    flip(plan, 20)
    settings.write_text("preprocess: {fps: fast}")
    assert set(damage(root)) == {"plan.jsonl", "settings.yaml"}
    plan.unlink()
    settings.unlink()
    outcome = verify(root)
    assert outcome.result["plan"] is None and "cannot be said without plan.jsonl" in outcome.tables[0].note


def test_a_shard_that_is_not_planned_counts(root: Path) -> None:
    write_shard(root, "other", {"z.mp4": video()})
    assert verify(root).result["plan"]["unplanned_shards"] == ("other.safetensors",)


def test_a_request_to_stop_is_heard_between_shards(root: Path) -> None:
    class Stopping(Unwatched):
        def check(self) -> None:
            raise Stopped("Stopped.")

    with pytest.raises(Stopped):
        verify(root, Stopping())


def test_the_newest_set_is_found_finished_or_not(root: Path, tmp_path: Path) -> None:
    settings = Settings(workspace=str(tmp_path / "space"))
    ask: dict[str, Any] = {"settings": settings, "data": None, "fresh": False}
    with pytest.raises(DataError, match="no preprocessed set"):
        dataset_verify.plan(**ask)
    shutil.copytree(root, tmp_path / "space" / "dataset")
    assert dataset_verify.plan(**ask).result["data"].endswith("dataset")  # it has no result.json
    shutil.copytree(root, tmp_path / "space" / "dataset-2")
    assert dataset_verify.plan(**ask).result["data"].endswith("dataset-2")
    (tmp_path / "space" / "dataset" / "result.json").write_text("{}")
    assert dataset_verify.plan(**ask).result == {
        "data": str(tmp_path / "space" / "dataset"), "shards": 2, "bytes": verify(root).result["bytes"],
    }  # fmt: skip
    with pytest.raises(DataError, match="is not a preprocessed set"):
        dataset_verify.plan(settings=settings, data=tmp_path, fresh=False)


def info(root: Path, watch: Unwatched | None = None) -> Outcome:
    return dataset_info.run(settings=Settings(), data=root, fresh=False, watch=watch or Unwatched())


def test_the_numbers_of_a_set(root: Path) -> None:
    outcome = info(root)
    result = json.loads(json.dumps(outcome.result))
    assert (result["videos"], result["segments"], result["frames"], result["failed"]) == (4, 6, 36, 1)
    assert (result["segments_with_flow"], result["segments_with_sound"]) == (6, 4)
    assert result["hours"] == round(3.6 / 3600, 4) and result["bytes_per_hour"] == round(result["bytes"] * 1000)
    assert sum(result["bytes_by_modality"].values()) == result["bytes"] and set(result["bytes_by_modality"]) == {
        "rgb", "flow", "audio", "records",
    }  # fmt: skip
    assert result["labels"] == {"run": 3, "sit": 1} and result["unlabelled"] == 0
    assert result["zipf"]["exponent"] == pytest.approx(np.log2(3), abs=1e-6)
    assert result["sound"] == {"heard": 3, "silent": 1} and result["source_sizes"] == {"240×320": 4}
    assert result["failures"] == [{"stage": "open", "reason": "empty-file", "videos": 1}]
    assert result["flow"]["mean_magnitude_px"] == pytest.approx(5.0) and result["flow"]["all_segments"]
    assert result["flow"]["quantisation_error_bound_px"] == pytest.approx(0.05)
    assert result["settings"] == [{"shards": 2, **SETTINGS.content()}]
    titles = [table.title for table in outcome.tables]
    assert titles[1:] == ["Bytes", "Videos", "Labels (2)", "Flow", "Videos that could not be used", "Settings of what is stored"]


def test_many_labels_are_summed_up_and_even_ones_are_remarked(tmp_path: Path) -> None:
    write_shard(tmp_path, "s", {f"{n}": video(label=f"l{n:02}") for n in range(30)}, flow=None, sound=0)
    outcome = info(tmp_path)
    assert len(outcome.result["labels"]) == 30 and outcome.result["flow"] is None
    [labels] = [table for table in outcome.tables if table.title == "Labels (30)"]
    assert len(labels.rows) == 21 and labels.rows[-1] == ("… and 10 more", "10", "33.3 %")
    assert "exponent 0.00 (KL 0.000" in labels.note and "nearly even" in labels.note


@pytest.mark.parametrize(("label", "said"), [(None, "No video has a label"), ("one", "share one label")])
def test_no_distribution_is_said(tmp_path: Path, label: str | None, said: str) -> None:
    write_shard(tmp_path, "s", {"a": video(label=label), "b": video(label=label, bad_packets=3)})
    outcome = info(tmp_path)
    assert outcome.result["zipf"] is None and any(said in table.note for table in outcome.tables)
    assert outcome.result["possibly_damaged"] == [{"video": "b", "bad_packets": 3, "missing_s": 0.0}]


def test_what_cannot_be_read_is_left_out_aloud(root: Path) -> None:
    flip(root / "shards" / "two.safetensors", 100)
    watch = Watcher()
    result = info(root, watch).result
    assert result["videos"] == 2 and result["unreadable"] == ["shards/two.safetensors"]
    assert len(watch.warnings) == 1 and "two.safetensors" in watch.warnings[0]
    flip(root / "shards" / "one.safetensors", 100)
    (root / "shards" / "one.failures.json").unlink()
    with pytest.raises(DataError, match="nothing to count"):
        info(root, watch)


def sample(root: Path, clips: int = 3, seed: int = 0, out: Path | None = None, watch: Unwatched | None = None) -> Outcome:
    settings = Settings(seed=seed)
    return dataset_sample.run(settings=settings, data=root, fresh=False, watch=watch or Unwatched(), clips=clips, out=out)


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


def test_only_a_sheet_is_written_over(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.png"
    sample(root, out=out)
    sample(root, out=out, seed=1)
    Image.new("RGB", (8, 8)).save(out)
    before = out.read_bytes()
    for content in (before, b"text", b""):
        out.write_bytes(content)
        with pytest.raises(UsageError, match="is no contact sheet"):
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


def test_plans_write_nothing(root: Path) -> None:
    before = sorted(root.rglob("*"))
    assert dataset_info.plan(settings=Settings(), data=root, fresh=False).result["shards"] == 2
    planned = dataset_sample.plan(settings=Settings(), data=root, fresh=False, clips=5, out=None)
    assert planned.result["out"] == str(root / "contact-sheet.png") and sorted(root.rglob("*")) == before
