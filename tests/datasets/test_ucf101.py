"""UCF101: miniature copies in the published formats, whole and broken."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from elo_cli.core.errors import DataError
from elo_cli.datasets import SHELF, LabelledSet, ucf101

CLASSES = ("Archery", "HandstandPushups", "YoYo")
ODD = "HandStandPushups"  # how the names of one class's files are spelt
GROUPS = range(1, 5)
ALWAYS = pytest.mark.parametrize("allow_incomplete", [False, True])


def names(label: str, group: int) -> list[str]:
    return [f"v_{ODD if label == CLASSES[1] else label}_g{group:02d}_c{clip:02d}.avi" for clip in (1, 2)]


def build(root: Path, *, lists: str = "ucfTrainTestlist", videos: str = "UCF-101") -> Path:
    """Write a small copy: classes of four groups of two clips; group n is tested in split n; lines end as in the archive."""
    (root / lists).mkdir(parents=True, exist_ok=True)
    index = "".join(f"{number} {label}\r\n" for number, label in enumerate(CLASSES, start=1))
    (root / lists / "classInd.txt").write_bytes(index.encode())
    for split in (1, 2, 3):
        sides: dict[str, list[str]] = {"train": [], "test": []}
        for number, label in enumerate(CLASSES, start=1):
            for group in GROUPS:
                side = "test" if group == split else "train"
                sides[side] += [f"{label}/{name}{f' {number}' * (side == 'train')}\r\n" for name in names(label, group)]
        for side, lines in sides.items():
            (root / lists / f"{side}list0{split}.txt").write_bytes("".join(lines).encode())
    for label in CLASSES:
        (root / videos / label).mkdir(parents=True)
        for group in GROUPS:
            for name in names(label, group):
                (root / videos / label / name).touch()
    return root


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole copy, as far as miniature counts go."""
    counts = dict.fromkeys(ucf101.SPLITS, (18, 6))
    for name, value in {"CLASSES": 3, "VIDEOS": 24, "GROUPS": 4, "COUNTS": counts}.items():
        monkeypatch.setattr(ucf101, name, value)
    return build(tmp_path / "set")


def refusal(root: Path | None, *, allow_incomplete: bool = False) -> DataError:
    with pytest.raises(DataError) as caught:
        ucf101.find(root, seed=0, allow_incomplete=allow_incomplete)
    assert caught.value.hint
    return caught.value


def check(found: LabelledSet) -> None:
    assert (found.name, len(found.videos), found.missing) == ("ucf101", 24, ())
    ids = [video.id for video in found.videos]
    assert ids == sorted(f"{label}/{name}" for label in CLASSES for group in GROUPS for name in names(label, group))
    assert all(video.path.is_file() and video.label == video.id.split("/")[0] for video in found.videos)
    groups = {video.id: str(video.group) for video in found.videos}
    assert groups[f"HandstandPushups/v_{ODD}_g02_c01.avi"] == f"v_{ODD}_g02"
    assert len(set(groups.values())) == 12
    for number, split in enumerate(found.splits, start=1):
        assert split.name == str(number)
        assert (len(split.train), len(split.test)) == (18, 6)
        assert {groups[video][-3:] for video in split.test} == {f"g{number:02d}"}
        assert set(split.train) | set(split.test) == set(ids)
        assert not {groups[video] for video in split.train} & {groups[video] for video in split.test}
    assert len(found.splits) == 3


