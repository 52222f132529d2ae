"""What is looked at while a network trains: held-out videos, and nothing of it changes the training."""

import json
import math
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from elo_cli.config import resolve
from elo_cli.core.settings import Settings
from elo_cli.data.evaluation import Views
from elo_cli.data.loader import ClipReader
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.export import load_encoder
from elo_cli.engine.extract import extract
from elo_cli.engine.formats import FORMATS
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import Objective
from elo_cli.engine.setup import make_training
from elo_cli.run.checkpoint import load_newest, load_step
from elo_cli.workflows.judging import measure
from elo_cli.workflows.monitoring import Monitor, held_out
from tests.support.commands import elo, finish, hashes, start
from tests.support.shards import BF16, CLIP, ENCODER, PLAIN, loss, same, write_set

WEIGHTS = loss(rgb__reconstruct=0.5, flow__predict=0.5, rgb_to_audio__transfer=0.5, grey__reverse=0.5, rgb_audio__embed=0.5)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    return write_set(tmp_path_factory.mktemp("set") / "set", videos=70, per_shard=70, segments=1, deaf=(1, 2, 5, 9, 33))


def settings(**monitor: Any) -> Settings:
    given = resolve(None, None, ["monitor.held_out=0.5", "fitness.clusters=6", "fitness.runs=2"], 0)
    train = given.pretrain.model_copy(update={"clip": CLIP, "encoder": ENCODER, "steps": 4, "batch": 4, "lr": 0.05})
    return given.model_copy(update={"pretrain": train, "monitor": given.monitor.model_copy(update=monitor)})


def training(videos: VideoSet, given: Settings, precision: Any = PLAIN) -> tuple[Training[Objective], np.ndarray]:
    numbers = held_out(given, videos)
    made = make_training(WEIGHTS, given.pretrain, given.objective, videos, seed=0, precision=precision, without=numbers.tolist())
    return made, numbers


def test_held_out_videos_are_a_share_and_no_clip_is_of_them(videos: VideoSet) -> None:
    given = settings()
    trained, numbers = training(videos, given)
    assert len(numbers) == 35 == len(set(numbers.tolist())) and numbers.tolist() == sorted(numbers.tolist())
    assert held_out(given, videos).tolist() == numbers.tolist()
    unseen = {videos.videos[int(number)].id for number in numbers}
    seen = {name for step in range(40) for name in trained.clips.videos(step)}
    assert not seen & unseen and seen | unseen == {video.id for video in videos.videos}
    few = given.model_copy(update={"fitness": given.fitness.model_copy(update={"videos": 33})})
    assert len(held_out(few, videos)) == 33
    assert not len(held_out(settings(held_out=0.4), videos)), "28 say nothing"
    assert not len(held_out(settings(held_out=0), videos))
    assert held_out(given.model_copy(update={"seed": 1}), videos).tolist() != numbers.tolist()


@pytest.mark.parametrize("precision", [PLAIN, BF16], ids=["float32", "bf16"])
def test_looking_changes_nothing(videos: VideoSet, precision: Any) -> None:
    found: list[dict[str, Tensor]] = []
    for looks in (False, True):
        trained, numbers = training(videos, settings(), precision)
        monitor = Monitor(trained, settings(), videos, numbers)
        for _ in trained.run(0):
            if looks:
                torch.manual_seed(7)
                before = torch.random.get_rng_state()
                monitor.look()
                assert torch.equal(before, torch.random.get_rng_state())
        found.append({name: value.clone() for name, value in trained.tensors().items()})
    same(*found)


def test_a_look_is_the_fitness_of_the_encoder_on_the_held_out_videos(videos: VideoSet) -> None:
    given = settings()
    trained, numbers = training(videos, given)
    look = Monitor(trained, given, videos, numbers).look()
    assert trained.objective.training
    held = [videos.videos[int(number)] for number in numbers]
    features = extract(
        trained.objective.encoders["rgb"],
        ClipReader(videos, CLIP),
        held,
        views=Views(),
        batch=5,
        precision=PLAIN,
        progress=lambda _: None,
    )
    expected = measure("zipf", features, given.fitness, 0)
    assert look.values["zipf"] == pytest.approx(expected.value, rel=1e-4) and look.score == -look.values["zipf"]
    assert set(look.values) == {"zipf", "rankme", "alpha-req"}
    assert set(look.blocks) == {"rgb.reconstruct", "flow.predict", "rgb-to-audio.transfer"}
    assert len({block.size for block in look.blocks.values()}) == 1


