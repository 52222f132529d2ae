"""HMDB51: miniature copies in the published formats, whole and broken."""

import shutil
from pathlib import Path

import pytest

from elo_cli.core.errors import DataError
from elo_cli.datasets import SHELF, LabelledSet, hmdb51

ODD = "Brushing__[_NEW_AUDIO_]_UPDATED!!!!_(Nick)_x#y;z&~@+-)_h_cm_np1_fr_goo_{}.avi"
CLASSES = ("brush_hair", "climb", "climb_stairs", "hit")


def build(
    root: Path,
    *,
    classes: tuple[str, ...] = CLASSES,
    per_side: int = 2,
    splits: str = "testTrainMulti_7030_splits",
    videos: str = "videos",
) -> Path:
    """Write a small copy: each class has `per_side` training, test and unused videos in each split."""
    for label in classes:
        folder = root / videos / label
        folder.mkdir(parents=True)
        names = [ODD.format(number) for number in range(3 * per_side - 1)] + ["with a blank 2.avi"]
        for name in names:
            (folder / name).touch()
        (root / splits).mkdir(parents=True, exist_ok=True)
        for split in range(3):
            lines = [f"{name} {(number + split) % 3} " for number, name in enumerate(names)]
            (root / splits / f"{label}_test_split{split + 1}.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole copy, as far as miniature counts go."""
    for name, value in {"CLASSES": 4, "VIDEOS": 24, "PER_CLASS": {"train": 2, "test": 2}}.items():
        monkeypatch.setattr(hmdb51, name, value)
    monkeypatch.delenv("ELO_DATA", raising=False)
    return build(tmp_path / "set")


def refusal(root: Path | None, *, allow_incomplete: bool = False) -> DataError:
    with pytest.raises(DataError) as caught:
        hmdb51.find(root, seed=0, allow_incomplete=allow_incomplete)
    return caught.value


def check(found: LabelledSet) -> None:
    assert found.name == "hmdb51"
    assert len(found.videos) == 24
    assert [video.id for video in found.videos] == sorted(video.id for video in found.videos)
    assert all(video.path == found.root / video.id and video.path.is_file() for video in found.videos)
    assert all(video.label == video.id.split("/")[0] for video in found.videos)
    assert [split.name for split in found.splits] == ["1", "2", "3"]
    for split in found.splits:
        assert len(split.train) == len(split.test) == 8
        assert not set(split.train) & set(split.test)
    assert found.missing == ()


def test_the_published_layout_is_found(small: Path) -> None:
    found = hmdb51.find(small, seed=0)
    check(found)
    assert SHELF.take("hmdb51") is hmdb51
    first = found.splits[0]  # the code of file n in split 1 is n % 3
    assert f"hit/{ODD.format(1)}" in first.train
    assert f"hit/{ODD.format(2)}" in first.test
    assert "hit/with a blank 2.avi" in first.test
    assert f"hit/{ODD.format(0)}" not in first.train + first.test


def test_archives_that_went_into_folders_of_their_own_make_no_difference(small: Path) -> None:
    found = hmdb51.find(small, seed=0)
    for label in CLASSES[:2]:
        (small / "videos" / label).rename(small / "moved")
        (small / "videos" / label).mkdir()
        (small / "moved").rename(small / "videos" / label / label)
    doubled = hmdb51.find(small, seed=0)
    assert (doubled.splits, doubled.missing) == (found.splits, ())
    assert [(video.id, video.label) for video in doubled.videos] == [(video.id, video.label) for video in found.videos]
    assert all(video.path.is_file() for video in doubled.videos)
    places = {video.label: video.path.parent.relative_to(doubled.root).as_posix() for video in doubled.videos}
    assert places == {"brush_hair": "brush_hair/brush_hair", "climb": "climb/climb", "climb_stairs": "climb_stairs", "hit": "hit"}


def test_classes_whose_name_begins_another_are_told_apart(small: Path) -> None:
    found = hmdb51.find(small, seed=0)
    assert sum(video.label == "climb" for video in found.videos) == 6
    assert sum(video.label == "climb_stairs" for video in found.videos) == 6


@pytest.mark.parametrize(
    ("splits", "videos"), [("splits", "hmdb51_org"), (".", "."), ("lists", "."), (".", "videos"), ("a", "z")]
)
def test_other_usual_layouts_are_found(small: Path, tmp_path: Path, splits: str, videos: str) -> None:
    check(hmdb51.find(build(tmp_path / "other", splits=splits, videos=videos), seed=0))


def test_without_a_root_the_usual_places_are_searched(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ("hmdb51", "elo/hmdb51", "data/hmdb51"):
        shutil.copytree(small, tmp_path / place)
        check(hmdb51.find(None, seed=0))
        shutil.rmtree(tmp_path / place)
    shutil.copytree(small, tmp_path / "store/hmdb51")
    monkeypatch.setenv("ELO_DATA", "store")
    check(hmdb51.find(None, seed=0))


def test_a_missing_set_says_where_it_looked_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ELO_DATA", raising=False)
    error = refusal(None)
    for place in ("hmdb51", "elo/hmdb51", "data/hmdb51"):
        assert str(tmp_path / place) in error.message
    assert "$ELO_DATA is not set" in error.message
    for word in (
        "hmdb51_org.rar",
        "test_train_splits.rar",
        "serre-lab",
        "mirror",
        "elo benchmark hmdb51 --root DIR",
        "brush_hair/*.avi",
    ):
        assert word in error.hint
    monkeypatch.setenv("ELO_DATA", str(tmp_path / "store"))
    assert str(tmp_path / "store/hmdb51") in refusal(None).message
    assert refusal(tmp_path / "here").message == f"HMDB51 was not found. Looked in: {tmp_path / 'here'}."
    assert error.exit_code == 3


def test_one_half_without_the_other_is_named(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "a", ignore=lambda folder, names: ["videos"])
    assert "has the split files, but no folder of videos" in refusal(tmp_path / "a").message
    shutil.copytree(small / "videos", tmp_path / "b/videos")
    assert "has videos, but no split files" in refusal(tmp_path / "b").message


def test_missing_videos_are_named_and_counted(small: Path) -> None:
    shutil.rmtree(small / "videos/hit")
    (small / f"videos/climb/{ODD.format(0)}").unlink()
    message = refusal(small).message
    assert f"7 of 24 videos are missing (all of hit; climb/{ODD.format(0)})" in message
    found = hmdb51.find(small, seed=0, allow_incomplete=True)
    assert len(found.missing) == 7
    assert f"climb/{ODD.format(0)}" in found.missing
    here = {video.id for video in found.videos}
    assert len(here) == 17
    assert here.isdisjoint(found.missing)
    for split in found.splits:
        assert set(split.train) | set(split.test) <= here


def test_a_missing_split_file_is_named(small: Path) -> None:
    (small / "testTrainMulti_7030_splits/climb_test_split2.txt").unlink()
    assert "1 split files are missing or empty (climb_test_split2.txt)" in refusal(small).message
    found = hmdb51.find(small, seed=0, allow_incomplete=True)
    assert [len(split.train) for split in found.splits] == [8, 6, 8]


def test_wrong_counts_are_named(small: Path) -> None:
    path = small / "testTrainMulti_7030_splits/hit_test_split3.txt"
    path.write_text(path.read_text().replace(" 1 ", " 0 ", 1))
    assert "1 split files have not 70 training + 30 test videos (hit split 3: 1 + 2)" in refusal(small).message
    path.write_text(path.read_text() + "one_more.avi 0\n")
    assert "25 videos are listed, not 24" in refusal(small).message
    for number in (1, 2, 3):
        (small / f"testTrainMulti_7030_splits/hit_test_split{number}.txt").unlink()
    assert "3 classes are listed, not 4" in refusal(small).message


@pytest.mark.parametrize("line", ["name.avi", "name.avi 3", "name.avi x", "1", "../../secret.avi 1", "/etc/passwd 1"])
@pytest.mark.parametrize("allow_incomplete", [False, True])
def test_damaged_lines_are_refused_with_their_number(small: Path, line: str, allow_incomplete: bool) -> None:
    path = small / "testTrainMulti_7030_splits/hit_test_split1.txt"
    path.write_text(f"a.avi 1\n{line}\n")
    assert f"{path}, line 2: it is not" in refusal(small, allow_incomplete=allow_incomplete).message


def test_a_file_listed_twice_is_refused(small: Path) -> None:
    path = small / "testTrainMulti_7030_splits/hit_test_split1.txt"
    path.write_text("a.avi 1\na.avi 2\n")
    assert "line 2: it comes twice" in refusal(small).message


def test_a_list_that_is_not_text_is_refused(small: Path) -> None:
    (small / "testTrainMulti_7030_splits/hit_test_split1.txt").write_bytes(b"caf\xe9.avi 1\n")
    assert "cannot be read" in refusal(small).message


def test_without_any_video_even_an_incomplete_set_is_refused(small: Path) -> None:
    for path in (small / "videos").glob("*/*.avi"):
        path.unlink()
    assert "holds none of its 24 videos" in refusal(small, allow_incomplete=True).message


def test_the_published_counts_hold_by_default(tmp_path: Path) -> None:
    message = refusal(build(tmp_path / "set")).message
    assert "4 classes are listed, not 51" in message
    assert "24 videos are listed, not 6,766" in message
    assert "12 split files have not 70 training + 30 test videos" in message
    assert "and 7 more" in message
