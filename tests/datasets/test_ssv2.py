"""Something-Something-v2: miniature copies with lists as published, whole and broken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elo_cli.core.errors import DataError
from elo_cli.datasets import SHELF, LabelledSet, ssv2

TEMPLATES = (
    "Holding [something] next to [something]",
    "Pulling [something] from left to right",
    "Showing that [something] is inside [something]",
)
ALWAYS = pytest.mark.parametrize("allow_incomplete", [False, True])


def label(template: str) -> str:
    return template.replace("[something]", "something")


def entries(first: int, count: int) -> list[dict[str, Any]]:
    """Return `count` videos of each template, numbered from `first`."""
    return [
        {"id": str(first + number), "label": "holding potato", "template": TEMPLATES[number % 3], "placeholders": ["potato"]}
        for number in range(3 * count)
    ]


def build(
    root: Path, *, lists: str = "labels", prefix: str = "something-something-v2-", videos: str = "20bn-something-something-v2"
) -> Path:
    """Write a small copy: each label trains with 4 videos (8 to 19) and validates with 2; 3 videos are of the test side."""
    contents = {
        "labels": {label(template): str(number) for number, template in enumerate(TEMPLATES)},
        "train": entries(8, 4),
        "validation": entries(20, 2),
        "test": [{"id": str(number)} for number in (26, 27, 28)],
    }
    for kind, content in contents.items():
        (root / lists).mkdir(parents=True, exist_ok=True)
        (root / lists / f"{prefix}{kind}.json").write_text(json.dumps(content, indent=1))
    (root / videos).mkdir(exist_ok=True)
    for number in range(8, 29):
        (root / videos / f"{number}.webm").touch()
    return root


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole copy, as far as miniature counts go."""
    monkeypatch.setattr(ssv2, "CLASSES", 3)
    monkeypatch.setattr(ssv2, "COUNTS", {"train": 12, "validation": 6})
    return build(tmp_path / "set")


def refusal(root: Path | None, *, allow_incomplete: bool = False) -> DataError:
    with pytest.raises(DataError) as caught:
        ssv2.find(root, seed=0, allow_incomplete=allow_incomplete)
    assert caught.value.hint
    return caught.value


def edit(root: Path, kind: str, change: Callable[[Any], Any]) -> Path:
    """Change what a list holds."""
    path = root / f"labels/something-something-v2-{kind}.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    return path


def check(found: LabelledSet, ending: str = ".webm") -> None:
    assert (found.name, found.missing) == ("ssv2", ())
    ids = [video.id for video in found.videos]
    assert ids == sorted(f"{number}{ending}" for number in range(8, 26))
    assert all(video.path == found.root / video.id and video.path.is_file() for video in found.videos)
    assert {video.id: video.label for video in found.videos} == {
        f"{number}{ending}": label(TEMPLATES[(number - 8) % 3]) for number in range(8, 26)
    }
    (split,) = found.splits
    assert split.name == "val"
    assert split.test == tuple(f"{number}{ending}" for number in range(20, 26))
    assert set(split.train) == set(ids) - set(split.test)


@pytest.mark.parametrize("prefix", ["something-something-v2-", ""])
@pytest.mark.parametrize(
    ("lists", "videos"),
    [("labels", "20bn-something-something-v2"), (".", "videos"), ("annotations", "z"), (".", "."), ("labels", ".")],
)
def test_usual_layouts_are_found(small: Path, tmp_path: Path, prefix: str, lists: str, videos: str) -> None:
    found = ssv2.find(build(tmp_path / "other", lists=lists, prefix=prefix, videos=videos), seed=0)
    check(found)
    assert found.root == tmp_path / "other" / videos
    assert SHELF.take("ssv2") is ssv2


def test_copies_in_another_container_are_found(small: Path) -> None:
    for path in sorted((small / "20bn-something-something-v2").iterdir()):
        shutil.copy(path, path.with_suffix(".mp4"))
    check(ssv2.find(small, seed=0))
    for path in sorted((small / "20bn-something-something-v2").glob("*.webm")):
        path.unlink()
    check(ssv2.find(small, seed=0), ".mp4")


def test_missing_videos_are_named_and_counted(small: Path) -> None:
    for number in (9, 12, 15, 18, 21, 24, 8):  # all of the second label, and one of the first
        (small / f"20bn-something-something-v2/{number}.webm").unlink()
    error = refusal(small)
    assert "7 of 18 videos are missing (all of Pulling something from left to right; 8.webm)" in error.message
    assert "--allow-incomplete" in error.hint and "qualcomm" in error.hint
    found = ssv2.find(small, seed=0, allow_incomplete=True)
    assert len(found.videos) == 11 and len(found.missing) == 7
    assert [(len(split.train), len(split.test)) for split in found.splits] == [(7, 4)]


