"""Kinetics-400: miniature copies with annotations as published, whole and broken."""

import shutil
from pathlib import Path

import pytest

from elo_cli.core.errors import DataError
from elo_cli.datasets import SHELF, LabelledSet, LabelledVideo, kinetics400

CLASSES = ("abseiling", "driving car", "petting animal (not cat)")
COUNTS = {"train": 3, "val": 2, "test": 2}  # of each class
HEADER = "label,youtube_id,time_start,time_end,split,is_cc"


def clips(side: str) -> list[tuple[str, str, int]]:
    """Return class, YouTube id and second of the clips of a side; ids may begin and end with dashes."""
    return [
        (label, f"-{side:_<5}{number}{clip}_x-", clip * 7) for number, label in enumerate(CLASSES) for clip in range(COUNTS[side])
    ]


def name(source: str, start: int) -> str:
    return f"{source}_{start:06d}_{start + 10:06d}"


def annotate(folder: Path) -> None:
    """Write the annotations: labels with blanks are in quotes, the test side has none."""
    folder.mkdir(parents=True, exist_ok=True)
    for side in ("train", "val"):
        quoted = {label: f'"{label}"' if " " in label else label for label in CLASSES}
        rows = [f"{quoted[label]},{source},{start},{start + 10},{side},0" for label, source, start in clips(side)]
        (folder / f"kinetics-400_{side}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    rows = [f"{source},{start},{start + 10},test" for _, source, start in clips("test")]
    (folder / "kinetics-400_test.csv").write_text("\n".join(["youtube_id,time_start,time_end,split", *rows]) + "\n")


def build(root: Path, *, path: str = "{side}/{label}/{name}.mp4", annotations: str = "annotations", blank: str = " ") -> Path:
    """Write a small copy, its files called by `path`, blanks of class folders replaced by `blank`."""
    annotate(root / annotations)
    for side in COUNTS:
        for label, source, start in clips(side):
            words = {"side": side, "label": label.replace(" ", blank), "name": name(source, start), "id": source}
            file = root / path.format(**words)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return root


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole copy, as far as miniature counts go."""
    monkeypatch.setattr(kinetics400, "CLASSES", 3)
    monkeypatch.setattr(kinetics400, "FEWEST", {"train": 9, "val": 6})
    return build(tmp_path / "set")


def refusal(root: Path | None, *, allow_incomplete: bool = False) -> DataError:
    with pytest.raises(DataError) as caught:
        kinetics400.find(root, seed=0, allow_incomplete=allow_incomplete)
    assert caught.value.hint
    return caught.value


def of(found: LabelledSet, word: str) -> list[LabelledVideo]:
    return [video for video in found.videos if word in video.id]


def check(found: LabelledSet) -> None:
    assert (found.name, len(found.videos), found.missing) == ("kinetics400", 15, ())
    ids = [video.id for video in found.videos]
    assert ids == sorted(ids)
    assert all(video.path == found.root / video.id and video.path.is_file() and video.group is None for video in found.videos)
    (split,) = found.splits
    assert (split.name, len(split.train), len(split.test)) == ("val", 9, 6)
    assert set(split.train) | set(split.test) == set(ids)
    labels = {video.id: video.label for video in found.videos}
    for side, videos in (("train", split.train), ("val", split.test)):
        for label, source, _ in clips(side):
            assert [labels[video] for video in videos if source in video] == [label]


@pytest.mark.parametrize("annotations", ["annotations", "."])
@pytest.mark.parametrize(
    ("path", "blank"),
    [
        ("{side}/{label}/{name}.mp4", " "),
        ("{side}/{label}/{name}.mp4", "_"),
        ("{side}/{name}.mp4", " "),
        ("{side}/{id}.mp4", " "),
        ("videos_{side}/{label}/{name}.mkv", "_"),
        ("{name}.mp4", " "),
        ("validation/{name}.webm", " "),
    ],
)
def test_usual_layouts_are_found(small: Path, tmp_path: Path, path: str, blank: str, annotations: str) -> None:
    check(kinetics400.find(build(tmp_path / "other", path=path, annotations=annotations, blank=blank), seed=0))
    assert SHELF.take("kinetics400") is kinetics400


def test_files_beside_the_clips_and_the_test_side_make_no_difference(small: Path) -> None:
    found = kinetics400.find(small, seed=0)
    (small / "val/abseiling/abcdefghijk_000001_000011.mp4").touch()  # not annotated
    (small / "val/.hidden_000001_000011.mp4").touch()
    (small / "notes.txt").touch()
    frames = small / "rawframes/abseiling" / name(*clips("val")[0][1:])
    frames.mkdir(parents=True)
    (frames / "img_00001.jpg").touch()
    assert kinetics400.find(small, seed=0) == found
    assert not of(found, "test")


def test_of_two_files_of_a_clip_that_of_its_side_is_taken(small: Path) -> None:
    (small / "replacement").mkdir()
    for path in sorted((small / "val/abseiling").iterdir()):
        shutil.copy(path, small / "replacement" / path.name)
        shutil.copy(path, small / "train" / path.name)
    check(kinetics400.find(small, seed=0))
    assert len(of(kinetics400.find(small, seed=0), "val/abseiling/")) == 2
    shutil.rmtree(small / "val/abseiling")
    found = kinetics400.find(small, seed=0)
    check(found)
    assert len(of(found, "replacement/")) == 2


def test_missing_clips_are_counted_by_side_and_named(small: Path) -> None:
    shutil.rmtree(small / "train/abseiling")
    _, source, start = clips("val")[2]
    (small / f"val/driving car/{name(source, start)}.mp4").unlink()
    error = refusal(small)
    assert "train lacks 3 of 9 clips, of 1 classes; val lacks 1 of 6 clips, of 1 classes" in error.message
    assert "4 of 15 videos are missing" in error.message
    assert f"val/driving car/{name(source, start)}.mp4" in error.message
    assert "--allow-incomplete is usual here" in error.hint
    found = kinetics400.find(small, seed=0, allow_incomplete=True)
    assert len(found.missing) == 4 and len(found.videos) == 11
    assert [(len(split.train), len(split.test)) for split in found.splits] == [(6, 5)]


def test_a_whole_class_that_is_missing_is_named(small: Path) -> None:
    for side in ("train", "val"):
        shutil.rmtree(small / side / "driving car")
    assert "5 of 15 videos are missing (all of driving car)" in refusal(small).message


def test_missing_annotations_are_named(small: Path) -> None:
    (small / "annotations/kinetics-400_train.csv").unlink()
    without = "(without abseiling, driving car, petting animal (not cat))"
    assert f"0 classes are annotated for train, not 3 {without}" in refusal(small).message
    assert "No split of Kinetics-400 has both" in refusal(small, allow_incomplete=True).message


def test_annotations_that_break_off_are_named(small: Path) -> None:
    path = small / "annotations/kinetics-400_val.csv"
    path.write_text("".join(path.read_text().splitlines(True)[:-1]))
    assert "5 clips are annotated for val, and every edition has at least 6" in refusal(small).message


def test_classes_that_are_not_annotated_are_named(small: Path) -> None:
    path = small / "annotations/kinetics-400_val.csv"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "driving" not in line))
    assert "2 classes are annotated for val, not 3 (without driving car)" in refusal(small).message
    found = kinetics400.find(small, seed=0, allow_incomplete=True)
    assert len(found.videos) == 13


def test_clips_of_one_video_are_a_group(small: Path) -> None:
    label, source, start = clips("train")[0]
    path = small / "annotations/kinetics-400_train.csv"
    path.write_text(path.read_text() + f"{label},{source},40,50,train,0\n")
    (small / f"train/{name(source, 40)}.mp4").touch()
    found = kinetics400.find(small, seed=0)
    assert sorted((video.group, video.path.stem) for video in found.videos if video.group) == [
        (source, name(source, start)),
        (source, name(source, 40)),
    ]


def test_a_file_called_by_its_video_alone_is_not_taken_for_two_clips(small: Path, tmp_path: Path) -> None:
    root = build(tmp_path / "other", path="{side}/{id}.mp4")
    label, source, _ = clips("train")[0]
    path = root / "annotations/kinetics-400_train.csv"
    path.write_text(path.read_text() + f"{label},{source},40,50,train,0\n")
    assert "train lacks 2 of 10 clips" in refusal(root).message


@pytest.mark.parametrize("allow_incomplete", [False, True])
@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"label": "driving car"}, "have no class, or more than one: "),
        ({"split": "val"}, "have no side (train, val or test), or more than one: "),
        (
            {"source": "abcdefghijk", "split": ""},
            "have no side (train, val or test), or more than one: abcdefghijk_000000_000010",
        ),
        ({"source": "abcdefghijk", "split": "dev"}, "have no side"),
        ({"source": "abcdefghijk", "label": ""}, "have no class, or more than one: abcdefghijk_000000_000010"),
    ],
)
def test_rows_that_differ_or_lack_are_refused(small: Path, change: dict[str, str], wrong: str, allow_incomplete: bool) -> None:
    label, source, start = clips("train")[0]
    row = {"label": label, "source": source, "split": "train"} | change
    path = small / "annotations/kinetics-400_train.csv"
    path.write_text(path.read_text() + f"{row['label']},{row['source']},{start},{start + 10},{row['split']},0\n")
    message = refusal(small, allow_incomplete=allow_incomplete).message
    assert f"1 clips that {small} annotates {wrong}" in message


def test_a_row_that_comes_twice_is_one_clip(small: Path) -> None:
    path = small / "annotations/kinetics-400_val.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    check(kinetics400.find(small, seed=0))


@pytest.mark.parametrize("damage", ["abseiling,abcdefghijk,ten,20,val,0\n", "abseiling,abcdefghijk\n", '"abseiling,abc'])
@pytest.mark.parametrize("allow_incomplete", [False, True])
def test_damaged_rows_are_refused_with_their_line(small: Path, damage: str, allow_incomplete: bool) -> None:
    path = small / "annotations/kinetics-400_val.csv"
    path.write_text(path.read_text() + damage)
    assert f"{path}, line 8: " in refusal(small, allow_incomplete=allow_incomplete).message


def test_one_half_without_the_other_is_named(small: Path, tmp_path: Path) -> None:
    annotate(tmp_path / "a")
    assert "has annotations, but no videos" in refusal(tmp_path / "a").message
    shutil.copytree(small / "val", tmp_path / "b/val")
    assert "has videos, but no annotations (train.csv, val.csv)" in refusal(tmp_path / "b").message


def test_the_published_number_of_classes_holds_by_default(tmp_path: Path) -> None:
    message = refusal(build(tmp_path / "set")).message
    assert "3 classes are annotated for train, not 400; 3 classes are annotated for val, not 400" in message


def test_folders_that_lead_back_end(small: Path) -> None:
    (small / "val/loop").symlink_to(small, target_is_directory=True)
    check(kinetics400.find(small, seed=0))
