"""The commands one after the other, typed as the documentation says, from one working directory."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torchvision.models.video import r2plus1d_18

from elo_cli.core.features import Features
from elo_cli.core.strict_yaml import load_yaml
from elo_cli.core.train_settings import ClipSettings, EncoderSettings
from elo_cli.engine.export import load_encoder, make_card, save_encoder
from elo_cli.engine.objective import build_encoder
from tests.support.commands import SETTINGS, elo, files, hashes, write_film, write_films

ODD = "Brushing__[_NEW_AUDIO_]_UPDATED!!!!_(Nick)_x#y;z&~@+-)_h_cm_np1_fr_goo_{}.avi"
CLASSES = {"brush_hair": "spin", "climb": "drift", "climb_stairs": "bounce"}
BROKEN = "climb/" + ODD.format(1)  # a test video of the second split
COMMANDS = (
    "preprocess videos",
    "evolve --strategy cma-es",
    "pretrain",
    "extract-features",
    "benchmark hmdb51",
    "proxy-search",
)


def write_hmdb51(root: Path) -> None:
    """Write a miniature in the official layout: in split s, file n of a class has the code (n + s) % 3."""
    for first, (label, motion) in enumerate(CLASSES.items()):
        names = [ODD.format(number) for number in range(5)] + ["with a blank 2.avi"]
        for number, name in enumerate(names):
            write_film(root / "videos" / label / name, motion, 10 * first + number)
        splits = root / "testTrainMulti_7030_splits"
        splits.mkdir(exist_ok=True)
        for split in range(3):
            lines = [f"{name} {(number + split) % 3} " for number, name in enumerate(names)]
            (splits / f"{label}_test_split{split + 1}.txt").write_text("\n".join(lines) + "\n")
    (root / "videos" / "climb_stairs" / "with a blank 2.avi").unlink()  # missing: the lists name it
    (root / "videos" / BROKEN).write_bytes(b"RIFF and then nothing")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with settings, videos and the benchmark's data."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "elo.yaml").write_text(SETTINGS)
    write_films(folder / "videos", 10)
    write_hmdb51(folder / "hmdb51")
    return folder


@pytest.fixture(scope="module")
def typed(home: Path) -> dict[str, Any]:
    """What came of each command."""
    return {line.split()[0]: elo(line, home) for line in COMMANDS}


@pytest.fixture(scope="module")
def lines(home: Path, typed: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The lines of the benchmark by representation and protocol."""
    results = json.loads((home / "elo/benchmark-hmdb51/result.json").read_text())["results"]
    return {(line["representation"], line["protocol"]): line for line in results}


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_works_as_it_is_typed(typed: dict[str, Any], line: str) -> None:
    result = typed[line.split()[0]]
    assert result.exit_code == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert "seconds" in result.stdout and "peak memory" in result.stdout


@pytest.mark.parametrize(
    ("command", "following"),
    [
        ("preprocess", "elo evolve"),
        ("evolve", "elo pretrain"),
        ("pretrain", "elo extract"),
        ("extract-features", "elo benchmark"),
    ],
)
def test_each_command_names_the_next(typed: dict[str, Any], command: str, following: str) -> None:
    assert f"Next: {following}" in typed[command].stdout


@pytest.mark.parametrize("line", COMMANDS)
def test_json_is_one_document_and_a_run_that_is_done_stays_so(home: Path, typed: dict[str, Any], line: str) -> None:
    kept = ("elo/dataset/shards/*", "elo/*/result.json", "elo/evolve/*.csv", "elo/pretrain/encoder.*", "elo/**/*.safetensors")
    before = hashes(home, *kept)
    result = elo(f"{line} --json", home)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert {"seconds", "peak_mib", "out"} <= document.keys()
    assert hashes(home, *kept) == before


