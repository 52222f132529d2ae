"""Which videos a source holds, with awkward names and files that are no films."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from elo_cli.core.errors import DataError, UsageError
from elo_cli.data.listing import VIDEO_ENDINGS, list_videos

ODD_NAMES = ["ünïcødé 视频", "with space", "line\nend", "-leading dash", "a:colon", "#;&[(!'\"", "tab\there", "100%"]


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def ids(source: Path, **options: object) -> list[str]:
    return [video.id for video in list_videos(source, VIDEO_ENDINGS, **options)]  # type: ignore[arg-type]


def refusal(source: Path, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        list_videos(source, VIDEO_ENDINGS, **options)  # type: ignore[arg-type]
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
    assert all(video.path == tmp_path / video.id and video.file == str(video.path) for video in videos)
    assert {(video.split, video.group, video.start_s, video.end_s) for video in videos} == {(None, None, None, None)}


def test_hidden_partial_and_irregular_files_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.mp4", ".hidden.mp4", "._a.mp4", ".cache/b.mp4", "c.mp4.part", "dir.part/d.mp4"):
        touch(tmp_path / name)
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "broken.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "itself.mp4").symlink_to(tmp_path / "itself.mp4")
    (tmp_path / "device.mp4").symlink_to("/dev/zero")
    (tmp_path / "pipe too.mp4").symlink_to(tmp_path / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # the name of a socket has at most 108 bytes
        listener.bind("socket.mp4")
        assert ids(tmp_path) == ["a.mp4", "broken.mp4"]  # a link that leads nowhere is named when it is opened


def test_links_are_followed_but_no_folder_is_entered_twice(tmp_path: Path) -> None:
    touch(tmp_path / "set/z/a.mp4")
    touch(tmp_path / "elsewhere/b.mp4")
    (tmp_path / "set/z/up").symlink_to(tmp_path / "set")
    (tmp_path / "set/same").symlink_to(tmp_path / "set/z")
    (tmp_path / "set/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/file.mp4").symlink_to(tmp_path / "elsewhere/b.mp4")
    assert ids(tmp_path / "set") == ["file.mp4", "linked/b.mp4", "z/a.mp4"]


def test_loops_of_links_end(tmp_path: Path) -> None:
    touch(tmp_path / "a/one.mp4")
    touch(tmp_path / "b/one.mp4")
    (tmp_path / "a/to b").symlink_to(tmp_path / "b")
    (tmp_path / "b/to a").symlink_to(tmp_path / "a")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    assert ids(tmp_path) == ["a/one.mp4", "b/one.mp4"]


def test_one_name_in_two_folders_or_in_two_normal_forms_is_two_videos(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9.mp4", "cafe\u0301.mp4"
    for name in ("b/same.mp4", "a/same.mp4", "a/b/same.mp4", decomposed, composed):
        touch(tmp_path / name)
    assert [(video.id, video.label, video.file) for video in list_videos(tmp_path)] == [
        ("a/b/same.mp4", "b", f"{tmp_path}/a/b/same.mp4"),
        ("a/same.mp4", "a", f"{tmp_path}/a/same.mp4"),
        ("b/same.mp4", "b", f"{tmp_path}/b/same.mp4"),
        (decomposed, None, f"{tmp_path}/{decomposed}"),
        (composed, None, f"{tmp_path}/{composed}"),
    ]


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
    folder = os.path.join(os.fsencode(tmp_path), b"\xff\xfe")
    os.mkdir(folder)
    for name in (os.path.join(os.fsencode(tmp_path), b"caf\xe9.mp4"), os.path.join(folder, b"\xe9.mp4")):
        with open(name, "wb"):
            pass
    videos = list_videos(tmp_path, VIDEO_ENDINGS)
    assert [(video.id, video.label) for video in videos] == [("\\xff\\xfe/\\xe9.mp4", "\\xff\\xfe"), ("caf\\xe9.mp4", None)]
    assert all(video.path.exists() for video in videos)


def test_two_names_that_look_alike_in_utf8_are_refused(tmp_path: Path) -> None:
    for name in (b"caf\xe9.mp4", b"caf\\xe9.mp4"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    assert "are both called 'caf\\xe9.mp4'" in refusal(tmp_path)


def test_a_relative_source_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "-d/-a.mp4")
    monkeypatch.chdir(tmp_path)
    (video,) = list_videos(Path("-d"), VIDEO_ENDINGS)
    assert (video.path, video.id) == (tmp_path / "-d/-a.mp4", "-a.mp4")


def test_one_video_is_a_source(tmp_path: Path) -> None:
    (video,) = list_videos(touch(tmp_path / "a.mp4"), VIDEO_ENDINGS)
    assert (video.id, video.label) == ("a.mp4", None)


def test_sources_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    assert "There is no video in" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "nowhere")
    assert "neither a video nor a list" in refusal(touch(tmp_path / "notes.md"))
    os.mkfifo(tmp_path / "pipe.csv")
    assert "neither a folder nor a file" in refusal(tmp_path / "pipe.csv")
    assert "cannot be read" in refusal(tmp_path / ("x" * 300))


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a/b.mp4")
    scan = os.scandir

    def refuse(path: str) -> object:
        if path == f"{tmp_path}/a":  # the tests may run as root, who may read everything
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert refusal(tmp_path) == f"{tmp_path}/a cannot be read: Permission denied."


def test_archives_in_a_folder_without_videos_are_to_be_unpacked(tmp_path: Path) -> None:
    for name in ("hmdb51/wave.rar", "hmdb51/clap.RAR", "sound.wav"):
        touch(tmp_path / name)
    with pytest.raises(DataError) as caught:
        list_videos(tmp_path)
    assert caught.value.hint == "Unpack the archives in it first: clap.RAR and 1 more."
    touch(tmp_path / "hmdb51/wave/a.avi")
    assert ids(tmp_path) == ["hmdb51/wave/a.avi"]


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


def test_a_root_says_where_the_videos_of_a_list_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "films/in/a.mp4")
    touch(tmp_path / "films/b.mp4")
    touch(tmp_path / "lists/c.mp4")
    source = tmp_path / "lists/list.txt"
    source.write_text(f"in/a.mp4\n{tmp_path}/films/in/../b.mp4\n")
    monkeypatch.chdir(tmp_path / "lists")
    for root in (tmp_path / "films", Path("../films"), Path("../lists/../films/")):
        videos = list_videos(source, root=root)
        assert [video.id for video in videos] == ["b.mp4", "in/a.mp4"]
        assert all(video.path.is_absolute() and video.path.is_file() for video in videos)
    assert "line 1: there is no file" in refusal(source, root=tmp_path)
    for escape in (
        "../lists/c.mp4",
        f"{tmp_path}/lists/c.mp4",
        "in/../../lists/c.mp4",
        ".",
        "..",
        f"{tmp_path}/films",
        "//etc/passwd",
    ):
        source.write_text(f"in/a.mp4\n{escape}\n")
        assert f"line 2: '{escape}' leads out of the list's folder, {tmp_path}/films" in refusal(source, root=tmp_path / "films")


def test_everything_is_inside_the_root_of_all(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.mp4\n")
    (video,) = list_videos(tmp_path / "list.txt", root=Path("/"))
    assert (video.id, video.file) == (f"{tmp_path}/a.mp4"[1:], f"{tmp_path}/a.mp4")


def test_a_list_may_lie_behind_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "sub/a.mp4")
    (tmp_path / "list.csv").write_text(f"path\nsub/a.mp4\n{tmp_path}/sub/../sub/b.mp4\n")
    monkeypatch.chdir(tmp_path / "sub")
    assert ids(Path("../list.csv"), allow_missing=True) == ["sub/a.mp4", "sub/b.mp4"]


def test_a_root_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.mp4\n")
    assert "is no folder" in refusal(tmp_path / "list.txt", root=touch(tmp_path / "a.mp4"))
    assert "nowhere cannot be read: No such file" in refusal(tmp_path / "list.txt", root=tmp_path / "nowhere")


def test_listed_links_are_followed_and_what_is_no_file_is_named(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    (tmp_path / "list.txt").write_text("link.mp4\na.mp4\n")
    assert ids(tmp_path / "list.txt") == ["a.mp4", "link.mp4"]
    for name, message in {"loop.mp4": "cannot be a file", "zero.mp4": "is not a file"}.items():
        (tmp_path / "list.txt").write_text(f"a.mp4\n{name}\n")
        assert f"line 2: '{name}' {message}" in refusal(tmp_path / "list.txt")


def test_roots_are_for_lists(tmp_path: Path) -> None:
    for source in (tmp_path, touch(tmp_path / "a.mp4")):
        with pytest.raises(UsageError, match="is no list of videos"):
            list_videos(source, root=tmp_path)


MEASURE = """
import json, resource, sys, time
from pathlib import Path
from elo_cli.data.listing import list_videos

begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
videos = list_videos(Path(sys.argv[1]))
spent = time.monotonic() - begun, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(json.dumps([len(videos), videos[0].id, videos[-1].id, *spent]))
"""


@pytest.mark.slow
def test_a_hundred_thousand_videos_are_listed_in_seconds_and_little_memory(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    folder = os.open(tmp_path / "set", os.O_RDONLY)
    for number in range(100_000):
        os.close(os.open(f"{number:06d}.mp4", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    with open(tmp_path / "list.jsonl", "w") as stream:
        stream.writelines(f'{{"path": "set/{n:06d}.mp4", "label": "{n % 9}", "start": 1.5}}\n' for n in range(100_000))
    try:
        for source, first, last in (
            ("set", "000000.mp4", "099999.mp4"),
            ("list.jsonl", "set/000000.mp4#t=1.5", "set/099999.mp4#t=1.5"),
        ):
            told = subprocess.run([sys.executable, "-c", MEASURE, tmp_path / source], check=True, capture_output=True, text=True)
            count, *ends, seconds, mebibytes = json.loads(told.stdout)
            assert (count, ends) == (100_000, [first, last])
            assert seconds < 10 and mebibytes < 100  # 0.6 to 1.5 s and 27 to 41 MiB on two idle cores
    finally:
        shutil.rmtree(tmp_path / "set")
