"""What goes wrong for people, through the real command line: the message, how to mend it, and the exit code."""

import ctypes
import json
import os
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from elo_cli.prepare.scenes import SceneJob, write_scene
from elo_cli.run.lock import hold
from tests.support.commands import SETTINGS, elo, files, finish, hashes, start, write_film, write_films


def refused(result: Any, code: int, *parts: str) -> None:
    """Check an exit code and that stderr says what it must, with no traceback and nothing on stdout."""
    assert result.exit_code == code, result.stderr
    assert result.stderr.count("Error:") == 1
    assert "Traceback" not in result.stderr and "bug in elo" not in result.stderr
    assert result.stdout == ""
    for part in parts:
        assert part in result.stderr


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A working directory with settings and four films."""
    (tmp_path / "elo.yaml").write_text(SETTINGS)
    write_films(tmp_path / "videos", 4)
    return tmp_path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory that is preprocessed and pretrained, not searched."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "elo.yaml").write_text(SETTINGS)
    write_films(folder / "videos", 5)
    for line in ("preprocess videos", "pretrain --loss uniform"):
        result = elo(line, folder)
        assert result.exit_code == 0, result.stderr
    return folder


# What is to be read


def test_a_folder_without_videos_and_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "notes.txt").write_text("no film")
    refused(elo("preprocess none", tmp_path), 3, "There is no video in", "Videos end in .3g2", ".mp4")
    refused(elo("preprocess nowhere", tmp_path), 3, "nowhere cannot be read: No such file or directory", "Check the path")
    refused(elo("preprocess none/notes.txt", tmp_path), 3, "notes.txt, line 1: there is no file", "Paths are relative")
    (tmp_path / "none" / "notes.pdf").write_text("no film")
    refused(elo("preprocess none/notes.pdf", tmp_path), 3, "neither a video nor a list of videos", ".csv", ".jsonl", ".txt")
    assert files(tmp_path) == ["none/notes.pdf", "none/notes.txt"]


def test_what_is_no_video_costs_nothing_else(empty: Path) -> None:
    videos = empty / "videos"
    content = (videos / "00-drift.mp4").read_bytes()
    (videos / "cut.mp4").write_bytes(content[: len(content) // 3])
    (videos / "zeros.mp4").write_bytes(bytes(4000))
    (videos / "nothing.mp4").touch()
    result = elo("preprocess videos", empty)
    assert result.exit_code == 0, result.stderr
    assert "Videos that could not be used" in result.stdout and "empty-file" in result.stdout
    failures = [json.loads(line) for line in (empty / "elo/dataset/failures.jsonl").read_text().splitlines()]
    assert [failure["video"] for failure in failures] == ["cut.mp4", "nothing.mp4", "zeros.mp4"]
    assert {failure["reason"] for failure in failures} == {"empty-file", "not-a-video"}
    assert all(failure["message"] for failure in failures)
    counted = json.loads((empty / "elo/dataset/result.json").read_text())
    assert (counted["videos"], counted["failed"]) == (4, 3)


def test_when_no_video_can_be_used_that_is_an_error(empty: Path) -> None:
    for path in (empty / "videos").iterdir():
        path.write_bytes(b"")
    for _ in range(2):  # the second time from the records
        refused(
            elo("preprocess videos", empty), 3, "Not one of 4 videos could be used: 4 × empty-file", "failures.jsonl says why"
        )
    refused(elo("evolve", empty), 3, "No video in elo/dataset could be used", "failures.jsonl")


class Opened:
    """Watches whether anybody opens a file, through the kernel."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(os.O_NONBLOCK)
        assert self.descriptor >= 0 and libc.inotify_add_watch(self.descriptor, os.fsencode(path), 0x20) >= 0  # IN_OPEN

    def __call__(self) -> bool:
        try:
            return bool(os.read(self.descriptor, 4096))
        except BlockingIOError:
            return False