@pytest.mark.parametrize("line", [*COMMANDS, "extract-features videos"])
def test_a_dry_run_writes_nothing(home: Path, typed: dict[str, Any], line: str) -> None:
    before = {name: (home / name).stat().st_mtime_ns for name in files(home)}
    for form in (line, f"{line} --fresh"):
        result = elo(f"{form} --dry-run", home)
        assert result.exit_code == 0, result.stderr
        assert "would do" in result.stdout and "nothing is written" in result.stderr
        assert isinstance(json.loads(elo(f"{form} --dry-run --json", home).stdout), dict)
    assert {name: (home / name).stat().st_mtime_ns for name in files(home)} == before


def test_the_search_leaves_a_loss_and_its_journal(home: Path, typed: dict[str, Any]) -> None:
    evolve = home / "elo" / "evolve"
    rows = [json.loads(line) for line in (evolve / "evaluations.jsonl").read_text().splitlines()]
    assert [(row["round"], row["number"], row["rung"]) for row in rows] == [(n // 3, n, 0) for n in range(6)]
    best = load_yaml(evolve / "best-loss.yaml", "the loss")
    assert set(best) == {"rgb.reverse", "rgb.shuffle", "rgb-flow.embed", "rgb-audio.embed"}
    assert best in [row["weights"] for row in rows]
    ranked = json.loads((evolve / "leaderboard.json").read_text())
    assert ranked[0]["weights"] == best
    assert sorted(row["score"] for row in ranked) == sorted(row["score"] for row in rows)
    assert load_yaml(home / "elo/pretrain/loss.yaml", "the loss") == best


def test_features_are_those_of_the_encoder(home: Path, typed: dict[str, Any]) -> None:
    features = Features.load(home / "elo/features/features.safetensors")
    assert features.ids == tuple(path.name for path in sorted((home / "videos").iterdir()))
    assert features.matrix_ND.shape == (10, 32)
    result = json.loads((home / "elo/features/result.json").read_text())
    content = (home / "elo/pretrain/encoder.safetensors").read_bytes()
    assert result["encoder"] == hashlib.sha256(content).hexdigest()


def test_features_of_raw_videos_are_close_to_those_of_the_set(home: Path, typed: dict[str, Any], tmp_path: Path) -> None:
    result = elo(f"extract-features videos --out {tmp_path / 'raw'}", home)
    assert result.exit_code == 0, result.stderr
    raw, kept = Features.load(tmp_path / "raw/features.safetensors"), Features.load(home / "elo/features/features.safetensors")
    assert raw.ids == kept.ids and raw.matrix_ND.shape == kept.matrix_ND.shape
    one = elo(f"extract-features videos/00-drift.mp4 --out {tmp_path / 'one'}", home)
    assert one.exit_code == 0, one.stderr
    assert Features.load(tmp_path / "one/features.safetensors").matrix_ND == pytest.approx(raw.matrix_ND[:1], abs=1e-4)


def test_a_benchmark_line_says_all_that_a_number_needs(home: Path, lines: dict[tuple[str, str], dict[str, Any]]) -> None:
    line = lines["pretrained", "linear"]
    assert line["dataset"] == "hmdb51"
    assert [split["split"] for split in line["splits"]] == ["1", "2", "3"]
    assert line["accuracy"] == pytest.approx(sum(split["accuracy"] for split in line["splits"]) / 3)
    assert line["deviation"] >= 0
    assert (line["frames"], line["stride"], line["size"], line["clips"], line["crops"]) == (4, 1, 16, 2, 1)
    assert line["fps"] == 8.0 and line["seed"] == 0
    content = (home / "elo/pretrain/encoder.safetensors").read_bytes()
    assert line["encoder"] == hashlib.sha256(content).hexdigest()
    assert line["missing_videos"] == 1
    assert line["average"] == "softmax" and {"accuracy", "clip_accuracy"} <= line["metrics"].keys()
    for split in line["splits"]:
        assert {"accuracy", "clip_accuracy", "unreadable", "test_videos", "train_videos", "per_class"} <= split.keys()
    assert line["row"] == "elo-without-distillation", "what its search could find"
    assert line["search"] == {"strategy": "cma-es", "measure": "zipf", "evaluations": 6}


def test_the_document_says_what_was_scored_and_how(home: Path, typed: dict[str, Any]) -> None:
    document = json.loads((home / "elo/benchmark-hmdb51/result.json").read_text())
    assert set(document) == {"elo", "computed", "dataset", "settings", "results", "representations"}
    assert document["dataset"]["name"] == document["dataset"]["asked"] == "hmdb51"
    assert document["dataset"]["missing"] == ["climb_stairs/with a blank 2.avi"]
    assert document["settings"]["seed"] == 0 and document["settings"]["benchmark"]["clips"] == 2
    told = {one["name"]: one for one in document["representations"]}
    assert set(told) == {"untrained", "pretrained"}
    assert told["pretrained"]["path"] == str(home / "elo/pretrain/encoder.safetensors") and told["untrained"]["path"] is None
    again = elo("benchmark --repeat elo/benchmark-hmdb51/result.json --json", home)
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["repeated"]["equal"]


def test_rows_are_trained_once(home: Path, typed: dict[str, Any]) -> None:
    line = (
        "benchmark hmdb51 --row frame-shuffle --row random --row elo --set benchmark.random_losses=2 --protocol linear"
        " --set benchmark.baselines=false --table 1"
    )
    done = elo(f"{line} --out rows", home)
    assert done.exit_code == 0, done.stderr
    for words in ("$ elo pretrain --loss rgb.shuffle --out elo/rows/frame-shuffle", "--loss random:1", "Table 1, HMDB51"):
        assert words in done.stdout + done.stderr
    cards = {path.parent.name: json.loads(path.read_text())["origin"] for path in home.glob("elo/rows/*/encoder.json")}
    assert set(cards) == {"frame-shuffle", "random-0", "random-1", "elo"}
    assert [cards[f"random-{number}"]["random"] for number in (0, 1)] == [0, 1]
    assert cards["random-0"]["loss"] != cards["random-1"]["loss"] and cards["elo"]["search"]["strategy"] == "cma-es"
    assert {name for name, weight in cards["frame-shuffle"]["loss"].items() if weight} == {"rgb.shuffle"}
    results = json.loads((home / "rows/result.json").read_text())["results"]
    rows = {line["representation"]: line["row"] for line in results}
    assert rows == {
        "chance": None,
        "frame-shuffle": "frame-shuffle",
        "random-0": "random",
        "random-1": "random",
        "elo": "elo-without-distillation",
    }
    logs = {path: path.read_bytes().count(b'"step"') for path in home.glob("elo/rows/*/log.jsonl")}
    kept = hashes(home, "elo/rows/*/encoder.safetensors", "elo/rows/*/checkpoints/*")
    again = elo(f"{line} --out rows-again", home)
    assert again.exit_code == 0, again.stderr
    assert {path: path.read_bytes().count(b'"step"') for path in logs} == logs, "no step was made again"
    assert hashes(home, "elo/rows/*/encoder.safetensors", "elo/rows/*/checkpoints/*") == kept
    other = elo(f"{line} --out rows-other --set pretrain.lr=0.5", home)
    assert other.exit_code == 2 and "Move elo/rows/frame-shuffle away" in other.stderr


def test_baselines_stand_beside_the_result(lines: dict[tuple[str, str], dict[str, Any]], typed: dict[str, Any]) -> None:
    names = {name for name, _ in lines}
    assert {"chance", "untrained", "pretrained"} < names
    assert {protocol for name, protocol in lines if name == "untrained"} == {"kmeans", "linear"}
    for name in names:
        assert name in typed["benchmark"].stdout


def test_an_unreadable_test_video_counts_as_wrong_and_is_said(
    lines: dict[tuple[str, str], dict[str, Any]], typed: dict[str, Any], home: Path
) -> None:
    assert "1 of 17 videos could not be used" in typed["benchmark"].stderr
    assert "1 videos of the lists missing" in typed["benchmark"].stdout
    for (name, protocol), line in lines.items():
        if name == "chance":
            continue
        assert line["unreadable_test_videos"] == 1
        assert [split["unreadable"] for split in line["splits"]] == [0.0, 1.0, 0.0]
        broken = line["splits"][1]
        right = broken["accuracy"] * broken["test_videos"]  # of all that are there, the broken one too
        assert right <= broken["test_videos"] - 1
        if protocol == "linear":  # kmeans is a mean of several runs
            assert right == pytest.approx(round(right))
            assert broken["per_class"]["climb"] * 2 <= 1, "one of two cannot be right"
    failures = [json.loads(path.read_text())["video"] for path in home.glob("elo/cache/sets/hmdb51-*/failures.jsonl")]
    assert failures and set(failures) == {BROKEN}


def test_a_set_without_sound_drops_the_terms_that_hear(home: Path, typed: dict[str, Any], tmp_path: Path) -> None:
    quiet = tmp_path / "quiet"
    assert elo(f"preprocess videos --out {quiet} --set preprocess.audio=false", home).exit_code == 0
    line = f"proxy-search --data {quiet} --out {tmp_path / 'search'} --candidates 2"
    planned = json.loads(elo(f"{line} --dry-run --json", home).stdout)
    assert planned["lacking"] == ["audio"]
    assert planned["terms"] == ["rgb-flow.embed", "rgb.reverse", "rgb.shuffle"]
    result = elo(line, home)
    assert result.exit_code == 0, result.stderr
    assert "has no audio: the terms that read it are left out" in result.stderr
    trained = elo(f"pretrain --data {quiet} --loss uniform --out {tmp_path / 'run'}", home)
    assert trained.exit_code == 0, trained.stderr
    assert set(load_yaml(tmp_path / "run/loss.yaml", "the loss")) == set(planned["terms"])


def test_a_search_may_come_to_a_loss_of_nothing(home: Path, typed: dict[str, Any], tmp_path: Path) -> None:
    only = tmp_path / "only.yaml"
    only.write_text("objective: {terms: [rgb.reverse]}\nproxy: {steps: 1}\nfitness: {runs: 1}\n")
    result = elo(f"proxy-search --strategy grid --candidates 5 --config {only} --out {tmp_path / 'grid'}", home)
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in (tmp_path / "grid/evaluations.jsonl").read_text().splitlines()]
    assert sorted(row["weights"]["rgb.reverse"] for row in rows) == [0.0, 0.25, 0.5, 0.75, 1.0]
    [nothing] = [row for row in rows if row["weights"]["rgb.reverse"] == 0]
    assert "every weight is 0" in nothing["collapsed"] and nothing["score"] is None


@pytest.mark.parametrize("width", [64, 8])
def test_a_full_encoder_is_one_of_torchvision(tmp_path: Path, width: int) -> None:
    settings = EncoderSettings(architecture="r2plus1d", audio_architecture="audio_resnet", depth=18, width=width)
    encoder = build_encoder("rgb", settings, 3).eval()
    clip = ClipSettings(frames=4, stride=1, size=32, future=2, crop_area=(0.5, 1.0), flip=0.5)
    path = tmp_path / "encoder.safetensors"
    digest = save_encoder(path, encoder, make_card(settings, clip, 8.0, {"short_side": 40}))
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    loaded = load_encoder(path)
    again, card = loaded.network, loaded.card
    assert card["sha256"] == digest and card["input"]["shape"] == ["batch", 3, 4, 32, 32]
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in encoder.state_dict().items())
    tensors = load_file(path)
    if width == 64:
        theirs = r2plus1d_18(weights=None)
        theirs.load_state_dict(tensors, strict=True)
        theirs.fc = torch.nn.Identity()
        inputs = torch.randn(1, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            torch.testing.assert_close(theirs.eval()(inputs), encoder(inputs).vector_BD)
    else:
        assert not any(name.startswith("fc.") for name in tensors)
