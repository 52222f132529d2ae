"""AVA: miniature copies in the published formats, whole and broken. The rows are the beginnings of published files."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from elo_cli.core.boxes import BoxedSet
from elo_cli.core.errors import DataError
from elo_cli.datasets import SHELF, ava
from elo_cli.protocols.detection import mean_average_precision

VAL = """\
1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,12,1
1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,79,1
1j20qq1JyX4,0902,0.444,0.054,0.992,0.990,12,0
1j20qq1JyX4,0902,0.444,0.054,0.992,0.990,17,0
1j20qq1JyX4,0902,0.444,0.054,0.992,0.990,79,0
1j20qq1JyX4,0904,0.015,0.052,1.000,0.979,2,2
1j20qq1JyX4,0908,0.022,0.000,0.900,0.982,12,4
1j20qq1JyX4,0909,,,,,,
1j20qq1JyX4,0910,0.741,0.442,1.000,0.990,12,6
"""
TRAIN = """\
_-Z6wFjXtGQ,0902,0.063,0.049,0.524,0.996,12,0
_-Z6wFjXtGQ,0903,0.063,0.049,0.524,0.996,74,0
-5KQ66BBWC4,1798,0.034,0.189,0.669,0.980,80,0
-5KQ66BBWC4,1798,0.034,0.189,0.669,0.980,12,0
"""
DETECTED = """\
1j20qq1JyX4,0902,0.450,0.050,0.990,0.992,,0.995518
1j20qq1JyX4,0902,0.100,0.120,0.200,0.250,0,0.300000
1j20qq1JyX4,0903,-0.004,0.069,1.012,0.985,,0.910000
1j20qq1JyX4,0908,0.022,0.000,0.900,0.982,12,0.970000
1j20qq1JyX4,0908,0.022,0.000,0.900,0.982,17,0.980000
1j20qq1JyX4,0910,0.741,0.442,1.000,0.990,,0.880000
"""
ITEM = 'item {{\n  name: "{}"\n  id: {}\n}}\n'
LABEL = 'label {{\n  name: "{}"\n  label_id: {}\n  label_type: PERSON_MOVEMENT\n}}\n'
NAMES = {
    12: "stand",
    17: "carry/hold (an object)",
    74: "listen to (a person)",
    79: "talk to (e.g., self, a person, a group)",
    80: "watch",
}
FILMS = ("-5KQ66BBWC4.mkv", "_-Z6wFjXtGQ.mp4", "1j20qq1JyX4.webm")


def build(root: Path, *, lists: str = "annotations", videos: str = "videos", version: str = "2.2") -> Path:
    """Write a small copy; 2 is an action that is not scored, and val's keyframe 910 is excluded."""
    folder = root / lists
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"ava_val_v{version}.csv").write_text(VAL)
    (folder / f"ava_train_v{version}.csv").write_text(TRAIN)
    (folder / f"ava_val_excluded_timestamps_v{version}.csv").write_text("1j20qq1JyX4,0910\nelsewhere,0903\n")
    (folder / f"ava_train_excluded_timestamps_v{version}.csv").write_text("_-Z6wFjXtGQ,0902\n")
    scored = "".join(ITEM.format(name, number) for number, name in NAMES.items())
    (folder / f"ava_action_list_v{version}_for_activitynet_2019.pbtxt").write_text(scored)
    (root / videos).mkdir(parents=True, exist_ok=True)
    for name in FILMS:
        (root / videos / name).touch()
    return root


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole copy, as far as miniature counts go."""
    monkeypatch.setattr(ava, "VIDEOS", {"train": 2, "val": 1})
    monkeypatch.setattr(ava, "SCORED", 5)
    monkeypatch.delenv("ELO_DATA", raising=False)
    return build(tmp_path / "set")


def refusal(root: Path | None, *, allow_incomplete: bool = False) -> DataError:
    with pytest.raises(DataError) as caught:
        ava.find(root, seed=0, allow_incomplete=allow_incomplete)
    assert caught.value.hint
    return caught.value


def check(found: BoxedSet) -> None:
    assert (found.name, found.given, found.missing) == ("ava", "annotations", ())
    assert found.classes == NAMES and list(found.classes) == list(NAMES)
    assert [keyframe.id for keyframe in found.train] == ["-5KQ66BBWC4@1798", "_-Z6wFjXtGQ@0903"]
    assert [keyframe.id for keyframe in found.test] == [f"1j20qq1JyX4@{second}" for second in ("0902", "0904", "0908", "0909")]
    for keyframe in found.train + found.test:
        assert keyframe.path.is_file() and keyframe.path.stem == keyframe.video
        assert keyframe.box_K4.dtype == np.float64 and keyframe.box_K4.shape == (len(keyframe.labels), 4)
        assert np.array_equal(keyframe.given_G4, keyframe.box_K4) and set(keyframe.confidence_G.tolist()) <= {1.0}


def test_the_published_layout_is_found_and_rows_of_one_person_are_one_box(small: Path) -> None:
    found = ava.find(small, seed=0)
    check(found)
    assert SHELF.take("ava") is ava
    first, second, third, fourth = found.test
    assert (first.timestamp_s, first.at_s, first.labels) == (902.0, 902.0, ((12, 79), (12, 17, 79)))
    assert first.box_K4.tolist() == [[0.002, 0.118, 0.714, 0.977], [0.444, 0.054, 0.992, 0.990]]
    assert found.targets(first).tolist() == [[1, 0, 0, 1, 0], [1, 1, 0, 1, 0]]
    assert second.labels == ((2,),) and not found.targets(second).any()  # an action that is not scored
    assert fourth.labels == () and fourth.box_K4.shape == (0, 4) and found.targets(fourth).shape == (0, 5)
    truth = found.truth()
    assert truth.frame_N.tolist() == [0] * 5 + [2] and truth.class_N.tolist() == [12, 79, 12, 17, 79, 12]
    assert truth.box_N4[5].tolist() == third.box_K4[0].tolist()


def test_targets_as_detections_are_perfect_and_the_reverse_is_not(small: Path) -> None:
    found = ava.find(small, seed=0)
    perfect = [found.targets(keyframe) for keyframe in found.test]
    assert mean_average_precision(found.truth(), found.detections(perfect), list(found.classes)).mean == 1
    worst = [1 - each for each in perfect]
    assert mean_average_precision(found.truth(), found.detections(worst), list(found.classes)).mean < 0.8
    seen = found.detections(perfect)
    assert len(seen) == 4 * 5 and seen.class_N[:6].tolist() == [*NAMES, 12] and seen.frame_N[10:].tolist() == [1] * 5 + [2] * 5


def test_detections_are_the_given_boxes_where_there_is_a_file_of_them(small: Path) -> None:
    path = small / "annotations/ava_val_predicted_boxes.csv"
    path.write_text(DETECTED)
    found = ava.find(small, seed=0)
    assert found.given == "ava_val_predicted_boxes.csv"
    by_id = {keyframe.id[-3:]: keyframe for keyframe in found.test}
    assert list(by_id) == ["902", "903", "904", "908", "909"]  # 903 has detections alone; 910 is excluded
    assert by_id["902"].confidence_G.tolist() == [0.995518, 0.3] and len(by_id["902"].labels) == 2
    assert by_id["903"].given_G4.tolist() == [[0.0, 0.069, 1.0, 0.985]]  # cut off at the picture's edges
    assert by_id["903"].box_K4.shape == (0, 4)
    assert by_id["904"].given_G4.shape == (0, 4) and by_id["904"].confidence_G.shape == (0,)
    assert by_id["908"].confidence_G.tolist() == [0.98]
    assert all(np.array_equal(keyframe.given_G4, keyframe.box_K4) for keyframe in found.train)
    # 902: one annotated box of two is given, so of its talking and standing only one each can be found.
    scores = [np.ones((len(keyframe.given_G4), 5)) for keyframe in found.test]
    assert 0 < mean_average_precision(found.truth(), found.detections(scores), list(found.classes)).mean < 1
    (small / "annotations/boxes").mkdir()
    path.rename(small / "annotations/boxes/ava_detection_val_boxes_and_labels.csv")
    again = ava.find(small, seed=0)
    assert again.given == "ava_detection_val_boxes_and_labels.csv"
    assert [keyframe.id for keyframe in again.test] == [keyframe.id for keyframe in found.test]


@pytest.mark.parametrize(
    ("lists", "videos"), [(".", "trainval"), ("annotations/ava_v2.2", "videos/trainval"), ("lists", "."), ("ava_v2.2", "films")]
)
def test_other_usual_layouts_are_found(small: Path, tmp_path: Path, lists: str, videos: str) -> None:
    check(ava.find(build(tmp_path / "other", lists=lists, videos=videos), seed=0))


def test_films_cut_to_the_annotated_part_begin_at_second_900(small: Path, tmp_path: Path) -> None:
    found = ava.find(build(tmp_path / "cut", videos="videos_15min"), seed=0)
    check(found)
    assert [(keyframe.timestamp_s, keyframe.at_s) for keyframe in found.train] == [(1798.0, 898.0), (903.0, 3.0)]
    (tmp_path / "cut/videos").mkdir()
    (tmp_path / "cut/videos/-5KQ66BBWC4.webm").touch()  # the whole film is taken where there are both
    assert [keyframe.at_s for keyframe in ava.find(tmp_path / "cut", seed=0).train] == [1798.0, 3.0]


def test_version_2_1_is_read_where_2_2_is_not_there(small: Path, tmp_path: Path) -> None:
    old = build(tmp_path / "old", version="2.1")
    check(ava.find(old, seed=0))
    build(old)
    (old / "annotations/ava_val_v2.1.csv").write_text("damaged\n")
    check(ava.find(old, seed=0))


def test_without_a_root_the_usual_places_are_searched(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = refusal(None).message
    assert all(str(tmp_path / place) in message for place in ("ava", "AVA", "elo/ava", "data/ava")) and "$ELO_DATA" in message
    shutil.copytree(small, tmp_path / "data/ava")
    check(ava.find(None, seed=0))
    hint = refusal(tmp_path / "nowhere").hint
    assert all(word in hint for word in ("research.google.com/ava", "cvdfoundation/ava-dataset", "elo benchmark ava --root DIR"))


def test_missing_films_are_counted_and_named(small: Path) -> None:
    (small / "videos/_-Z6wFjXtGQ.mp4").unlink()
    assert "1 of 3 videos are missing (_-Z6wFjXtGQ)" in refusal(small).message
    found = ava.find(small, seed=0, allow_incomplete=True)
    assert found.missing == ("_-Z6wFjXtGQ",) and [keyframe.video for keyframe in found.train] == ["-5KQ66BBWC4"]
    (small / "videos/-5KQ66BBWC4.mkv").unlink()
    assert "has no videos of training" in refusal(small, allow_incomplete=True).message


@pytest.mark.parametrize("allow_incomplete", [False, True])
def test_a_missing_list_of_either_side_is_named(small: Path, allow_incomplete: bool) -> None:
    (small / "annotations/ava_train_v2.2.csv").unlink()
    message = refusal(small, allow_incomplete=allow_incomplete).message
    assert f"{small / 'annotations'} has ava_val_v2.2.csv, but no ava_train_v2.2.csv" in message
    (small / "annotations/ava_val_v2.2.csv").unlink()
    assert "has videos, but no lists" in refusal(small, allow_incomplete=allow_incomplete).message


def test_a_missing_list_of_excluded_timestamps_is_named(small: Path) -> None:
    (small / "annotations/ava_val_excluded_timestamps_v2.2.csv").unlink()
    assert "ava_val_excluded_timestamps_v2.2.csv is missing" in refusal(small).message
    assert ava.find(small, seed=0, allow_incomplete=True).test[-1].id == "1j20qq1JyX4@0910"


def test_lists_of_actions_are_read_in_both_spellings(small: Path) -> None:
    folder = small / "annotations"
    scored, every = folder / "ava_action_list_v2.2_for_activitynet_2019.pbtxt", folder / "ava_action_list_v2.2.pbtxt"
    every.write_text("".join(LABEL.format(name, number) for number, name in (NAMES | {2: "crawl"}).items()))
    check(ava.find(small, seed=0))
    scored.rename(folder / "ava_action_list_v2.1_for_activitynet_2018.pbtxt.txt")
    check(ava.find(small, seed=0))
    (folder / "ava_action_list_v2.1_for_activitynet_2018.pbtxt.txt").unlink()
    assert "the list of the actions that are scored" in refusal(small).message
    assert list(ava.find(small, seed=0, allow_incomplete=True).classes) == [*NAMES, 2]
    every.unlink()
    assert "no list of AVA's actions" in refusal(small, allow_incomplete=True).message


def test_an_action_that_the_full_list_does_not_have_is_unknown(small: Path) -> None:
    every = small / "annotations/ava_action_list_v2.2.pbtxt"
    every.write_text("".join(LABEL.format(name, number) for number, name in NAMES.items()))
    assert "ava_val_v2.2.csv, line 6: there is no action '2' in AVA" in refusal(small, allow_incomplete=True).message


@pytest.mark.parametrize(
    "text", ["", ITEM.format("a", 1) * 2, 'item {\n  name: "a"\n}\n', "item {\n  id: 1\n}\n", "<html>", "item {"]
)
def test_damaged_lists_of_actions_are_refused(small: Path, text: str) -> None:
    path = small / "annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt"
    path.write_text(text)
    assert str(path) in refusal(small, allow_incomplete=True).message


@pytest.mark.parametrize("allow_incomplete", [False, True])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,81,1", "there is no action '81' in AVA"),
        ("1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,,1", "there is no action '' in AVA"),
        ("1j20qq1JyX4,0902,0.002,0.118,1.001,0.977,12,1", "no box in [0, 1]"),
        ("1j20qq1JyX4,0902,-0.001,0.118,0.714,0.977,12,1", "no box in [0, 1]"),
        ("1j20qq1JyX4,0902,0.714,0.118,0.002,0.977,12,1", "no box in [0, 1]"),
        ("1j20qq1JyX4,0902,nan,0.118,0.714,0.977,12,1", "no box in [0, 1]"),
        ("1j20qq1JyX4,0902,,0.118,0.714,0.977,12,1", "no box in [0, 1]"),
        ("1j20qq1JyX4,0902,0.002,0.118,0.714,0.977,12", "in 8 columns"),
        ("1j20qq1JyX4,902.5,0.002,0.118,0.714,0.977,12,1", "a second of 900 to 1800"),
        ("1j20qq1JyX4,0002,0.002,0.118,0.714,0.977,12,1", "a second of 900 to 1800"),
        (",0902,0.002,0.118,0.714,0.977,12,1", "in 8 columns"),
        ("video_id,timestamp,x1,y1,x2,y2,action,person", "in 8 columns"),
    ],
)
def test_damaged_rows_are_refused_with_their_line(small: Path, row: str, message: str, allow_incomplete: bool) -> None:
    path = small / "annotations/ava_val_v2.2.csv"
    path.write_text(VAL + row + "\n")
    error = refusal(small, allow_incomplete=allow_incomplete)
    assert f"{path}, line 10: " in error.message and message in error.message


@pytest.mark.parametrize(
    "row",
    ["0.45,0.05,1.06,0.99,,0.9", "45,5,99,99,,0.9", "0.45,0.05,0.9,0.99,,1.5", "0.45,0.05,0.9,0.99,,", "0.4,0.5,0.9,0.9,,nan"],
)
def test_damaged_detections_are_refused_with_their_line(small: Path, row: str) -> None:
    path = small / "annotations/ava_val_predicted_boxes.csv"
    path.write_text(f"{DETECTED}1j20qq1JyX4,0908,{row}\n")
    assert f"{path}, line 7: this is no box" in refusal(small, allow_incomplete=True).message


def test_detections_in_other_videos_are_named_and_passed_over_if_allowed(small: Path) -> None:
    path = small / "annotations/ava_val_predicted_boxes.csv"
    path.write_text(f"{DETECTED}elsewhere,0908,0.1,0.1,0.2,0.2,,0.9\n")
    assert "has boxes of 1 videos that are not in the list (elsewhere)" in refusal(small).message
    assert {keyframe.video for keyframe in ava.find(small, seed=0, allow_incomplete=True).test} == {"1j20qq1JyX4"}


def test_a_video_of_both_sides_is_refused(small: Path) -> None:
    (small / "annotations/ava_train_v2.2.csv").write_text(TRAIN + VAL)
    assert "1 videos train and are scored too: 1j20qq1JyX4" in refusal(small, allow_incomplete=True).message


def test_a_row_that_comes_twice_is_counted_twice_but_learned_once(small: Path) -> None:
    (small / "annotations/ava_val_v2.2.csv").write_text(VAL + VAL.split("\n")[0] + "\n")
    found = ava.find(small, seed=0)
    assert found.test[0].labels[0] == (12, 12, 79) and len(found.truth()) == 7
    assert found.targets(found.test[0]).max() == 1


def test_the_published_counts_hold_by_default(tmp_path: Path) -> None:
    message = refusal(build(tmp_path / "set")).message
    for words in ("2 videos are listed in train, not 235", "1 videos are listed in val, not 64", "5 actions are scored, not 60"):
        assert words in message
