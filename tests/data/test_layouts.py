"""Published sets as they lie on disk after unpacking: which labels, splits and groups their files get."""

from pathlib import Path

import pytest

from elo_cli.core.errors import DataError
from elo_cli.data.listing import list_videos

# The forms of the published files; the rows are invented.
TRAIN = "label,youtube_id,time_start,time_end,split,is_cc\nair drumming,-0abcdefg_1,3,13,train,0\n"
TRAIN += '"tasting, testing",__bcdefgh-2,100,110,train,1\n'
VAL = "label,youtube_id,time_start,time_end,split\r\nabseiling,Abcdefghij3,0,10,val\r\n"
TEST = "youtube_id,time_start,time_end,split\nAbcdefghij4,12.0,22.0,test\n"


def fill(root: Path, names: list[str], annotations: dict[str, str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name, content in annotations.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode())
    return root


def found(root: Path) -> list[tuple[str, str | None, str | None]]:
    videos = list_videos(root)
    assert all(video.start_s is None and video.end_s is None and video.group is None for video in videos)
    return [(video.id, video.label, video.split) for video in videos]


@pytest.mark.parametrize("place", ["", "annotations/"])
def test_kinetics_without_class_folders_is_labelled_by_its_annotations(tmp_path: Path, place: str) -> None:
    names = [
        "train/-0abcdefg_1_000003_000013.mp4",
        "train/__bcdefgh-2_000100_000110.mp4",
        "train/notAnnotate_000001_000011.mp4",
        "val/Abcdefghij3_000000_000010.mp4",
        "val/Abcdefghij3_000007_000017.mp4",  # another clip of an annotated video
        "test/Abcdefghij4_000012_000022.mp4",
    ]
    root = fill(tmp_path, names, {f"{place}train.csv": TRAIN, f"{place}val.csv": VAL, f"{place}test.csv": TEST})
    fill(root, [], {"other.csv": "a,b\n1\n", f"{place}k400_readme.txt": "youtube_id,time_start,time_end\n"})
    assert found(root) == [
        ("test/Abcdefghij4_000012_000022.mp4", None, "test"),
        ("train/-0abcdefg_1_000003_000013.mp4", "air drumming", "train"),
        ("train/__bcdefgh-2_000100_000110.mp4", "tasting, testing", "train"),
        ("train/notAnnotate_000001_000011.mp4", None, "train"),
        ("val/Abcdefghij3_000000_000010.mp4", "abseiling", "val"),
        ("val/Abcdefghij3_000007_000017.mp4", None, "val"),
    ]


def test_kinetics_with_class_folders_needs_no_annotations(tmp_path: Path) -> None:
    names = ["train/air_drumming/-0abcdefg_1_000003_000013.mp4", "val/abseiling/Abcdefghij3_000000_000010.mp4"]
    names += ["train/notAnnotate_000001_000011.mp4", "odd/unknownFilm_000001_000011.mp4"]
    root = fill(tmp_path, names, {})
    bare = [
        ("odd/unknownFilm_000001_000011.mp4", "odd", None),
        ("train/air_drumming/-0abcdefg_1_000003_000013.mp4", "air_drumming", "train"),
        ("train/notAnnotate_000001_000011.mp4", None, "train"),
        ("val/abseiling/Abcdefghij3_000000_000010.mp4", "abseiling", "val"),
    ]
    assert found(root) == bare
    fill(root, [], {"annotations/train.csv": TRAIN})  # what they say goes before the name of a folder
    assert found(root) == [bare[0], (bare[1][0], "air drumming", "train"), *bare[2:]]


def test_kinetics_whose_files_have_no_times_in_their_names_is_labelled_by_youtube_ids(tmp_path: Path) -> None:
    twice = "label,youtube_id,time_start,time_end,split\nyoga,twiceAsking,0,10,train\nzumba,twiceAsking,50,60,train\n"
    twice += "yoga,twiceAgreed,0,10,train\nyoga,twiceAgreed,50,60,train\nyoga,thriceNoted,0,10,train\n"
    twice += "zumba,thriceNoted,0,10,val\nyoga,thriceNoted,20,30,val\n"
    names = [f"videos/{name}.mp4" for name in ("-0abcdefg_1", "twiceAsking", "twiceAgreed", "thriceNoted", "unknownFilm")]
    root = fill(tmp_path, names, {"train.csv": TRAIN, "more.csv": twice})
    assert found(root) == [
        ("videos/-0abcdefg_1.mp4", "air drumming", "train"),
        ("videos/thriceNoted.mp4", "videos", None),  # two labels and two splits: neither is believed
        ("videos/twiceAgreed.mp4", "yoga", "train"),
        ("videos/twiceAsking.mp4", "videos", "train"),
        ("videos/unknownFilm.mp4", "videos", None),
    ]


def test_annotations_that_contradict_one_another_are_not_believed(tmp_path: Path) -> None:
    again = TRAIN.replace("air drumming", "drumming").replace("110,train", "110,val")
    names = ["train/-0abcdefg_1_000003_000013.mp4", "train/__bcdefgh-2_000100_000110.mp4"]
    root = fill(tmp_path, names, {"a.csv": TRAIN, "b.csv": again, "c.csv": TRAIN})
    assert found(root) == [(names[0], None, "train"), (names[1], "tasting, testing", "train")]
    (root / "held").mkdir()
    (root / names[1]).rename(root / "held/__bcdefgh-2_000100_000110.mp4")
    assert found(root)[0] == ("held/__bcdefgh-2_000100_000110.mp4", "tasting, testing", None)


@pytest.mark.parametrize(
    ("row", "line"),
    [("a,b,c", 3), ("x,Abcdefghij4,three,13,train,0", 3), ("x,,3,13,train,0", 3), ('x,Abc,"3', 3), ("caf\xe9", 0)],
)
def test_damaged_annotations_are_refused_with_their_line(tmp_path: Path, row: str, line: int) -> None:
    fill(tmp_path, ["train/a.mp4"], {"train.csv": ""})
    (tmp_path / "train.csv").write_bytes(("\n".join([*TRAIN.splitlines()[:2], row])).encode("latin-1"))
    with pytest.raises(DataError, match=rf"train\.csv, line {line or ''}") as caught:
        list_videos(tmp_path)
    assert caught.value.hint


def test_train_is_a_class_like_any_other_where_nothing_speaks_of_kinetics(tmp_path: Path) -> None:
    root = fill(tmp_path, ["train/a.mp4", "bus/abcdefghijk.mp4"], {"train.csv": "youtube_id,label\nabcdefghijk,bus\n"})
    assert found(root) == [("bus/abcdefghijk.mp4", "bus", None), ("train/a.mp4", "train", None)]


@pytest.mark.parametrize("doubled", [False, True])
def test_hmdb51_is_labelled_by_its_folders(tmp_path: Path, doubled: bool) -> None:
    films = {"brush_hair": "April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "wave": "#20_Rhythm_(tm)_wave_h_nm_np1_fr_med_1.avi"}
    names = [f"hmdb51_org/{label}/{label}/{film}" if doubled else f"hmdb51_org/{label}/{film}" for label, film in films.items()]
    junk = [
        "hmdb51_org/wave.rar", "hmdb51_org/.DS_Store", "hmdb51_org/wave/._x.avi", "__MACOSX/wave/x.avi",
        "testTrainMulti_7030_splits/wave_test_split1.txt",
    ]  # fmt: skip
    assert found(fill(tmp_path, names + junk, {})) == [(names[0], "brush_hair", None), (names[1], "wave", None)]


def test_ucf101_is_labelled_and_grouped_by_its_names(tmp_path: Path) -> None:
    names = [
        "UCF-101/HandstandPushups/v_HandStandPushups_g01_c02.avi",
        "UCF-101/HandstandPushups/v_HandStandPushups_g25_c01.avi",
        "UCF-101/YoYo/v_YoYo_g01_c01.avi",
        "UCF-101/YoYo/v_YoYo.avi",
        "UCF-101/YoYo/v_Typing_g01_c01.avi",
    ]
    fill(tmp_path, [*names, "ucfTrainTestlist/trainlist01.txt", "ucfTrainTestlist/classInd.txt", "UCF101.rar"], {})
    videos = [(video.id, video.label, video.split, video.group) for video in list_videos(tmp_path)]
    assert videos == [
        (names[0], "HandstandPushups", None, "v_HandStandPushups_g01"),
        (names[1], "HandstandPushups", None, "v_HandStandPushups_g25"),
        (names[4], "YoYo", None, None),  # it says something else than its folder
        (names[3], "YoYo", None, None),
        (names[2], "YoYo", None, "v_YoYo_g01"),
    ]