def test_videos_of_the_test_side_are_not_needed(small: Path) -> None:
    found = ssv2.find(small, seed=0)
    for number in (26, 27, 28):
        (small / f"20bn-something-something-v2/{number}.webm").unlink()
    (small / "labels/something-something-v2-test.json").unlink()
    assert ssv2.find(small, seed=0) == found


@pytest.mark.parametrize("kind", ["labels", "train", "validation"])
@ALWAYS
def test_a_missing_list_is_named(small: Path, kind: str, allow_incomplete: bool) -> None:
    (small / f"labels/something-something-v2-{kind}.json").unlink()
    message = refusal(small, allow_incomplete=allow_incomplete).message
    assert f"{small} has videos, but no {kind}.json." in message


def test_missing_videos_and_lists_are_told_apart(small: Path) -> None:
    shutil.rmtree(small / "20bn-something-something-v2")
    message = refusal(small).message
    assert "something-something-v2-validation.json, but no folder of videos" in message


def test_wrong_counts_are_named(small: Path) -> None:
    edit(small, "validation", lambda videos: [video for video in videos if "Pulling" not in video["template"]])
    message = refusal(small).message
    assert "4 videos are listed for validation, not 6" in message
    assert "no video of validation shows Pulling something from left to right" in message
    assert len(ssv2.find(small, seed=0, allow_incomplete=True).splits[0].test) == 4
    edit(small, "labels", lambda labels: labels | {"Doing nothing": "3"})
    assert "4 labels are listed, not 3" in refusal(small).message


DAMAGE: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "no label": (
        "train",
        lambda videos: [*videos, {"id": "7", "template": "Eating [something]"}],
        "entry 13, video 7: its template",
    ),
    "no template": ("train", lambda videos: [*videos, {"id": "7"}], 'entry 13 has not an "id" of digits and a "template"'),
    "no id": ("train", lambda videos: [{"template": TEMPLATES[0]}, *videos], 'entry 1 has not an "id"'),
    "another path": ("train", lambda videos: [{"id": "../7", "template": TEMPLATES[0]}, *videos], 'entry 1 has not an "id"'),
    "a number": ("train", lambda videos: [{"id": 7, "template": TEMPLATES[0]}, *videos], 'entry 1 has not an "id"'),
    "bare names": ("train", lambda videos: [video["id"] for video in videos], 'entry 1 has not an "id"'),
    "an object": ("train", lambda videos: {"videos": 1}, "it is no list of videos"),
    "nothing": ("validation", lambda videos: [], "it is no list of videos"),
    "twice": ("validation", lambda videos: [*videos, videos[0]], "video 20 comes twice"),
    "both sides": ("validation", lambda videos: [*videos, *entries(8, 1)], "video 8 comes twice"),
    "same number": ("labels", lambda labels: dict.fromkeys(labels, "0"), "its numbers are not 0 to 2, each once"),
    "list of labels": ("labels", list, 'it is not {"<label>": "<number>", …}'),
}


@pytest.mark.parametrize("case", DAMAGE)
@ALWAYS
def test_damaged_lists_are_refused(small: Path, case: str, allow_incomplete: bool) -> None:
    kind, change, wrong = DAMAGE[case]
    path = edit(small, kind, change)
    message = refusal(small, allow_incomplete=allow_incomplete).message
    assert message.startswith(f"{path}: ") and wrong in message


@pytest.mark.parametrize("content", [b'[{"id": "8", "template": "Hol', b"", b"[" * 100_000, b"\xff\xfe"])
@ALWAYS
def test_lists_that_are_no_json_are_refused(small: Path, content: bytes, allow_incomplete: bool) -> None:
    path = small / "labels/something-something-v2-train.json"
    path.write_bytes(content)
    message = refusal(small, allow_incomplete=allow_incomplete).message
    assert str(path) in message
    assert "it is not JSON" in message or "cannot be read" in message


def test_the_published_counts_hold_by_default(tmp_path: Path) -> None:
    message = refusal(build(tmp_path / "set")).message
    assert "3 labels are listed, not 174" in message
    assert "12 videos are listed for train, not 168,913" in message
    assert "6 videos are listed for validation, not 24,777" in message
