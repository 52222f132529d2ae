"""Which videos a source holds, with awkward names and damaged lists."""

import json
import os
from pathlib import Path

import pytest

from elo_cli.core.errors import DataError
from elo_cli.data.listing import VIDEO_ENDINGS, list_videos

ODD_NAMES = ["ünïcødé 视频", "with space", "line\nend", "-leading dash", "a:colon", "#;&[(!'\"", "tab\there", "100%"]


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def ids(source: Path, **options: bool) -> list[str]:
    return [video.id for video in list_videos(source, VIDEO_ENDINGS, **options)]


def refusal(source: Path) -> str:
    with pytest.raises(DataError) as caught:
        list_videos(source, VIDEO_ENDINGS)
    assert caught.value.hint
    return str(caught.value)


def test_a_folder_is_listed_by_id_with_the_holding_folder_as_label(tmp_path: Path) -> None:
    for name in ("walk/b.MP4", "walk/a.avi", "run/deep/c.webm", "top.mov", "walk/notes.txt", "run/d.mp4.txt"):
        touch(tmp_path / name)
    videos = list_videos(tmp_path, VIDEO_ENDINGS)
    assert [(video.id, video.label) for video in videos] == [
        ("run/deep/c.webm", "deep"),
        ("top.mov", None),
        ("walk/a.avi", "walk"),
        ("walk/b.MP4", "walk"),
    ]
    assert all(video.path == tmp_path / video.id for video in videos)
    assert {(video.split, video.group) for video in videos} == {(None, None)}


def test_hidden_partial_and_irregular_files_are_passed_over(tmp_path: Path) -> None:
    for name in ("a.mp4", ".hidden.mp4", "._a.mp4", ".cache/b.mp4", "c.mp4.part", "dir.part/d.mp4"):
        touch(tmp_path / name)
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "broken.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "itself.mp4").symlink_to(tmp_path / "itself.mp4")
    assert ids(tmp_path) == ["a.mp4"]


def test_links_are_followed_but_no_folder_is_entered_twice(tmp_path: Path) -> None:
    touch(tmp_path / "set/z/a.mp4")
    touch(tmp_path / "elsewhere/b.mp4")
    (tmp_path / "set/z/up").symlink_to(tmp_path / "set")
    (tmp_path / "set/same").symlink_to(tmp_path / "set/z")
    (tmp_path / "set/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/file.mp4").symlink_to(tmp_path / "elsewhere/b.mp4")
    assert ids(tmp_path / "set") == ["file.mp4", "linked/b.mp4", "z/a.mp4"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_work_in_folders_and_in_both_kinds_of_list(name: str, tmp_path: Path) -> None:
    path = touch(tmp_path / name / f"{name}.mp4")
    expected = [(path, f"{name}/{name}.mp4", name)]
    quoted = name.replace('"', '""')
    (tmp_path / "list.csv").write_text(f'path,label\n"{quoted}/{quoted}.mp4","{quoted}"\n', encoding="utf-8")
    (tmp_path / "list.jsonl").write_text(json.dumps({"path": f"{name}/{name}.mp4", "label": name}) + "\n", encoding="utf-8")
    for source in (tmp_path, tmp_path / "list.csv", tmp_path / "list.jsonl"):
        assert [(video.path, video.id, video.label) for video in list_videos(source, VIDEO_ENDINGS)] == expected


def test_names_that_are_not_utf8_get_ids_that_are(tmp_path: Path) -> None:
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.mp4"), "wb"):
        pass
    (video,) = list_videos(tmp_path, VIDEO_ENDINGS)
    assert video.id == "caf\\xe9.mp4"
    assert video.path.exists()
    video.id.encode()


def test_a_relative_source_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "-d/-a.mp4")
    monkeypatch.chdir(tmp_path)
    (video,) = list_videos(Path("-d"), VIDEO_ENDINGS)
    assert (video.path, video.id) == (tmp_path / "-d/-a.mp4", "-a.mp4")


def test_one_video_is_a_source(tmp_path: Path) -> None:
    (video,) = list_videos(touch(tmp_path / "a.mp4"), VIDEO_ENDINGS)
    assert (video.id, video.label) == ("a.mp4", None)


def test_lists_carry_their_columns_and_pass_over_others(tmp_path: Path) -> None:
    for name in ("a.mp4", "sub/b.mp4"):
        touch(tmp_path / name)
    (tmp_path / "list.csv").write_text(
        "\ufeffgroup,path,audio,split,label\r\n,sub/b.mp4,yes,test,run\r\ng1,a.mp4,no,train,walk\r\n"
    )
    (tmp_path / "list.jsonl").write_text(
        '{"path": "sub/b.mp4", "label": "run", "split": "test"}\n\n'
        '{"path": "a.mp4", "label": "walk", "split": "train", "group": "g1"}'
    )
    expected = [("a.mp4", "walk", "train", "g1"), ("sub/b.mp4", "run", "test", None)]
    for name in ("list.csv", "list.jsonl"):
        assert [(v.id, v.label, v.split, v.group) for v in list_videos(tmp_path / name, VIDEO_ENDINGS)] == expected


def test_class_numbers_are_labels_in_json_lines(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "list.jsonl").write_text('{"path": "a.mp4", "label": 7}\n')
    assert list_videos(tmp_path / "list.jsonl", VIDEO_ENDINGS)[0].label == "7"


