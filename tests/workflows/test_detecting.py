"""`elo benchmark ava` on a miniature: what it says, what it refuses, and that a stop or more processes change nothing."""

import json
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elo_cli.core.boxes import BoxedSet, Keyframe
from elo_cli.core.settings import PreprocessSettings
from elo_cli.core.train_settings import ClipSettings
from elo_cli.data.records import SegmentRecord
from elo_cli.data.video_set import Segment, Video
from elo_cli.prepare.decode import decode_video
from elo_cli.prepare.pack import segment_plan
from elo_cli.prepare.segment import Span
from elo_cli.workflows.boxed_benchmark import digest
from elo_cli.workflows.detecting import counting, score, shows, stretch
from tests.support.commands import SETTINGS, elo, files, finish, start
from tests.support.encoders import write_encoder
from tests.support.small_ava import ACTIONS, FILMS, write_detections, write_small_ava

LINE = "benchmark ava --root ava --encoder tiny=encoder/encoder.safetensors"
LEARN = "--set benchmark.detection.epochs=16 --set benchmark.detection.batch=8 --set benchmark.detection.checkpoint_every=4"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a miniature, an encoder, and a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "elo.yaml").write_text(SETTINGS)
    write_small_ava(folder / "ava")
    write_encoder(folder / "encoder", size=32)
    found = elo(f"{LINE} {LEARN}", folder)
    assert found.exit_code == 0, found.stderr
    return folder


def read(run: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((run / "result.json").read_text())
    return document


def lines(run: Path) -> dict[str, dict[str, Any]]:
    return {line["representation"]: line for line in read(run)["results"]}


def copy(home: Path, folder: Path) -> Path:
    """Make a working directory with the same set and encoder, and nothing done."""
    for name in ("ava", "encoder"):
        shutil.copytree(home / name, folder / name)
    shutil.copy(home / "elo.yaml", folder)
    return folder


def test_a_result_says_everything_that_must_be_known(home: Path) -> None:
    document = read(home / "elo/benchmark-ava")
    assert set(document) == {"elo", "computed", "dataset", "settings", "results", "representations"}
    assert document["settings"]["benchmark"]["protocols"] == ["detection"]
    dataset = document["dataset"]
    assert (dataset["asked"], dataset["boxes"], dataset["videos"], dataset["classes"]) == ("ava", "annotations", 4, 3)
    assert [line["representation"] for line in document["results"]] == ["untrained", "tiny"]
    for line in document["results"]:
        assert line["protocol"] == "detection" and line["dataset"] == "ava" and "accuracy" not in line
        # 18 seconds of each of two films, one of each side excluded; in five seconds of the rest nobody was annotated.
        counts = {"train": 35, "without_boxes": 5, "trained": 30, "unread_train": 0, "test": 35, "unreadable": 0}
        assert line["keyframes"] == counts
        assert list(line["per_class"]) == list(ACTIONS.values())
        mean = np.mean(list(line["per_class"].values()))
        assert line["mean_average_precision"] == line["metrics"]["mean_average_precision"] == pytest.approx(mean)
        assert (line["boxes"], line["given_boxes"], line["score_threshold"], line["most"]) == ("ground truth", 60, None, 50)
        seen = ("frames", "stride", "fps", "size", "view", "frozen", "seed", "missing_videos")
        assert [line[name] for name in seen] == [4, 1, 8.0, 32, "the whole frame, squeezed", False, 0, 0]
        assert line["steps"] == 60 and len(line["encoder"]) == 64


def test_what_moves_how_is_learned_of_persons_side_by_side(home: Path) -> None:
    # All of one score would find each class with a precision of a third.
    assert min(line["mean_average_precision"] for line in lines(home / "elo/benchmark-ava").values()) > 0.6
    assert elo(f"{LINE} --out barely --set benchmark.detection.epochs=0.01", home).exit_code == 0
    assert max(line["mean_average_precision"] for line in lines(home / "barely").values()) < 0.55


def test_a_table_shows_it_and_the_same_command_has_nothing_left_to_do(home: Path) -> None:
    found = elo(f"{LINE} {LEARN}", home)
    assert found.exit_code == 0 and "training" not in found.stderr
    for text in ("ava: mAP in %", "untrained", "tiny", "boxes: ground truth, at most 50 detections of a", "30 keyframes trained"):
        assert text in found.stdout, text


def test_a_dry_run_writes_nothing(home: Path, tmp_path: Path) -> None:
    folder = copy(home, tmp_path)
    before = files(folder)
    found = elo(f"{LINE} --dry-run", folder)
    assert found.exit_code == 0 and "35 + 35" in found.stdout and "tiny" in found.stdout
    assert files(folder) == before


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ("--protocol linear", ["ava cannot be scored by linear", "detection"]),
        ("--protocol detection --protocol finetune", ["ava cannot be scored by finetune"]),
        ("--set benchmark.protocols=[kmeans,linear]", ["ava cannot be scored by kmeans, linear"]),
        ("--table 1", ["No table of the paper has numbers of ava", "--table"]),
        ("--features x.safetensors", ["know nothing of the boxes of ava"]),
        ("--set benchmark.splits=[first]", ["ava has no split 'first'"]),
    ],
)
@pytest.mark.parametrize("dry", ["", " --dry-run"])
def test_what_boxes_have_not_is_refused(home: Path, more: str, parts: list[str], dry: str) -> None:
    before = files(home)
    found = elo(f"{LINE} {more}{dry}", home)
    assert found.exit_code == 2 and "How to mend it" in found.stderr
    for part in parts:
        assert part in found.stderr
    assert files(home) == before


