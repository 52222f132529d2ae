"""Lists of videos: their columns and times, their roots, and what is refused by its line."""

import json
import os
from pathlib import Path

import pytest

from elo_cli.core.errors import DataError
from elo_cli.data.listing import VIDEO_ENDINGS, list_videos


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
    "double key": ('{"path": "a.mp4", "path": "b.mp4"}\n', "line 1: it is not JSON: a key comes twice"),
    "no line end": ('{"path": "a.mp4"}\n' + " " * 2**21, "line 2: it is longer than 1048576 bytes"),
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


def test_text_lists_have_one_path_a_line_in_the_bytes_of_the_file_system(tmp_path: Path) -> None:
    for name in ("a b.mp4", " -c.mp4 ", 'é,".mp4', "sub/d.mp4"):
        touch(tmp_path / name)
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.mp4"), "wb"):
        pass
    lines = ["\ufeffsub/d.mp4\r", "", " -c.mp4 ", "\r", 'é,".mp4', "./a b.mp4"]
    (tmp_path / "list.txt").write_bytes("\n".join(lines).encode() + b"\ncaf\xe9.mp4")
    videos = list_videos(tmp_path / "list.txt")
    assert [(video.id, video.label) for video in videos] == [
        (name, None) for name in (" -c.mp4 ", "a b.mp4", "caf\\xe9.mp4", "sub/d.mp4", 'é,".mp4')
    ]
    assert all(video.path.exists() for video in videos)


def test_text_lists_with_more_than_paths_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "Archery/a b.avi")
    for content in ("Archery/a b.avi 3\n", "Archery/a b.avi 1 2"):
        (tmp_path / "list.txt").write_text(content)
        with pytest.raises(DataError, match="line 1: there is no file") as caught:
            list_videos(tmp_path / "list.txt")
        assert ("one path a line and nothing else" in caught.value.hint) == (content[-2] == "3")
    (tmp_path / "list.txt").write_text("Archery/a b.avi\n\nArchery//a b.avi\n")
    assert "line 3: 'Archery//a b.avi' was listed on line 1 already" in refusal(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_bytes(b"\0" * 2**21)
    assert "line 1: it is longer than 1048576 bytes" in refusal(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("\n \t\r\n")
    assert "There is no video in" in refusal(tmp_path / "list.txt")


def test_stretches_of_a_video_are_videos_of_their_own(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "b.mp4")
    (tmp_path / "list.csv").write_text(
        "path,start,label,end,split\na.mp4,12.50,run,20,test\nb.mp4,,,,\na.mp4,0,walk,1e1,train\na.mp4,,all,,\na.mp4,,head,5.25,\n"
    )
    rows = [
        {"path": "a.mp4", "start": 12.5, "end": 20, "label": "run", "split": "test"}, {"path": "b.mp4", "start": None},
        {"path": "a.mp4", "start": "0", "end": 10.0, "label": "walk", "split": "train"}, {"path": "a.mp4", "label": "all"},
        {"path": "a.mp4", "end": 5.25, "label": "head"},
    ]  # fmt: skip
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("list.csv", "list.jsonl"):
        assert [(v.id, v.file, v.label, v.split, v.start_s, v.end_s) for v in list_videos(tmp_path / name)] == [
            ("a.mp4", f"{tmp_path}/a.mp4", "all", None, None, None),
            ("a.mp4#t=,5.25", f"{tmp_path}/a.mp4", "head", None, None, 5.25),
            ("a.mp4#t=0,10", f"{tmp_path}/a.mp4", "walk", "train", 0.0, 10.0),
            ("a.mp4#t=12.5,20", f"{tmp_path}/a.mp4", "run", "test", 12.5, 20.0),
            ("b.mp4", f"{tmp_path}/b.mp4", None, None, None, None),
        ]


TIMES = {
    ("0", ""): "#t=0", ("0.0", "0.1"): "#t=0,0.1", ("1.10", ".5e1"): "#t=1.1,5", ("", "7200"): "#t=,7200",
    ("1e-7", "1"): "#t=0.0000001,1", ("0.30000000000000004", "1e22"): "#t=0.30000000000000004,10000000000000000000000",
    (" 2 ", " "): "#t=2",
}  # fmt: skip


@pytest.mark.parametrize(("start", "end"), TIMES)
def test_times_are_written_as_the_shortest_exact_decimals(tmp_path: Path, start: str, end: str) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "list.csv").write_text(f"path,start,end\na.mp4,{start},{end}\n")
    assert ids(tmp_path / "list.csv") == [f"a.mp4{TIMES[start, end]}"]


def test_minus_nought_is_nought(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "list.jsonl").write_text('{"path": "a.mp4", "start": -0.0}\n')
    assert ids(tmp_path / "list.jsonl") == ["a.mp4#t=0"]


@pytest.mark.parametrize("time", ["-1", "nan", "inf", "1e999", "1_000", "00:01:10", "1,5", "٣", "one", "0x10"])
def test_times_that_are_no_seconds_are_refused(tmp_path: Path, time: str) -> None:
    touch(tmp_path / "a.mp4")
    for column in ("start", "end"):
        (tmp_path / "list.csv").write_text(f'path,{column}\na.mp4,\na.mp4,"{time}"\n')
        assert f"line 3: the {column} is '{time}', which is no time in seconds" in refusal(tmp_path / "list.csv")


@pytest.mark.parametrize("time", ["-0.5", "NaN", "Infinity", "1e999", "true", "[1]", '"1 s"', "1" + "0" * 400])
def test_times_in_json_that_are_no_seconds_are_refused(tmp_path: Path, time: str) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "list.jsonl").write_text(f'{{"path": "a.mp4", "end": {time}}}\n')
    assert "line 1: the end is " in refusal(tmp_path / "list.jsonl")