def test_paths_may_wander_inside_the_folder_only(tmp_path: Path) -> None:
    touch(tmp_path / "in/a.mp4")
    touch(tmp_path / "in/b.mp4")
    touch(tmp_path / "out.mp4")
    source = tmp_path / "in/list.csv"
    source.write_text(f"path\nx/../a.mp4\n{tmp_path}/in/b.mp4\n")
    assert ids(source) == ["a.mp4", "b.mp4"]
    for escape in ("../out.mp4", f"{tmp_path}/out.mp4", "/etc/passwd", "x/../../out.mp4", ".", ".."):
        source.write_text(f"path\na.mp4\n{escape}\n")
        assert "line 3" in refusal(source)
        assert "leads out of the list's folder" in refusal(source)


@pytest.mark.parametrize("name", ["http://example.org/a.mp4", "pipe:0", "concat:a.mp4|b.mp4"])
def test_addresses_are_names_of_files_that_do_not_exist(name: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"path\n{name}\n")
    assert "line 2: there is no file" in refusal(tmp_path / "list.csv")


DAMAGED_CSV = {
    "empty": ("", "no column 'path'"),
    "no path column": ("file,label\na.mp4,walk\n", "no column 'path'; it has: file, label"),
    "too few columns": ("path,label\na.mp4,walk\nb.mp4\n", "line 3: it has not 2 columns"),
    "too many columns": ("path,label\na.mp4,walk,train\n", "line 2: it has not 2 columns"),
    "empty path": ("path,label\n,walk\n", "line 2: the path is empty"),
    "twice": ("path\na.mp4\nb.mp4\na.mp4\n", "line 4: 'a.mp4' was listed on line 2 already"),
    "twice, spelled otherwise": ("path\na.mp4\n./b/../a.mp4\n", "line 3: './b/../a.mp4' was listed on line 2 already"),
    "no such file": ("path\na.mp4\nc.mp4\n", "line 3: there is no file"),
    "below a file": ("path\na.mp4/c.mp4\n", "line 2: there is no file"),
    "a folder": ("path\nfolder\n", "line 2: 'folder' is not a file"),
    "a pipe": ("path\npipe.mp4\n", "line 2: 'pipe.mp4' is not a file"),
    "open quote": ('path\na.mp4\n"b.mp4\n', "unexpected end of data"),
    "far too long": ("path\n" + "x" * 200_000 + "\n", "field larger than field limit"),
    "long name": ("path\n" + "x" * 300 + "\n", "cannot be a file"),
    "only a header": ("path,label\n", "There is no video in"),
}


@pytest.mark.parametrize("name", DAMAGED_CSV)
def test_a_damaged_csv_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED_CSV[name]
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "b.mp4")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "list.csv").write_text(content)
    assert message in refusal(tmp_path / "list.csv")


DAMAGED_JSONL = {
    "not json": ('{"path": "a.mp4"}\n{path: b}\n', "line 2: it is not JSON"),
    "torn": ('{"path": "a.mp4"}\n{"path": "b.m', "line 2: it is not JSON"),
    "no object": ('["a.mp4"]\n', "line 1: it has no 'path'"),
    "no path": ('\n{"label": "walk"}\n', "line 2: it has no 'path'"),
    "path is a number": ('{"path": 3}\n', "line 1: the path is 3"),
    "path is null": ('{"path": null}\n', "line 1: the path is empty"),
    "label is a list": ('{"path": "a.mp4", "label": ["walk"]}\n', "line 1: the label is ['walk']"),
    "deep": ("[" * 100_000 + "\n", "line 1: it"),
    "lone surrogate": ('{"path": "\\ud800.mp4"}\n', "line 1: '\\ud800.mp4' cannot be a file"),
    "nul": ('{"path": "a\\u0000.mp4"}\n', "line 1: 'a\\x00.mp4' cannot be a file"),
}


@pytest.mark.parametrize("name", DAMAGED_JSONL)
def test_damaged_json_lines_are_refused_with_their_number(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED_JSONL[name]
    touch(tmp_path / "a.mp4")
    (tmp_path / "list.jsonl").write_text(content)
    assert message in refusal(tmp_path / "list.jsonl")


def test_lists_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "list.csv").write_bytes(b"path,label\na.mp4,caf\xe9\n")
    assert "is not UTF-8" in refusal(tmp_path / "list.csv")
    (tmp_path / "list.jsonl").write_bytes(b'{"path": "a.mp4", "label": "caf\xe9"}\n')
    assert "line 1" in refusal(tmp_path / "list.jsonl")


def test_missing_files_are_kept_when_that_is_allowed(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "list.csv").write_text("path\na.mp4\ngone/b.mp4\n")
    assert ids(tmp_path / "list.csv", allow_missing=True) == ["a.mp4", "gone/b.mp4"]


def test_sources_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    assert "There is no video in" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "nowhere")
    assert "neither a video nor a list" in refusal(touch(tmp_path / "notes.txt"))
    os.mkfifo(tmp_path / "pipe.csv")
    assert "neither a folder nor a file" in refusal(tmp_path / "pipe.csv")
    assert "cannot be read" in refusal(tmp_path / ("x" * 300))