def test_collapsed_features_are_the_worst_and_have_no_number(videos: VideoSet) -> None:
    trained, numbers = training(videos, settings(pictures=0))
    with torch.no_grad():
        for parameter in trained.objective.encoders["rgb"].parameters():
            parameter.zero_()
    look = Monitor(trained, settings(pictures=0), videos, numbers).look()
    assert look.values["zipf"] is None and look.score == -math.inf and not look.blocks


@pytest.fixture(scope="module")
def home(videos: VideoSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings that look every two steps, and a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "elo.yaml").write_text(
        "objective: {terms: [rgb.reconstruct, rgb.reverse], distance: mean, scale: initial}\n"
        "pretrain: {clip: {frames: 4, size: 16, future: 2}, encoder: {depth: 10, width: 4}, steps: 9, batch: 4,\n"
        "           checkpoint_every: 3}\n"
        "monitor: {every: 2, held_out: 0.5}\nfitness: {clusters: 6, runs: 2}\n"
        "machine: {threads: 1, precision: float32, layout: contiguous, loader_workers: 0}\n"
    )
    # A set made by hand has no result of elo preprocess: it is told what that would say.
    (videos.root / "result.json").write_text("{}")
    (videos.root / "settings.yaml").write_text("preprocess: {}\n")
    result = elo(f"pretrain --loss uniform --data {videos.root} --out {folder / 'whole'} --json", folder)
    assert result.exit_code == 0, result.stderr
    assert "35 videos are held out; every 2 steps" in result.stderr
    return folder


def test_the_curve_is_in_the_log_and_the_best_is_kept(home: Path, videos: VideoSet) -> None:
    run = home / "whole"
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    looks = [line for line in lines if line.get("event") == "look"]
    assert [look["after"] for look in looks] == [2, 4, 6, 8, 9]
    assert all(look["videos"] == 35 and look["clusters"] == 6 for look in looks)
    values = {look["after"]: look["values"]["zipf"] for look in looks}
    best = min(values, key=lambda step: (values[step], step))
    result = json.loads((run / "result.json").read_text())
    assert result["best"] == {"step": best, "score": -values[best], "zipf": values[best]}
    assert {key: result[key] for key in ("batch", "videos", "steps", "lr")} == {"batch": 4, "videos": 35, "steps": 9, "lr": 0.1}
    [extent] = [line for line in lines if line.get("event") == "extent"]
    assert extent["epochs"] == result["epochs"] == pytest.approx(36 / 35, abs=1e-3)
    card = json.loads((run / "encoder.json").read_text())
    assert card["origin"]["epochs"] == result["epochs"] and card["origin"]["batch"] == 4
    steps = {int(path.stem.split("-")[1]) for path in (run / "checkpoints").glob("*.json")}
    assert best in steps and 9 in steps and len(steps) == len({best, 9, max(steps - {9})})
    assert load_step(run / "checkpoints", best).step == best
    newest = load_newest(run / "checkpoints")
    assert newest is not None and newest.step == 9
    with Image.open(run / "pictures" / "decoded.png") as picture:
        assert picture.width > 400