@pytest.mark.parametrize("times", ["5,5", "5,4.9", ",0", "1e300,1e299"])
def test_an_end_comes_after_its_start(tmp_path: Path, times: str) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "list.csv").write_text(f"path,start,end\na.mp4,{times}\n")
    assert "line 2: the end, " in refusal(tmp_path / "list.csv") and "is not after the start" in refusal(tmp_path / "list.csv")


def test_equal_times_are_refused_however_they_are_written(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "list.csv").write_text("path,start,end\na.mp4,1,2\na.mp4,1,3\n./a.mp4,1.0,2.00\n")
    assert "line 4: './a.mp4' was listed on line 2 already" in refusal(tmp_path / "list.csv")


def test_a_file_that_is_called_like_a_stretch_of_another_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    touch(tmp_path / "a.mp4#t=1,2")
    (tmp_path / "list.csv").write_text('path,start,end\n"a.mp4#t=1,2",,\na.mp4,1,2\n')
    assert "are both called 'a.mp4#t=1,2'" in refusal(tmp_path / "list.csv")


def test_lines_are_counted_through_quotes_blank_lines_and_carriage_returns(tmp_path: Path) -> None:
    touch(tmp_path / "a,\nb.mp4")
    (tmp_path / "list.csv").write_bytes('\ufeffpath,"la""bel",label\r\n\r\n"a,\nb.mp4",x,"1,\r\n2"\r\n\r\nc.mp4,,\r\n'.encode())
    assert "line 7: there is no file" in refusal(tmp_path / "list.csv")
    (video, _) = list_videos(tmp_path / "list.csv", allow_missing=True)
    assert (video.id, video.label) == ("a,\nb.mp4", "1,\r\n2")


HEADERS = {
    "a.mp4,walk": "it begins with a video", "some/A.MP4 17": "it begins with a video",
    "path,label,path": "", "path, label": "", "label,youtube_id,time_start,time_end,split": "annotations as Kinetics has them",
    "path\tlabel": "parted by '\\t': save it with commas", "path;label": "parted by ';'", "label|path": "parted by '|'",
}  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
def test_headers_that_are_none_are_explained(tmp_path: Path, header: str) -> None:
    touch(tmp_path / "a.mp4")
    (tmp_path / "list.csv").write_text(f"{header}\na.mp4,walk\n")
    with pytest.raises(DataError) as caught:
        list_videos(tmp_path / "list.csv")
    assert HEADERS[header] in caught.value.hint.lower() or HEADERS[header] in caught.value.hint
    assert "list.csv" in caught.value.message and ("has no column 'path'" in caught.value.message) == bool(HEADERS[header])