def edit(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_bytes().decode()
    assert change(text) != text
    path.write_bytes(change(text).encode())


@pytest.mark.parametrize(
    ("lists", "videos"), [("ucfTrainTestlist", "UCF-101"), ("splits", "videos"), (".", "."), ("a", "z"), (".", "UCF-101")]
)
def test_usual_layouts_are_found(small: Path, tmp_path: Path, lists: str, videos: str) -> None:
    found = ucf101.find(build(tmp_path / "other", lists=lists, videos=videos), seed=0)
    check(found)
    assert found.root == tmp_path / "other" / videos
    assert SHELF.take("ucf101") is ucf101


def test_both_spellings_of_handstand_pushups_are_one_class(small: Path, tmp_path: Path) -> None:
    whole = ucf101.find(small, seed=0)
    folder = small / "UCF-101"
    (folder / "HandstandPushups").rename(folder / ODD)
    check(ucf101.find(small, seed=0))
    for path in (folder / ODD).iterdir():
        path.rename(path.with_name(path.name.replace(ODD, "HandstandPushups")))
    check(ucf101.find(small, seed=0))
    for path in (small / "ucfTrainTestlist").iterdir():
        edit(path, lambda text: text.replace("HandstandPushups", ODD))
    found = ucf101.find(small, seed=0)
    check(found)
    assert found.splits == whole.splits


def test_test_lists_may_have_numbers_and_lines_may_end_otherwise(small: Path) -> None:
    for split in ucf101.SPLITS:
        edit(small / f"ucfTrainTestlist/testlist0{split}.txt", lambda text: text.replace(".avi\r", ".avi 1\n", 2))
    check(ucf101.find(small, seed=0))
    edit(small / "ucfTrainTestlist/testlist01.txt", lambda text: text.replace(" 1", " 2", 1))
    assert "the number of Archery in classInd.txt is 1, not 2" in refusal(small).message


def test_missing_videos_are_named_and_counted(small: Path) -> None:
    shutil.rmtree(small / "UCF-101/YoYo")
    (small / "UCF-101/Archery/v_Archery_g01_c02.avi").unlink()
    error = refusal(small)
    assert "9 of 24 videos are missing (all of YoYo; Archery/v_Archery_g01_c02.avi)" in error.message
    assert "--allow-incomplete" in error.hint and "UCF101.rar" in error.hint
    found = ucf101.find(small, seed=0, allow_incomplete=True)
    assert len(found.videos) == 15 and len(found.missing) == 9
    here = {video.id for video in found.videos}
    for split in found.splits:
        assert set(split.train) | set(split.test) == here
    assert [len(split.test) for split in found.splits] == [3, 4, 4]


def test_missing_lists_are_named(small: Path) -> None:
    (small / "ucfTrainTestlist/testlist02.txt").unlink()
    (small / "ucfTrainTestlist/classInd.txt").unlink()
    message = refusal(small).message
    assert "classInd.txt is missing" in message and "testlist02.txt is missing" in message
    found = ucf101.find(small, seed=0, allow_incomplete=True)
    assert [split.name for split in found.splits] == ["1", "3"]
    assert len(found.videos) == 24


def test_lines_that_lack_are_named(small: Path) -> None:
    edit(small / "ucfTrainTestlist/trainlist01.txt", lambda text: text.replace("YoYo/v_YoYo_g03_c02.avi 3\r\n", ""))
    message = refusal(small).message
    assert "split 1 lists 17 + 6 videos, not 18 + 6 (without YoYo/v_YoYo_g03_c02.avi)" in message
    assert "videos are listed" not in message
    for path in sorted((small / "ucfTrainTestlist").glob("t*list*.txt")):
        edit(path, lambda text: "".join(line for line in text.splitlines(True) if "Archery" not in line))
    message = refusal(small).message
    assert "videos of 2 classes are listed, not of 3 (without Archery)" in message
    assert "16 videos are listed, not 24" in message


def test_a_class_without_all_its_groups_is_named(small: Path) -> None:
    for path in sorted((small / "ucfTrainTestlist").glob("trainlist*.txt")):
        edit(path, lambda text: "".join(line for line in text.splitlines(True) if "YoYo_g04" not in line))
    assert "1 classes have not 4 groups (YoYo: 3)" in refusal(small).message


DAMAGE = {
    "YoYo/v_YoYo_g01_c01.avi": "it is not '<Class>/v_<Class>_g<group>_c<clip>.avi <number>'",
    "YoYo/v_Archery_g09_c01.avi 3": "it is not",
    "../YoYo/v_YoYo_g09_c01.avi 3": "it is not",
    "YoYo/v_YoYo_g9_c01.avi 3": "it is not",
    "YoYo/v_YoYo_g09_c01.avi x": "it is not",
    "YoYo/v_YoYo_g09_c01.avi 2": "the number of YoYo in classInd.txt is 3, not 2",
    "Yoga/v_Yoga_g01_c01.avi 4": "Yoga is no class of classInd.txt",
    "YoYo/v_YoYo_g04_c01.avi 3": "it comes twice",
    "YoYo/v_YoYo_g02_c01.avi 3": "it is in the other list of split 2 too",
    "YoYo/v_YoYo_g02_c07.avi 3": "its group, v_YoYo_g02, is on the other side of split 2 too",
}


@pytest.mark.parametrize(("line", "wrong"), DAMAGE.items())
@ALWAYS
def test_damaged_lines_are_refused_with_their_number(small: Path, line: str, wrong: str, allow_incomplete: bool) -> None:
    path = small / "ucfTrainTestlist/trainlist02.txt"
    edit(path, lambda text: text + line + "\r\n")
    message = refusal(small, allow_incomplete=allow_incomplete).message
    assert message.startswith(f"{path}, line 19: {wrong}")
    assert repr(line) in message


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("Yoga", "it is not '<number> <Class>'"),
        ("3 Yoga", "its number or class comes twice"),
        ("4 YoYo", "comes twice"),
        ("0 A", "it is"),
    ],
)
@ALWAYS
def test_a_damaged_index_is_refused(small: Path, line: str, wrong: str, allow_incomplete: bool) -> None:
    edit(small / "ucfTrainTestlist/classInd.txt", lambda text: text + line + "\n")
    message = refusal(small, allow_incomplete=allow_incomplete).message
    assert "classInd.txt, line 4: " in message and wrong in message


def test_a_list_that_is_not_text_is_refused(small: Path) -> None:
    (small / "ucfTrainTestlist/trainlist01.txt").write_bytes(b"YoYo/v_YoYo_g01_c01\xe9.avi 3\n")
    assert "cannot be read" in refusal(small).message


def test_one_half_without_the_other_is_named(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "a", ignore=lambda folder, names: ["UCF-101"])
    assert "has the split files, but no folder of videos" in refusal(tmp_path / "a").message
    shutil.copytree(small / "UCF-101", tmp_path / "b/UCF-101")
    assert "has videos, but no split files (classInd.txt, trainlist01.txt …)" in refusal(tmp_path / "b").message


def test_the_published_counts_hold_by_default(tmp_path: Path) -> None:
    message = refusal(build(tmp_path / "set")).message
    assert "3 classes are in classInd.txt, not 101" in message
    assert "24 videos are listed, not 13,320" in message
    assert "split 3 lists 18 + 6 videos, not 9,624 + 3,696" in message
    assert "3 classes have not 25 groups" in message


def test_without_any_video_even_an_incomplete_set_is_refused(small: Path) -> None:
    for path in (small / "UCF-101").glob("*/*.avi"):
        path.unlink()
    assert "holds none of its 24 videos" in refusal(small, allow_incomplete=True).message


def test_a_set_with_one_side_only_is_refused(small: Path) -> None:
    for path in (small / "UCF-101").glob("*/*.avi"):
        if "_g04_" not in path.name:
            path.unlink()
    assert "No split of UCF101 has both training and test videos" in refusal(small, allow_incomplete=True).message