@pytest.mark.skipif(sys.platform != "linux", reason="it asks the kernel through inotify")
def test_a_text_that_is_called_a_video_opens_no_other_file(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = write_film(tmp_path_factory.mktemp("elsewhere") / "secret.mp4", "spin", 5)
    texts = {
        "concat.mp4": f"ffconcat version 1.0\nfile '{secret}'\n",
        "unsafe.avi": f"ffconcat version 1.0\nfile 'file:{secret}'\nduration 1.0\n",
        "hls.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "plain.mkv": "just words\n",
    }
    for name, text in texts.items():
        (empty / "videos" / name).write_text(text)
    opened = Opened(secret)
    result = elo("preprocess videos", empty)
    assert result.exit_code == 0, result.stderr
    assert not opened()
    failures = [json.loads(line) for line in (empty / "elo/dataset/failures.jsonl").read_text().splitlines()]
    assert {failure["video"]: failure["reason"] for failure in failures} == dict.fromkeys(texts, "not-a-video")
    secret.read_bytes()
    assert opened()  # the watch does watch


# Storage


def limit_files() -> None:
    """Let no file of this process grow past 100 kB, as if the disk were full there."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_a_full_disk_keeps_the_finished_shards(empty: Path) -> None:
    write_scene(SceneJob(empty / "videos" / "wide.mp4", "orbit", 9, (24, 160), 8, 1.5))
    line = "preprocess videos --set preprocess.videos_per_shard=2"
    code, said, complained = finish(start(line, empty, prepare=limit_files))
    assert code == 74, complained
    plan = [json.loads(line)["shard"] for line in (empty / "elo" / "dataset" / "plan.jsonl").read_text().splitlines()]
    assert f"{plan[2]} cannot be written: File too large" in complained
    assert "what was finished before is safe" in complained and said == ""
    dataset = empty / "elo" / "dataset"
    assert files(dataset / "shards") == sorted(plan[:2])
    before = hashes(dataset, "shards/*")
    times = [(dataset / "shards" / name).stat().st_mtime_ns for name in plan[:2]]
    assert elo(line, empty).exit_code == 0
    assert hashes(dataset, "shards/*").items() > before.items()
    assert [(dataset / "shards" / name).stat().st_mtime_ns for name in plan[:2]] == times


def test_a_full_disk_while_training(done: Path, tmp_path: Path) -> None:
    line = f"pretrain --loss uniform --out {tmp_path / 'run'}"
    code, _, complained = finish(start(line, done, prepare=limit_files))
    assert code == 74, complained
    assert "cannot be written: File too large" in complained
    assert not list(tmp_path.rglob("*.part"))
    assert elo(line, done).exit_code == 0
    kept = ("encoder.safetensors", "result.json")
    assert hashes(tmp_path / "run", *kept) == hashes(done / "elo" / "pretrain", *kept)


def test_a_place_that_cannot_be_written(empty: Path) -> None:
    (empty / "elo").write_text("a file where the folder should be")
    refused(elo("preprocess videos", empty), 74, "cannot be written", "--out")


# Settings and losses


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("pretrain --preset smal", ["There is no preset called 'smal'", "small"]),
        ("pretrain --set pretrain.stepz=3", ["There is no setting 'pretrain.stepz' (--set pretrain.stepz)", "'pretrain.steps'"]),
        ("pretrain --set pretrain.steps=0", ["pretrain.steps is 0", "at least 1"]),
        ("pretrain --set pretrain.lr=.nan", ["pretrain.lr is NaN", "a number"]),
        ("evolve --strategy cma", ["cma", "cma-es"]),
        ("benchmark hmdb", ["hmdb", "hmdb51"]),
        ("pretrian", ["pretrian", "pretrain"]),
        ("proxy-search --strategy cma-es", ["proxy-search tries random or gridded losses", "elo evolve --strategy cma-es"]),
        ("pretrain --loss nowhere.yaml", ["There is no loss file nowhere.yaml", "uniform"]),
    ],
)
def test_what_is_mistyped_gets_the_nearest(done: Path, line: str, parts: list[str]) -> None:
    refused(elo(line, done), 2, *parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("pretrain: {batchsize: 4}", ["There is no setting 'pretrain.batchsize' (elo.yaml)", "pretrain.batch"]),
        ("pretrains: {batch: 4}", ["There is no setting 'pretrains.batch' (elo.yaml)", "'pretrain.batch'"]),
        ("seed: 1\nseed: 2", ["elo.yaml", "seed"]),
        ("pretrain: {lr: fast}", ['pretrain.lr is "fast" (elo.yaml)', "a number"]),
        ("seed: [", ["elo.yaml"]),
        ("!!python/object/apply:os.system ['true']", ["elo.yaml"]),
    ],
)
def test_faults_of_elo_yaml_are_named(tmp_path: Path, text: str, parts: list[str]) -> None:
    (tmp_path / "elo.yaml").write_text(text)
    refused(elo("evolve", tmp_path), 2, *parts)
    assert files(tmp_path) == ["elo.yaml"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("rgb.reverze: 1.0", ["There is no term 'rgb.reverze'", "rgb.reverse"]),
        ("rgb.reverse: 1.5", ["The weight of rgb.reverse is 1.5", "[0, 1]"]),
        ("rgb.reverse: -0.1", ["The weight of rgb.reverse is -0.1", "[0, 1]"]),
        ("rgb.reverse: .nan", ["The weight of rgb.reverse is nan", "[0, 1]"]),
        ("rgb.reverse: high", ["The weight of rgb.reverse is 'high'", "[0, 1]"]),
        ("rgb.reverse: 1.0\nrgb.reverse: 0.5", ["loss.yaml", "rgb.reverse"]),
        ("- rgb.reverse", ["loss.yaml"]),
    ],
)
def test_faults_of_a_loss_are_named(done: Path, tmp_path: Path, text: str, parts: list[str]) -> None:
    (tmp_path / "loss.yaml").write_text(text)
    line = f"pretrain --loss {tmp_path / 'loss.yaml'} --out {tmp_path / 'run'}"
    refused(elo(line, done), 2, *parts)
    refused(elo(f"{line} --dry-run", done), 2, *parts)
    assert files(tmp_path) == ["loss.yaml"]


@pytest.mark.parametrize("text", ["{}", "rgb.reverse: 0.0"])
def test_a_loss_of_nothing_is_refused(done: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "loss.yaml").write_text(text)
    refused(elo(f"pretrain --loss {tmp_path / 'loss.yaml'} --out {tmp_path / 'run'}", done), 2, "Every weight of the loss is 0")
    assert files(tmp_path) == ["loss.yaml"]


# Order, places, and who is there already


def test_what_needs_an_earlier_command_names_it(empty: Path) -> None:
    refused(elo("evolve", empty), 3, "There is no preprocessed set in elo yet", "elo preprocess")
    refused(elo("proxy-search", empty), 3, "elo preprocess")
    refused(elo("pretrain", empty), 3, "elo preprocess")
    refused(elo("extract-features videos", empty), 3, "There is no pretrained encoder in elo yet", "elo pretrain")
    assert not (empty / "elo").exists()


def test_pretrain_before_evolve_names_evolve(done: Path) -> None:
    refused(elo("pretrain", done), 3, "There is no evolved loss in elo yet", "elo evolve", "elo pretrain --loss uniform")


def test_a_benchmark_without_its_data_says_how_to_get_them(done: Path) -> None:
    parts = ["HMDB51 was not found", "hmdb51_org.rar", "testTrainMulti_7030_splits", "DIR/videos/", "elo benchmark hmdb51 --root"]
    refused(elo("benchmark hmdb51", done), 3, *parts)
    refused(elo("benchmark hmdb51 --root nowhere", done), 3, *parts)


def test_a_run_of_other_settings_is_not_gone_on_with(done: Path) -> None:
    before = files(done)
    line = "pretrain --loss uniform --set pretrain.lr=0.02 --seed 4"
    refused(elo(line, done), 2, "was begun with other settings", "pretrain.lr: 0.1 → 0.02", "seed: 0 → 4", "--fresh")
    refused(elo("preprocess videos --set preprocess.fps=4.0", done), 2, "preprocess.fps: 8.0 → 4.0", "--fresh")
    assert files(done) == before


def test_fresh_begins_beside(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done, tmp_path / "copy")
    before = hashes(tmp_path / "copy", "elo/pretrain/*.*")
    result = elo("pretrain --loss uniform --set pretrain.lr=0.02 --set pretrain.steps=2 --fresh", tmp_path / "copy")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "copy/elo/pretrain-2/encoder.safetensors").exists()
    assert hashes(tmp_path / "copy", "elo/pretrain/*.*") == before


def test_a_second_process_on_one_run_is_told_of_the_first(done: Path) -> None:
    dataset = done / "elo" / "dataset"
    with hold(dataset / "lock", dataset / "lock.json", "elo preprocess videos"):
        result = elo("preprocess videos", done)
    refused(result, 4, f"is in use by process {os.getpid()}", "elo preprocess videos", "--fresh")


def test_clips_that_no_segment_holds_are_refused(done: Path, tmp_path: Path) -> None:
    parts = ["A clip spans 200 stored frames, but the longest segment has 11", "Lower clip.frames"]
    refused(elo(f"pretrain --loss uniform --out {tmp_path}/a --set pretrain.clip.frames=200", done), 3, *parts)
    refused(elo(f"evolve --set proxy.clip.frames=200 --out {tmp_path}/b", done), 3, *parts)
    assert files(tmp_path) == []  # a directory there would hold the next attempt to these settings
    refused(elo("evolve --dry-run --data videos", done), 3, "videos is not a preprocessed set", "elo preprocess")
