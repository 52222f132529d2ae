"""Fine-tuning learns, goes on after any end, chooses without the test side, and is the same in two processes."""

import csv
import dataclasses
import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from elo_cli.core.benchmark_settings import FinetuneSettings
from elo_cli.workflows.finetuning import mirrored
from tests.support.commands import elo, finish, hashes, start
from tests.support.labelled_films import COLOURS, known_set, lines_of, write_labelled_home

LINE = (
    "benchmark folder --encoder one --protocol finetune --set benchmark.baselines=false"
    " --set benchmark.finetune.batch=8 --set benchmark.finetune.dropout=0.1"
)
LEARN = f"{LINE} --root films.csv --set benchmark.finetune.epochs=30 --set benchmark.finetune.lr=0.1"
FILES = ("result.json", "training/checkpoints/*")
SPLIT = "finetune/one/split-listed"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with films of two colours, and an encoder fine-tuned on half of them, undisturbed."""
    folder = write_labelled_home(tmp_path_factory.mktemp("home"), each=8)
    write_list(folder / "films.csv")
    done = elo(f"{LEARN} --out whole", folder)
    assert done.exit_code == 0, done.stderr
    return folder


def write_list(path: Path, *, test: dict[str, str] | None = None, groups: int = 8, train: int = 4, **few: int) -> None:
    """Write a list of the films, the first of each class for training, with other labels for those that test if given."""
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "label", "split", "group"))
        for label in list(COLOURS)[:2]:
            for number in range(8):
                side = "train" if number < few.get(label, train) else "test"
                shown = label if side == "train" or test is None else test[label]
                writer.writerow((f"films/{label}/{number}.mp4", shown, side, f"{label}-{side}-{number % groups}"))


def told(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / SPLIT / "result.json").read_text())
    return found


def test_colours_are_learnt_and_all_is_said(home: Path) -> None:
    line = lines_of(home / "whole/result.json")["one", "finetune"]
    assert line["accuracy"] >= 0.875, "chance is 0.5"
    assert (line["average"], line["clips"], line["crops"], line["frames"]) == ("softmax", 2, 1, 4)
    [split] = line["splits"]
    assert split["lr"] == 0.1 and split["clip_accuracy"] >= 0.8 and set(split["per_class"]) == {"cold", "warm"}
    assert told(home / "whole")["steps"] == 30, "as many epochs of 8 videos, 8 at a time"
    log = [json.loads(text) for text in (home / "whole" / SPLIT / "training/log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 30 and log[-1]["loss"] < log[0]["loss"]
    assert (home / "whole/pictures/confusion-finetune-one.png").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at /proc")
def test_a_kill_on_the_way_changes_nothing(home: Path) -> None:
    line = f"{LEARN} --out killed --set benchmark.finetune.checkpoint_every=10"
    code, _, complained = finish(start(line, home, die_at="os.rename:checkpoints/step-00000020.json:1"))
    assert code == -signal.SIGKILL, complained
    assert (home / "killed" / SPLIT / "training/checkpoints/step-00000010.json").exists()
    done = elo(line, home)
    assert done.exit_code == 0, done.stderr
    assert "going on from step 10" in done.stderr
    undisturbed = elo(f"{line.replace('--out killed', '--out straight')}", home)
    assert undisturbed.exit_code == 0, undisturbed.stderr
    assert hashes(home / "killed" / SPLIT, *FILES) == hashes(home / "straight" / SPLIT, *FILES)
    assert told(home / "killed") == told(home / "whole"), "nor does it matter how often it is saved"


def test_what_is_done_is_not_done_again(home: Path) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in (home / "whole" / SPLIT).rglob("*")}
    done = elo(f"{LEARN} --out whole", home)
    assert done.exit_code == 0 and "fine-tuning" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in (home / "whole" / SPLIT).rglob("*")} == stamps
    result = home / "whole" / SPLIT / "result.json"
    kept = result.read_bytes()
    result.write_text("{")
    damaged = elo(f"{LEARN} --out whole", home)
    assert damaged.exit_code == 3 and "tests the network again" in damaged.stderr
    result.unlink()
    tested = elo(f"{LEARN} --out whole", home)
    assert tested.exit_code == 0, tested.stderr
    assert result.read_bytes() == kept


def test_rates_are_chosen_without_the_test_side(home: Path) -> None:
    chosen = []
    for name, test in (("true", None), ("absurd", {"cold": "warm", "warm": "cold"})):
        write_list(home / "some.csv", test=test)
        line = (
            LINE + f" --root some.csv --set benchmark.finetune.epochs=15 --set benchmark.finetune.rates=[1e-9,0.1] --out {name}"
        )
        done = elo(line, home)
        assert done.exit_code == 0, done.stderr
        run = home / name / SPLIT
        seen = {path.parent.name: json.loads(path.read_text()) for path in run.glob("rate-*/accuracy.json")}
        assert set(seen) == {"rate-1e-09", "rate-0.1"}
        assert {each["videos"] for each in seen.values()} == {2}, "one of each class, of eight that train"
        line_told = lines_of(home / name / "result.json")["one", "finetune"]
        best = max(each["accuracy"] for each in seen.values())
        smallest = min(each["rate"] for each in seen.values() if each["accuracy"] == best)
        assert line_told["splits"][0]["lr"] == smallest
        chosen.append((seen, hashes(run, "training/checkpoints/*"), told(home / name)["predicted"], line_told["accuracy"]))
    assert chosen[0][:3] == chosen[1][:3]
    assert chosen[0][3] == pytest.approx(1 - chosen[1][3]), "the same answers, the other way round"


def test_groups_are_held_out_whole_and_single_videos_are_told(home: Path) -> None:
    write_list(home / "grouped.csv", groups=2)  # of each class 0 and 2, 1 and 3 belong together
    more = "--set benchmark.finetune.epochs=1 --set benchmark.finetune.rates=[0.01,0.05]"
    done = elo(f"{LINE} --root grouped.csv {more} --out grouped", home)
    assert done.exit_code == 0, done.stderr
    assert "Warning" not in done.stderr
    held = json.loads((home / "grouped" / SPLIT / "rate-0.01/accuracy.json").read_text())["videos"]
    assert held in (2, 4), "one group or two, of two videos each"
    write_list(home / "single.csv", cold=1)
    single = elo(f"{LINE} --root single.csv {more} --out single", home)
    assert single.exit_code == 0 and "a class has a single training video, so no rate can be chosen" in single.stderr
    assert lines_of(home / "single/result.json")["one", "finetune"]["metrics"]["lr"] == 0.01


def test_features_may_be_averaged_instead(home: Path) -> None:
    done = elo(f"{LEARN} --set benchmark.average=features --out features", home)
    assert done.exit_code == 0, done.stderr
    line = lines_of(home / "features/result.json")["one", "finetune"]
    assert line["average"] == "features"
    assert "clip_accuracy" not in line["metrics"] and "clip_accuracy" not in line["splits"][0], "single views are not scored"


def test_an_unreadable_film_is_wrong_and_not_trained_on(home: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(home, tmp_path / "home", ignore=shutil.ignore_patterns("whole", "elo", "true", "absurd")))
    for name in ("cold/7.mp4", "warm/0.mp4"):
        (folder / "films" / name).write_bytes(b"nothing")
    done = elo(f"{LEARN} --out broken", folder)
    assert done.exit_code == 0, done.stderr
    [split] = lines_of(folder / "broken/result.json")["one", "finetune"]["splits"]
    assert (split["unreadable"], split["unread_train_videos"], split["test_videos"]) == (1.0, 1.0, 8.0)
    right = split["accuracy"] * 8
    assert right == pytest.approx(round(right)) and right <= 7 and split["per_class"]["cold"] <= 3 / 4
    assert told(folder / "broken")["steps"] == 27, "30 epochs of 7 videos, 8 at a time"


def test_a_training_that_fails_loses_nothing_of_the_others(home: Path) -> None:
    hopeless = "--set benchmark.finetune.rates=[] --set benchmark.finetune.lr=1e30 --set benchmark.finetune.max_skipped=0"
    done = elo(f"{LEARN} --protocol linear {hopeless} --out lost", home)
    assert done.exit_code == 0, done.stderr
    assert "one has no score by finetune" in done.stderr
    lines = lines_of(home / "lost/result.json")
    assert lines["one", "finetune"]["accuracy"] is None and lines["one", "finetune"]["failed"]
    assert lines["one", "linear"]["accuracy"] is not None


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at /proc")
def test_two_processes_fine_tune_as_one(home: Path) -> None:
    code, said, complained = finish(start(f"{LEARN} --out pair --processes 2 --json", home))
    assert code == 0, complained
    [line] = [line for line in json.loads(said)["results"] if line["protocol"] == "finetune"]
    assert (told(home / "pair")["steps"], told(home / "pair")["ids"]) == (30, told(home / "whole")["ids"])
    assert line["accuracy"] >= 0.875
    first = [json.loads((home / run / SPLIT / "training/log.jsonl").read_text().splitlines()[0]) for run in ("whole", "pair")]
    assert first[0]["step"] == first[1]["step"] == 1
    assert first[1]["loss"] == pytest.approx(first[0]["loss"], rel=1e-4)


def test_what_it_was_trained_on_may_not_change(home: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(home, tmp_path / "home", ignore=shutil.ignore_patterns("elo", "true", "absurd")))
    before = hashes(folder, f"whole/{SPLIT}/*.json")
    settings = folder / "whole/settings.yaml"
    settings.write_text(settings.read_text().replace(str(home), str(folder)))
    changed = elo(f"{LEARN} --out whole --set preprocess.storage=jpeg", folder)
    assert changed.exit_code == 2 and "was begun with something else: trains:" in changed.stderr, changed.stderr
    assert hashes(folder, f"whole/{SPLIT}/*.json") == before
    other = elo(f"{LEARN} --out whole --set machine.precision=bf16", folder)
    assert other.exit_code == 2 and "precision" in other.stderr


def test_where_sides_are_classes_nothing_is_mirrored(home: Path) -> None:
    def flip(sides_matter: bool, given: float | None) -> float:
        labelled = dataclasses.replace(known_set(home, {"a": "x"}, ("a",), ("a",)), sides_matter=sides_matter)
        return mirrored(labelled, FinetuneSettings.model_validate({"flip": given}))

    assert (flip(True, None), flip(False, None), flip(True, 0.3), flip(False, 0.0)) == (0.0, 0.5, 0.3, 0.0)
