"""Tests of verifying: damage is named to the tensor, what is unfinished is not damage."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elo_cli.core.errors import DataError, Stopped
from elo_cli.core.settings import Settings
from elo_cli.workflows import dataset_verify
from elo_cli.workflows.dataset_verify import DamagedSet
from elo_cli.workflows.events import Outcome, Unwatched
from tests.support.known_sets import (
    SETTINGS,
    Watcher,
    flip,
    tensor_at,
    video,
    write_known_set,
    write_plan,
    write_shard,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_known_set(tmp_path / "set")


def verify(root: Path, watch: Unwatched | None = None) -> Outcome:
    return dataset_verify.run(settings=Settings(), data=root, watch=watch or Unwatched())


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
    ask: dict[str, Any] = {"settings": settings, "data": None}
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
        dataset_verify.plan(settings=settings, data=tmp_path)
