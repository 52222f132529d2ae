"""Something-Something-v2 (Goyal et al. 2017): trained on its training side, tested on its validation side.

    ROOT/[labels/]something-something-v2-labels.json        {"<label>": "<number>"}, 174 labels; labels.json in newer archives
    ROOT/[labels/]something-something-v2-train.json         [{"id": "78687", "template": "Holding [something] next to …", …}];
    ROOT/[labels/]something-something-v2-validation.json    train.json and validation.json in newer archives
    ROOT/20bn-something-something-v2/<id>.webm              220,847 videos: 168,913 train, 24,777 validate

The label of a video is its template without brackets. The 27,157 others are the test side, whose labels are withheld: they
are not used. Left and right matter here: "Pushing something from left to right", mirrored, is another class, so clips of
this set must not be mirrored where their labels are used.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from elo_cli.data.listing import VIDEO_ENDINGS
from elo_cli.datasets import LabelledSet, LabelledVideo
from elo_cli.datasets._official import Published, files_in, folders_in, some

CLASSES = 174
COUNTS = {"train": 168913, "validation": 24777}

_LISTS = ("labels", "train", "validation")
_USUAL = ("20bn-something-something-v2", "videos")

_PAGE = "https://www.qualcomm.com/developer/software/something-something-v-2-dataset"
HOWTO = f"""\
Register at {_PAGE}
and download the labels and the videos (19 GB in parts; its page says how to join and unpack them), so that there are
    DIR/labels/labels.json, DIR/labels/train.json, DIR/labels/validation.json
    (older archives: DIR/labels/something-something-v2-labels.json …-train.json …-validation.json)
    DIR/20bn-something-something-v2/1.webm … 220847.webm
and run: elo benchmark ssv2 --root DIR"""

PUBLISHED = Published(
    "Something-Something-v2",
    "ssv2",
    HOWTO,
    again="Download the labels again.",
    folders=("ssv2", "something-something-v2"),
)


def find(root: Path | None, *, seed: int, allow_incomplete: bool = False) -> LabelledSet:
    """Find Something-Something-v2 on disk and check it against the published counts.

    Args:
        root: the folder that holds the three lists (or has them in `labels/` or `annotations/`) and the folder of
            videos (`20bn-something-something-v2/`, `videos/`, itself, or the first other one in it that holds any).
            None looks in `$ELO_DATA/ssv2`, `./ssv2`, `./elo/ssv2` and `./data/ssv2`, and in the same places for
            `something-something-v2`.
        seed: not used; the split is official.
        allow_incomplete: go on with the videos that are there.

    Returns:
        The set, its root the folder of videos; ids are the names of the files, `<id>.webm`; its split is called val.

    Raises:
        DataError: it is not there; videos are missing; or a list is missing or damaged, also under
            `allow_incomplete`: it is no JSON, has another form, names a video twice, or has a template that is no label.
    """
    home, lists, folder, files = _locate(root)
    known = _read_labels(lists["labels"])
    labels, sides = dict[str, str](), dict[str, list[str]]()
    for side in COUNTS:
        sides[side] = []
        for video, label in _read_side(lists[side], known):
            name = files.get(video, f"{video}.webm")
            if name in labels:
                raise PUBLISHED.damaged(lists[side], f"video {video} comes twice, here or in {lists['train'].name}")
            labels[name] = label
            sides[side].append(name)
    there = set(files.values())
    found = PUBLISHED.assemble(
        home,
        folder,
        labels=labels,
        held={name: LabelledVideo(folder / name, name, label) for name, label in labels.items() if name in there},
        sides={"val": (sides["train"], sides["validation"])},
        faults=_faults(known, sides, labels),
        allow_incomplete=allow_incomplete,
    )
    return replace(found, sides_matter=True)


def _locate(root: Path | None) -> tuple[Path, dict[str, Path], Path, dict[str, str]]:
    """Return the first place with the three lists and a folder of videos, the lists by kind, that folder, and its videos."""
    halves: list[str] = []
    for place in PUBLISHED.places(root):
        if not place.is_dir():
            continue
        lists = {kind: path for kind in _LISTS if (path := _find_list(place, kind)) is not None}
        held = ((folder, _videos(folder)) for folder in folders_in(place, _USUAL))
        folder, files = next(((folder, files) for folder, files in held if files), (None, {}))
        lack = [f"{kind}.json" for kind in _LISTS if kind not in lists]
        if not lack and folder is not None:
            return place, lists, folder, files
        if folder is not None:
            halves.append(f"{place} has videos, but no {', no '.join(lack)}")
        elif lists:
            halves.append(f"{place} has {', '.join(path.name for path in lists.values())}, but no folder of videos")
    raise PUBLISHED.not_found(root, halves)


def _find_list(place: Path, kind: str) -> Path | None:
    names = (f"something-something-v2-{kind}.json", f"{kind}.json")
    paths = (place / folder / name for folder in ("labels", "annotations", ".") for name in names)
    return next((path for path in paths if path.is_file()), None)


def _videos(folder: Path) -> dict[str, str]:
    """Return the names of a folder's videos by their ids; of two with one id the published .webm."""
    found: dict[str, str] = {}
    for name in sorted(files_in(folder)):
        stem, ending = os.path.splitext(name)
        if re.fullmatch(r"[0-9]+", stem) and ending.lower() in VIDEO_ENDINGS and found.get(stem) != f"{stem}.webm":
            found[stem] = name
    return found


def _read_labels(path: Path) -> frozenset[str]:
    """Read the list of labels.

    Raises:
        DataError: it is not a label with a number of its own each, from 0.
    """
    content = PUBLISHED.read_json(path)
    if not isinstance(content, dict) or not content:
        raise PUBLISHED.damaged(path, 'it is not {"<label>": "<number>", …}')
    numbers = sorted(str(number) for number in content.values())
    if numbers != sorted(map(str, range(len(content)))):
        raise PUBLISHED.damaged(path, f"its numbers are not 0 to {len(content) - 1}, each once")
    return frozenset(content)


def _read_side(path: Path, known: frozenset[str]) -> Iterable[tuple[str, str]]:
    """Yield id and label of the videos of a list.

    Raises:
        DataError: it is no list of videos, or a template is no label.
    """
    content: Any = PUBLISHED.read_json(path, lambda entry: (entry.get("id"), entry.get("template")))
    if not isinstance(content, list) or not content:
        raise PUBLISHED.damaged(path, "it is no list of videos")
    for number, entry in enumerate(content, start=1):
        video, template = entry if isinstance(entry, tuple) else (None, None)
        if not isinstance(video, str) or not re.fullmatch(r"[0-9]+", video) or not isinstance(template, str):
            raise PUBLISHED.damaged(path, f'entry {number} has not an "id" of digits and a "template"')
        label = template.replace("[", "").replace("]", "")
        if label not in known:
            raise PUBLISHED.damaged(path, f"entry {number}, video {video}: its template is no label: {template!r}")
        yield video, label


def _faults(known: frozenset[str], sides: Mapping[str, list[str]], labels: Mapping[str, str]) -> list[str]:
    """Say where the lists differ from what was published."""
    faults = [] if len(known) == CLASSES else [f"{len(known)} labels are listed, not {CLASSES}"]
    for side, videos in sides.items():
        if len(videos) != COUNTS[side]:
            faults.append(f"{len(videos):,} videos are listed for {side}, not {COUNTS[side]:,}")
        without = sorted(known - {labels[video] for video in videos})
        if without:
            faults.append(f"no video of {side} shows {some(without)}")
    return faults