def test_other_sets_are_not_scored_by_detection(home: Path) -> None:
    line = "benchmark folder --root nowhere --protocol detection"
    found = elo(line, home)
    assert found.exit_code == 2 and "needs persons in boxes, and folder has none" in found.stderr, found.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="it kills as Linux does")
def test_a_killed_run_goes_on_to_the_same_result(home: Path, tmp_path: Path) -> None:
    folder = copy(home, tmp_path)
    for moment in ("untrained/training/checkpoints/step-00000012.json:1", "tiny/training/checkpoints/step-00000008.json:1"):
        code, _, complained = finish(start(f"{LINE} {LEARN}", folder, die_at=f"os.rename:{moment}"))
        assert code == -signal.SIGKILL, complained
    assert (folder / "elo/benchmark-ava/detection/untrained/result.json").exists()
    assert not (folder / "elo/benchmark-ava/result.json").exists()
    found = elo(f"{LINE} {LEARN}", folder)
    assert found.exit_code == 0 and "going on from step 4" in found.stderr, found.stderr
    assert read(folder / "elo/benchmark-ava")["results"] == read(home / "elo/benchmark-ava")["results"]


@pytest.mark.skipif(sys.platform != "linux", reason="two processes meet by gloo")
def test_two_processes_begin_as_one_and_end_well(home: Path) -> None:
    code, said, complained = finish(start(f"{LINE} {LEARN} --processes 2 --json --out {home / 'two'}", home))
    assert code == 0, complained
    assert [line["representation"] for line in json.loads(said)["results"]] == ["untrained", "tiny"]
    first = [
        json.loads((place / "detection/tiny/training/log.jsonl").read_text().splitlines()[0])
        for place in (home / "two", home / "elo/benchmark-ava")
    ]
    assert first[0]["step"] == first[1]["step"] == 1 and first[0]["loss"] == pytest.approx(first[1]["loss"], rel=1e-4)


def test_a_result_is_done_again_from_itself_alone(home: Path) -> None:
    found = elo("benchmark --repeat elo/benchmark-ava/result.json --out again --json", home)
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["repeated"] == {"lines": 2, "equal": True, "differences": {}}


def test_the_encoder_can_stay_as_it_is(home: Path) -> None:
    more = "--out frozen --set benchmark.detection.frozen=true --set benchmark.baselines=false"
    assert elo(f"{LINE} {LEARN} {more}", home).exit_code == 0
    (line,) = lines(home / "frozen").values()
    moving = lines(home / "elo/benchmark-ava")["tiny"]
    assert line["frozen"] and line["mean_average_precision"] != moving["mean_average_precision"]


def test_unreadable_keyframes_are_told_and_what_is_in_them_counts(home: Path, tmp_path: Path) -> None:
    folder = copy(home, tmp_path)
    (folder / f"ava/videos_15min/{FILMS['val'][1]}.mp4").write_bytes(b"no film")
    (folder / f"ava/videos_15min/{FILMS['train'][1]}.mp4").unlink()  # missing: told by the set itself
    found = elo(f"{LINE} {LEARN}", folder)
    assert found.exit_code == 0 and "15 of 30 videos could not be used" in found.stderr, found.stderr
    line = lines(folder / "elo/benchmark-ava")["tiny"]
    counts = {"train": 17, "without_boxes": 2, "trained": 15, "unread_train": 0, "test": 35, "unreadable": 15}
    assert line["keyframes"] == counts and line["missing_videos"] == 1 and line["given_boxes"] == 30
    assert line["mean_average_precision"] < 0.75, "half of the boxes are never found"


def test_a_film_that_ends_before_a_keyframe_does_not_show_it(home: Path, tmp_path: Path) -> None:
    folder = copy(home, tmp_path)
    path = folder / "ava/annotations/ava_val_v2.2.csv"
    # The film's last picture is that of 19.875 s: the clip around second 920 has a half of its frames, that around 921 none.
    for second in (920, 921):
        path.write_text(path.read_text() + f"{FILMS['val'][0]},0{second},0.1,0.1,0.5,0.8,12,0\n")
    assert elo(f"{LINE} {LEARN} --set benchmark.baselines=false", folder).exit_code == 0
    (line,) = lines(folder / "elo/benchmark-ava").values()
    assert (line["keyframes"]["test"], line["keyframes"]["unreadable"]) == (37, 1)