def test_an_encoder_comes_out_of_any_checkpoint(home: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(home / "whole", run)
    best = json.loads((run / "result.json").read_text())["best"]["step"]
    planned = elo(f"export {run} --step best --dry-run --json", tmp_path)
    told = elo(f"export {run} --step best --json", tmp_path)
    assert told.exit_code == planned.exit_code == 0, told.stderr
    assert told.stdout == planned.stdout.replace(" (dry run)", "")
    path = Path(json.loads(told.stdout)["out"])
    assert path == run / f"encoder-step-{best:08}.safetensors"
    encoder, clips = load_encoder(path), torch.randn(2, 3, 4, 16, 16)
    assert encoder.card["origin"]["steps"] == best and encoder.card["origin"]["batch"] == 4
    tensors = load_step(run / "checkpoints", best).tensors
    for name, value in encoder.network.state_dict().items():
        assert torch.equal(value, tensors[f"model:encoders.rgb.{name}"])
    for step in ("9", "newest"):
        assert elo(f"export {run} --step {step}", tmp_path).exit_code == 0
        for ending in ("safetensors", "json"):
            assert (run / f"encoder-step-00000009.{ending}").read_bytes() == (run / f"encoder.{ending}").read_bytes()
    both = elo(f"export {run} --step best --format torch-export", tmp_path)
    assert both.exit_code == 0 and path.with_suffix(".pt2").is_file()
    with torch.no_grad():
        program = FORMATS["torch-export"].read(path.with_suffix(".pt2"), encoder)
        torch.testing.assert_close(program(clips), encoder(clips), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("whole --step 1", 3, "There is no checkpoint of step 1"),
        ("whole --step last", 2, "--step last is no step"),
        ("whole", 2, "Nothing is asked for that is not there"),
        ("whole --step best --out x.pt2", 2, "--out is for a file of another format"),
        (f"whole --step {'9' * 5000}", 2, "is no step"),
        ("nowhere --step best", 3, "There is no checkpoint of elo pretrain in nowhere"),
    ],
)
def test_what_cannot_be_taken_out_is_said(home: Path, line: str, code: int, words: str) -> None:
    result = elo(f"export {line}", home)
    assert result.exit_code == code and words in result.stderr, result.stderr


@pytest.mark.parametrize("moment", ["open:log.jsonl:9", "os.rename:step-00000006.json:1", "os.rename:decoded.png:3"])
def test_killed_while_it_looks_it_comes_to_the_same(home: Path, videos: VideoSet, tmp_path: Path, moment: str) -> None:
    line = f"pretrain --loss uniform --data {videos.root} --config {home / 'elo.yaml'} --out {tmp_path / 'run'}"
    code, _, complained = finish(start(line, tmp_path, die_at=moment))
    assert code == -signal.SIGKILL, complained
    assert elo(line, tmp_path).exit_code == 0
    files = ("encoder.safetensors", "encoder.json", "result.json", "pictures/*", "checkpoints/*")
    assert hashes(tmp_path / "run", *files) == hashes(home / "whole", *files)


def test_the_look_may_be_changed_and_what_is_held_out_not(home: Path, videos: VideoSet) -> None:
    line = f"pretrain --loss uniform --data {videos.root} --out {home / 'whole'}"
    assert elo(f"{line} --set monitor.every=5 --set pretrain.keep=7 --set pretrain.recompute=true", home).exit_code == 0
    for change, words in (("monitor.held_out=0.6", "held_out: 0.5 → 0.6"), ("fitness.clusters=5", "clusters: 6 → 5")):
        result = elo(f"{line} --set {change}", home)
        assert result.exit_code == 2 and words in result.stderr
    assert elo(f"{line} --set fitness.record=[]", home).exit_code == 0


def test_a_best_that_is_gone_is_none(home: Path, videos: VideoSet, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(home / "whole", run)
    best = json.loads((run / "result.json").read_text())["best"]["step"]
    for path in (run / "checkpoints").glob(f"step-{best:08}*"):
        path.unlink()
    line = f"pretrain --loss uniform --data {videos.root} --out {run} --config {home / 'elo.yaml'}"
    assert elo(line, home).exit_code == 0
    left = {int(path.stem.split("-")[1]) for path in (run / "checkpoints").glob("*.json")}
    told = json.loads((run / "result.json").read_text())["best"]
    assert told is None or told["step"] in left


def test_few_videos_are_not_held_out_and_that_is_said(home: Path, videos: VideoSet, tmp_path: Path) -> None:
    line = f"pretrain --loss uniform --data {videos.root} --out {tmp_path / 'run'} --set pretrain.steps=1"
    result = elo(f"{line} --set monitor.held_out=0.1", home)
    assert result.exit_code == 0 and "would hold out fewer than 32 videos" in result.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["videos"] == 70
    result = elo(f"{line}-none --set monitor.held_out=0".replace("-none", ""), home, "--fresh")
    assert result.exit_code == 0 and "hold" not in result.stderr
