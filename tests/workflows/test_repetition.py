"""A benchmark done again from its result alone comes to the same numbers, or says what is no longer the same."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from elo_cli.core.features import Features
from elo_cli.workflows.repetition import differences
from tests.support.commands import elo, hashes
from tests.support.encoders import write_encoder
from tests.support.labelled_films import write_coloured, write_labelled_home

PROTOCOLS = ("kmeans", "linear", "knn", "low-label", "retrieval", "finetune")
LINE = (
    "benchmark folder --root films --encoder a=one --encoder b=one/../two --features f=taken.safetensors --seed 3"
    " --set benchmark.folds=2 --set benchmark.kmeans.runs=2 --set benchmark.finetune.batch=4 --set benchmark.finetune.epochs=1"
    " --set benchmark.finetune.rates=[0.01,0.1]" + "".join(f" --protocol {name}" for name in PROTOCOLS)
)
RESULT = "elo/benchmark-folder-films/result.json"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which two encoders and a file of features were scored."""
    folder = write_labelled_home(tmp_path_factory.mktemp("home"))
    write_encoder(folder / "two", width=8)
    assert elo("extract-features films --encoder two", folder).exit_code == 0
    for ending in ("safetensors", "ids.jsonl"):
        shutil.copy(folder / f"elo/features/features.{ending}", folder / f"taken.{ending}")
    done = elo(LINE, folder)
    assert done.exit_code == 0, done.stderr
    return folder


def test_every_number_comes_again(home: Path, tmp_path: Path) -> None:
    result = tmp_path / "kept.json"
    shutil.copy(home / RESULT, result)
    elsewhere = tmp_path / "elsewhere"  # neither elo.yaml nor a cache is here
    elsewhere.mkdir()
    done = elo(f"benchmark --repeat {result} --json", elsewhere)
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    lines = len(json.loads(result.read_text())["results"])
    assert document["repeated"] == {"lines": lines, "equal": True, "differences": {}}
    names = {line["representation"] for line in document["results"]}
    assert {"chance", "untrained", "a", "b", "f"} <= names
    assert {line["protocol"] for line in document["results"]} == {"majority", *PROTOCOLS}
    again = json.loads((elsewhere / "elo/repeated-folder-films/result.json").read_text())
    first = json.loads(result.read_text())
    assert again["results"] == first["results"] and again["representations"] == first["representations"]
    assert again["dataset"] == first["dataset"]


def test_two_runs_of_one_seed_are_one(home: Path) -> None:
    done = elo(f"{LINE} --out {home / 'again'} --set workspace=other", home)
    assert done.exit_code == 0, done.stderr
    first, again = (json.loads((home / name).read_text())["results"] for name in (RESULT, "again/result.json"))
    assert first == again


def test_a_plan_writes_nothing(home: Path) -> None:
    before = hashes(home, "elo/**/*.json")
    done = elo(f"benchmark --repeat {RESULT} --dry-run", home)
    assert done.exit_code == 0 and "would be done again" in done.stdout
    assert hashes(home, "elo/**/*.json") == before and not (home / "elo/repeated-folder-films").exists()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("encoder", "is not what was scored as a: its SHA-256 is"),
        ("features", "is not what was scored as f"),
        ("no encoder", "cannot be loaded as an encoder"),
        ("video", "has other videos, labels or splits than were scored"),
        ("label", "has other videos, labels or splits than were scored"),
    ],
)
def test_what_is_no_longer_the_same_is_refused(home: Path, tmp_path: Path, what: str, words: str) -> None:
    folder = Path(shutil.copytree(home, tmp_path / "home", ignore=shutil.ignore_patterns("elo", "again", "other")))
    told: dict[str, Any] = json.loads((home / RESULT).read_text())
    text = json.dumps(told).replace(str(home), str(folder))
    (folder / "result.json").write_text(text)
    if what == "encoder":
        write_encoder(folder / "one", depth=18)
    elif what == "no encoder":
        (folder / "one/encoder.safetensors").unlink()
    elif what == "features":
        features = Features.load(folder / "taken.safetensors")
        Features(features.matrix_ND + 1, features.ids, features.labels).save(folder / "taken.safetensors")
    elif what == "video":
        write_coloured(folder / "films/cold/9.mp4", "cold", 9)
    else:
        shutil.move(folder / "films/cold/5.mp4", folder / "films/warm/9.mp4")
    done = elo("benchmark --repeat result.json", folder)
    assert done.exit_code == 3, done.stderr
    assert words in done.stderr and "How to mend it:" in done.stderr
    assert not (folder / "elo").exists()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"results": []}', '{"dataset": "hmdb51", "settings": {}, "representations": [], "results": []}',
     '{"dataset": {"name": "x"}, "settings": {}, "representations": [], "results": []}'],
)  # fmt: skip
def test_what_is_no_result_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    for more in ("", " --dry-run"):
        done = elo(f"benchmark --repeat result.json{more}", tmp_path)
        assert done.exit_code == 3 and "is no result of elo benchmark" in done.stderr
    assert elo("benchmark --repeat none.json", tmp_path).exit_code == 3


def test_settings_of_another_version_are_told(home: Path, tmp_path: Path) -> None:
    document = json.loads((home / RESULT).read_text())
    document["settings"]["benchmark"]["of_tomorrow"] = 1
    (tmp_path / "result.json").write_text(json.dumps(document | {"elo": "9.9"}))
    done = elo("benchmark --repeat result.json", tmp_path)
    assert done.exit_code == 3 and "of_tomorrow" in done.stderr and "install that version" in done.stderr


def test_differences_are_found_wherever_they_are() -> None:
    def line(name: str, **more: Any) -> dict[str, Any]:
        return {"representation": name, "protocol": "linear", **more}

    one = [line("a", accuracy=0.5, splits=[{"accuracy": 0.5}, {"accuracy": 0.25}]), line("b")]
    other = [line("a", accuracy=0.5, splits=[{"accuracy": 0.5}, {"accuracy": 0.25 + 2**-54}])]
    assert differences(one, one) == {}
    assert differences(one, other) == {
        "a, linear.splits.1.accuracy": (0.25, 0.25 + 2**-54),
        "b, linear.protocol": ("linear", None),
        "b, linear.representation": ("b", None),
    }