def test_a_clip_that_ends_before_its_keyframe_does_not_show_it() -> None:
    record = SegmentRecord("x", 19.5, 4, 20, 40, False, 0)  # pictures of 19.5 to 20 s at 8 a second
    video = Video("x", None, None, (Segment(0, 0, record),))
    assert [shows(video, at_s, 8.0) for at_s in (19.5, 20.0, 20.125, 20.2)] == [True, True, True, False]


def test_detected_boxes_count_from_a_threshold_on(home: Path, tmp_path: Path) -> None:
    folder = copy(home, tmp_path)
    write_detections(folder / "ava")
    for name, more, given in (("sure", "", 49), ("all", "--set benchmark.detection.score_threshold=0.4", 61)):
        line = f"{LINE} {LEARN} --out {name} {more} --set benchmark.baselines=false"
        assert elo(line, folder).exit_code == 0
        (found,) = lines(folder / name).values()
        assert (found["boxes"], found["given_boxes"]) == ("ava_val_predicted_boxes.csv", given)
        assert found["score_threshold"] == (0.4 if more else 0.8)


def keyframe(name: str, given: int, confidence: tuple[float, ...] = (), labels: tuple[int, ...] = (12,)) -> Keyframe:
    box_G4 = np.array([[0.1 * n, 0.2, 0.1 * n + 0.1, 0.6] for n in range(given)]).reshape(-1, 4)
    sure_G = np.array(confidence or (1.0,) * given)
    return Keyframe(Path("/a.mp4"), name, "a", 902.0, 2.0, box_G4, (labels,) * given, box_G4, sure_G)


def boxed(*test: Keyframe) -> BoxedSet:
    return BoxedSet("ava", Path("/"), ACTIONS, (), test, "annotations")


def test_what_is_never_read_is_never_found() -> None:
    found = boxed(keyframe("a@1", 2), keyframe("a@2", 2), keyframe("a@3", 0))
    perfect = np.array([[1.0, 0.0, 0.0]] * 2)
    told = score(found, {"a@1": perfect, "a@2": perfect, "a@3": np.empty((0, 3))}, 50)
    assert told["mean_average_precision"] == 1 and told["given_boxes"] == 4
    assert list(told["per_class"].values()) == [1.0, None, None], "no other class is annotated"
    half = score(found, {"a@1": perfect}, 50)
    assert half["mean_average_precision"] == 0.5 and half["given_boxes"] == 2
    one = score(found, {"a@1": perfect, "a@2": perfect}, 1)
    assert one["mean_average_precision"] == 0.5, "one detection of a keyframe counts"


def test_boxes_count_from_the_threshold_itself_on() -> None:
    (kept,) = counting(boxed(keyframe("a@1", 3, (0.79, 0.8, 1.0))), 0.8).test
    assert kept.confidence_G.tolist() == [0.8, 1.0] and kept.given_G4[:, 0].tolist() == [0.1, 0.2]
    assert len(kept.box_K4) == 3, "the annotated ones stay"


@pytest.mark.parametrize(("at_s", "middle_s"), [(2.0, 2.0), (0.1, 0.4375)])
def test_a_clip_has_its_keyframe_in_the_middle_or_begins_the_film(home: Path, at_s: float, middle_s: float) -> None:
    clip, nobody = ClipSettings(frames=4, stride=2, size=32), keyframe("x", 0)
    film = home / f"ava/videos_15min/{FILMS['val'][0]}.mp4"
    listed = stretch(replace(nobody, path=film, at_s=at_s), clip, 8.0)
    assert listed.id == "x" and listed.start_s is not None and listed.end_s is not None
    settings = PreprocessSettings(fps=8.0, short_side=20, segment_seconds=7 / 8, max_segments=1, min_seconds=0.0, flow="none")
    (segment,) = decode_video(listed.path, segment_plan(settings), Span(listed.start_s, listed.end_s)).segments
    assert len(segment.rgb_THWC) == clip.span == 7
    assert segment.start_s + 3 / 8 == pytest.approx(middle_s, abs=0.07)


def test_a_digest_names_boxes_and_labels() -> None:
    found = [
        digest(boxed(one))
        for one in (
            keyframe("a@1", 2),
            keyframe("a@2", 2),
            keyframe("a@1", 1),
            keyframe("a@1", 2, (0.5, 1.0)),
            keyframe("a@1", 2, labels=(17,)),
        )
    ]
    assert len(set(found)) == 5 and digest(boxed(keyframe("a@1", 2))) == found[0]
