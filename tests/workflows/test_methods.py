"""MoDist from the command line: trained, killed, gone on with, scored; and too short a set is told."""

import json
import signal
from pathlib import Path

import pytest

from tests.support.commands import elo, finish, hashes, start, write_home

SMALL = "--set objective.contrast.queue=16 --set objective.contrast.hidden=8 --set objective.contrast.dimension=4"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_home(tmp_path_factory.mktemp("home"), 9)


@pytest.mark.parametrize("method", ["modist", "contrastive"])
def test_a_method_trains_is_killed_goes_on_and_is_scored(home: Path, method: str) -> None:
    line = f"pretrain --method {method} {SMALL}"
    assert elo(f"{line} --out whole-{method}", home).exit_code == 0
    cut = f"{line} --out cut-{method}"
    for moment in ("os.rename:checkpoints/step-00000004.json:1", "os.rename:encoder.json:1"):
        code, _, complained = finish(start(cut, home, die_at=moment))
        assert code == -signal.SIGKILL, complained
    assert elo(cut, home).exit_code == 0
    kept = ("encoder.safetensors", "encoder.json", "result.json", "loss.yaml", "checkpoints/*")
    assert hashes(home / f"cut-{method}", *kept) == hashes(home / f"whole-{method}", *kept)
    card = json.loads((home / f"whole-{method}" / "encoder.json").read_text())
    active = sorted(name for name, weight in card["origin"]["loss"].items() if weight)
    assert card["origin"]["method"] == method and len(active) == {"modist": 4, "contrastive": 1}[method]


def test_too_short_a_set_is_told_before_anything_is_written(home: Path) -> None:
    result = elo(f"pretrain --method modist {SMALL} --set pretrain.clip.pair_seconds=[2,9] --out none", home)
    assert result.exit_code == 3 and "0 of 9 videos have two clips" in result.stderr and "segment_seconds" in result.stderr
    assert not (home / "none").exists()
    planned = elo(f"pretrain --method modist {SMALL} --set pretrain.clip.pair_seconds=[2,9] --dry-run", home)
    assert planned.exit_code == 3
    packed = elo("preprocess videos --method modist", home)
    assert packed.exit_code == 2, "the method is a setting of all commands and an option of one"
    told = elo("preprocess videos --out again --set method=modist --set pretrain.clip.pair_seconds=[2,9]", home)
    assert told.exit_code == 0 and "0 of 9 videos" in told.stderr and "elo pretrain --method modist" in told.stdout


def test_without_flow_modist_cannot_and_its_visual_part_can(home: Path) -> None:
    assert elo("preprocess videos --out still --set preprocess.flow=none", home).exit_code == 0
    refused = elo(f"pretrain --method modist {SMALL} --data still --out no-flow", home)
    assert refused.exit_code == 2 and "no flow" in refused.stderr and "--method contrastive" in refused.stderr
    assert elo(f"pretrain --method contrastive {SMALL} --data still --out visual", home).exit_code == 0


def test_evolution_weighs_contrast_beside_the_tasks_of_elo(home: Path) -> None:
    terms = "[rgb.reverse,rgb-flow.embed,'*.contrast']"
    line = f"evolve --set objective.modalities=[rgb,flow,motion] --set objective.terms={terms} {SMALL} --out mixed"
    result = elo(line, home)
    assert result.exit_code == 0, result.stderr
    assert "motion-to-rgb.contrast" in (home / "mixed" / "best-loss.yaml").read_text() and "elo pretrain --" not in result.stdout
    own = "--set method=modist --set objective.terms=['*.contrast'] --set objective.modalities=[rgb,motion]"
    searched = elo(f"evolve {own} {SMALL} --out four", home)
    assert "elo pretrain --method modist --loss" in searched.stdout and "four/best-loss.yaml" in searched.stdout.replace("\n", "")


def test_what_contrast_would_learn_little_from_is_said(home: Path) -> None:
    line = "pretrain --loss motion-to-rgb.contrast --set objective.modalities=[rgb,motion] --set objective.terms=['*.contrast']"
    planned = elo(f"{line} --set objective.contrast.queue=50 --out starved --dry-run", home).stdout
    assert "The queue of 50 keys" in " ".join(planned.split())
    told = elo(f"{line} --set objective.contrast.queue=50 --out starved", home).stderr
    assert "The queue of 50 keys is filled by 32 clips" in told and "still 99% what they were" in told
    assert "No contrast teaches motion" in told
    card = json.loads((home / "starved" / "encoder.json").read_text())
    assert card["origin"]["method"] == "elo"
    quiet = elo(f"pretrain --method modist {SMALL} --set objective.contrast.momentum=0.5 --out fed", home).stderr
    assert "random" not in quiet and "queue" not in quiet
