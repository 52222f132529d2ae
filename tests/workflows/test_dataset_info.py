"""Tests of the numbers of a set, as a person and a machine get them."""

import json
from pathlib import Path

import numpy as np
import pytest

from elo_cli.core.errors import DataError
from elo_cli.core.settings import Settings
from elo_cli.workflows import dataset_info
from elo_cli.workflows.events import Outcome, Unwatched
from tests.support.known_sets import SETTINGS, Watcher, flip, video, write_known_set, write_shard


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_known_set(tmp_path / "set")


def info(root: Path, watch: Unwatched | None = None) -> Outcome:
    return dataset_info.run(settings=Settings(), data=root, watch=watch or Unwatched())


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


def test_a_plan_counts_shards(root: Path) -> None:
    assert dataset_info.plan(settings=Settings(), data=root).result == {"data": str(root), "shards": 2}
