"""AVA (Gu et al. 2018): who does what where, once a second of 15 minutes of each of 299 films; versions 2.1 and 2.2.

    ROOT/annotations/ava_<train|val>_v2.2.csv                        <video>,<timestamp>,<x1>,<y1>,<x2>,<y2>,<action>,<person>
    ROOT/annotations/ava_<train|val>_excluded_timestamps_v2.2.csv    <video>,<timestamp>
    ROOT/annotations/ava_action_list_v2.2_for_activitynet_2019.pbtxt 60 actions, those that are scored
    ROOT/annotations/ava_action_list_v2.2.pbtxt                      all 80; optional
    ROOT/annotations/ava_val_predicted_boxes.csv                     <video>,<timestamp>,<x1>,<y1>,<x2>,<y2>,,<score>; optional
    ROOT/videos/<YouTube id>.<mp4|mkv|webm>                          235 films to train on, 64 to validate; or in trainval/
    ROOT/videos_15min/<YouTube id>.<mp4|mkv|webm>                    the same cut to begin at second 900, as SlowFast has them

A box is the same in all rows of one person. Without action and box a row says that nobody is in the picture.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from elo_cli.core.boxes import BoxedSet, Keyframe
from elo_cli.core.errors import DataError
from elo_cli.datasets._official import Published, files_in, folders_in, some

GIVES = "boxes"  # and not classes of whole videos: `find` gives a `BoxedSet`
VERSIONS = ("2.2", "2.1")
VIDEOS = {"train": 235, "val": 64}
ACTIONS = 80
SCORED = 60
FIRST, LAST = 900, 1800  # seconds of the film: the part that is annotated
ENDINGS = ("mp4", "mkv", "webm")
DETECTED = ("ava_val_predicted_boxes.csv", "ava_detection_val_boxes_and_labels.csv")
SLACK = 0.05  # detectors' boxes may lie so far outside the picture, and are cut off; the annotated ones never do

_CUT = "15min"  # in the name of a folder of films that begin at FIRST
_USUAL = ("annotations", "videos", "trainval", "videos_15min")
_DEEPER = ("annotations", "videos")  # folders in these are looked into too
_BLOCK = re.compile(r"(?:item|label)\s*\{([^{}]*)\}")
_NAME, _NUMBER = (
    re.compile(r'^\s*name:\s*"([^"]+)"\s*$', re.MULTILINE),
    re.compile(r"^\s*(?:label_)?id:\s*(\d+)\s*$", re.MULTILINE),
)

HOWTO = """\
Get the lists, ava_v2.2.zip, from https://research.google.com/ava/download.html, and the 299 films of training and validation \
(157 GB) from CVDF's mirror, https://github.com/cvdfoundation/ava-dataset. Lay them out as
    DIR/annotations/ava_train_v2.2.csv, ava_val_v2.2.csv, ava_train_excluded_timestamps_v2.2.csv,
        ava_val_excluded_timestamps_v2.2.csv, ava_action_list_v2.2_for_activitynet_2019.pbtxt
    DIR/videos/-5KQ66BBWC4.mkv …, or DIR/videos_15min/-5KQ66BBWC4.mkv … where they were cut to begin at second 900
To score boxes that a detector found instead of the annotated ones, add DIR/annotations/ava_val_predicted_boxes.csv from
https://dl.fbaipublicfiles.com/video-long-term-feature-banks/data/ava/annotations/ava_val_predicted_boxes.csv,
or SlowFast's ava_detection_val_boxes_and_labels.csv; then run: elo benchmark ava --root DIR"""

PUBLISHED = Published("AVA", "ava", HOWTO, again="Unpack ava_v2.2.zip again.", folders=("ava", "AVA"))

Moment = tuple[str, int]  # a video and a timestamp
Box = tuple[float, float, float, float]


class _Files(NamedTuple):
    """Where everything is."""

    home: Path
    version: str
    lists: dict[str, Path]
    videos: dict[str, tuple[Path, float]]
    detected: list[Path]


def find(root: Path | None, *, seed: int, allow_incomplete: bool = False) -> BoxedSet:
    """Find AVA on disk and check it against the published counts.

    Args:
        root: the folder that holds the lists (in `annotations/`, any other folder in it, or themselves; version 2.2
            where both are there) and the films (in `videos/`, `trainval/`, any other folder in it, or themselves; in a
            folder with `15min` in its name they begin at second 900). None looks in `$ELO_DATA/ava`, `./ava`,
            `./elo/ava` and `./data/ava`, and in the same places for `AVA`.
        seed: not used; the split is official.
        allow_incomplete: go on with the films and keyframes that are there, without lists of excluded timestamps, and
            with all 80 actions if it is not known which 60 are scored.

    Returns:
        The set: training films to learn from, those of validation to score. Keyframes that the lists exclude are left out
        on both sides, as the official evaluation does. Where there is a file of detections, the given boxes of validation
        are all of its boxes, whatever their scores, and moments at which only it has boxes are keyframes too.

    Raises:
        DataError: it is not there; lists or films are missing; or a list is damaged, also under `allow_incomplete`.
    """
    files = _locate(root)
    classes, known, faults = _read_actions(files)
    sides = {side: _read_annotated(files.lists[f"ava_{side}_v{files.version}.csv"], known) for side in VIDEOS}
    excluded = {side: _read_excluded(files, side, faults) for side in VIDEOS}
    named = {side: sorted({video for video, _ in moments}) for side, moments in sides.items()}
    both = sorted(set(named["train"]) & set(named["val"]))
    if both:
        raise DataError(f"{len(both)} videos train and are scored too: {some(both)}.", hint=PUBLISHED.again)
    faults += [
        f"{len(named[side])} videos are listed in {side}, not {count}"
        for side, count in VIDEOS.items()
        if len(named[side]) != count
    ]
    detected = _read_detected(files.detected[0], set(named["val"]), faults) if files.detected else None
    listed = named["train"] + named["val"]
    missing = tuple(sorted(video for video in listed if video not in files.videos))
    if missing:
        faults.append(f"{len(missing)} of {len(listed)} videos are missing ({some(missing)})")
    if faults and not allow_incomplete:
        raise DataError(
            f"AVA in {files.home} is not complete: {'; '.join(faults)}.",
            hint=f"Complete it, or go on with what is there by --allow-incomplete: the result says what was missing.\n{HOWTO}",
        )
    train = _keyframes(files, sides["train"], excluded["train"], None)
    test = _keyframes(files, sides["val"], excluded["val"], detected)
    if not train or not test:
        raise DataError(f"AVA in {files.home} has no videos of {'validation' if train else 'training'}.", hint=HOWTO)
    given = files.detected[0].name if files.detected else "annotations"
    return BoxedSet("ava", files.home, classes, train, test, given, missing)


def _locate(root: Path | None) -> _Files:
    """Find the first place that has the lists of both sides."""
    halves: list[str] = []
    for place in PUBLISHED.places(root):
        if not place.is_dir():
            continue
        folders = folders_in(place, _USUAL)
        deeper = [inside for folder in folders if folder.name in _DEEPER for inside in folders_in(folder, ())]
        held = {folder: files_in(folder) for folder in [*folders, *deeper]}
        videos = _videos(held)
        for version in VERSIONS:
            needed = [f"ava_{side}_v{version}.csv" for side in VIDEOS]
            for folder, files in held.items():
                lacking = [name for name in needed if name not in files]
                if not lacking:
                    detected = [Path(inside[name]) for name in DETECTED for inside in held.values() if name in inside]
                    return _Files(place, version, {name: Path(path) for name, path in files.items()}, videos, detected[:1])
                halves += [f"{folder} has {name}, but no {lacking[0]}" for name in needed if name in files]
        if videos and not halves:
            halves.append(f"{place} has videos, but no lists (ava_train_v2.2.csv …)")
    raise PUBLISHED.not_found(root, halves)


def _videos(held: Mapping[Path, Mapping[str, str]]) -> dict[str, tuple[Path, float]]:
    """Return the file of each video and the second of the film that it begins at; whole films where there are both."""
    found: dict[str, tuple[Path, float]] = {}
    for folder in sorted(held, key=lambda folder: _CUT in folder.name):
        for name, path in sorted(held[folder].items()):
            stem, _, ending = name.rpartition(".")
            if ending in ENDINGS:
                found.setdefault(stem, (Path(path), float(FIRST) if _CUT in folder.name else 0.0))
    return found


def _read_actions(files: _Files) -> tuple[dict[int, str], set[int], list[str]]:
    """Return the actions that are scored, the ids that the lists may name, and what is wrong with their number."""
    names = sorted(name for name in files.lists if re.fullmatch(r"ava_action_list_.*\.pbtxt(\.txt)?", name))
    names.sort(key=lambda name: f"_v{files.version}" not in name)  # of several versions the lists' own
    scored = [name for name in names if "_for_activitynet_" in name]
    every = [name for name in names if "_for_activitynet_" not in name]
    if not names:
        raise DataError(
            f"{files.home} has no list of AVA's actions (ava_action_list_v2.2_for_activitynet_2019.pbtxt).", hint=HOWTO
        )
    known = _read_labels(files.lists[every[0]]) if every else dict.fromkeys(range(1, ACTIONS + 1), "")
    classes = _read_labels(files.lists[scored[0]]) if scored else known
    if not scored:
        return classes, set(known), ["the list of the actions that are scored (…_for_activitynet_2019.pbtxt) is missing"]
    wrong = [] if len(classes) == SCORED else [f"{len(classes)} actions are scored, not {SCORED}"]
    return classes, set(known) | set(classes), wrong


def _read_labels(path: Path) -> dict[int, str]:
    """Read a label map: blocks `item {…}` or `label {…}`, each with a name, and an `id` or a `label_id`."""
    text = "\n".join(line for _, line in PUBLISHED.read_lines(path))
    labels: dict[int, str] = {}
    for block in _BLOCK.findall(text):
        names, numbers = _NAME.findall(block), _NUMBER.findall(block)
        if len(names) != 1 or len(numbers) != 1 or int(numbers[0]) in labels:
            raise PUBLISHED.damaged(path, f"this is not one name and an id of its own: {' '.join(block.split())!r}")
        labels[int(numbers[0])] = names[0]
    rest = _BLOCK.sub("", text).strip()
    if rest or not labels:
        raise PUBLISHED.damaged(path, f"it is no label map{f', for it holds {rest[:60]!r}' if rest else ''}")
    return labels


def _rows(path: Path, columns: int) -> Iterator[tuple[int, Moment, list[str]]]:
    """Yield the rows of a list: number of the line, moment, and what follows it."""
    for line, text in PUBLISHED.read_lines(path):
        video, *row = [field.strip() for field in text.split(",")]
        if len(row) + 1 != columns or not video or not re.fullmatch("[0-9]{1,6}", row[0]) or not FIRST <= int(row[0]) <= LAST:
            raise PUBLISHED.damaged(
                path, f"it is not a video, a second of {FIRST} to {LAST}, … in {columns} columns: {text!r}", line
            )
        yield line, (video, int(row[0])), row[1:]


def _box(fields: list[str], slack: float) -> Box | None:
    """Return a box, cut off at the picture's edges; None if it lies further outside than `slack`, or is none."""
    try:
        x1, y1, x2, y2 = (float(field) for field in fields)
    except ValueError:
        return None
    # These comparisons are false of NaN too.
    if not (-slack <= x1 <= x2 <= 1 + slack and -slack <= y1 <= y2 <= 1 + slack):
        return None
    return min(max(x1, 0.0), 1.0), min(max(y1, 0.0), 1.0), min(max(x2, 0.0), 1.0), min(max(y2, 0.0), 1.0)


def _read_annotated(path: Path, known: set[int]) -> dict[Moment, dict[tuple[Box, str], list[int]]]:
    """Read the boxes of each moment: by box and person the ids of its actions."""
    moments: dict[Moment, dict[tuple[Box, str], list[int]]] = {}
    actions = {str(number): number for number in known}
    for line, moment, row in _rows(path, 8):
        boxes = moments.setdefault(moment, {})
        if not any(row[:5]):
            continue  # nobody is in the picture
        box = _box(row[:4], 0.0)
        if box is None:
            raise PUBLISHED.damaged(path, f"this is no box in [0, 1] (x1, y1, x2, y2): {','.join(row[:4])!r}", line)
        if row[4] not in actions:
            raise PUBLISHED.damaged(path, f"there is no action {row[4]!r} in AVA", line)
        boxes.setdefault((box, row[5]), []).append(actions[row[4]])
    return moments


def _read_excluded(files: _Files, side: str, faults: list[str]) -> set[Moment]:
    """Read which moments are left out; without the list, note so among the faults."""
    name = f"ava_{side}_excluded_timestamps_v{files.version}.csv"
    if name not in files.lists:
        faults.append(f"{name} is missing")
        return set()
    return {moment for _, moment, _ in _rows(files.lists[name], 2)}


def _read_detected(path: Path, videos: set[str], faults: list[str]) -> dict[Moment, dict[Box, float]]:
    """Read the boxes that a detector found, and how sure it was; of rows of one box the surest."""
    moments: dict[Moment, dict[Box, float]] = {}
    others: set[str] = set()
    for line, moment, row in _rows(path, 8):
        box = _box(row[:4], SLACK)
        try:
            score = float(row[5])
        except ValueError:
            score = math.nan
        if box is None or not 0 <= score <= 1:
            raise PUBLISHED.damaged(path, f"this is no box (x1, y1, x2, y2) with a score in [0, 1]: {','.join(row)!r}", line)
        if moment[0] in videos:
            boxes = moments.setdefault(moment, {})
            boxes[box] = max(score, boxes.get(box, 0.0))
        else:
            others.add(moment[0])
    if others:
        faults.append(f"{path.name} has boxes of {len(others)} videos that are not in the list ({some(sorted(others))})")
    return moments


def _keyframes(
    files: _Files,
    annotated: dict[Moment, dict[tuple[Box, str], list[int]]],
    excluded: set[Moment],
    detected: dict[Moment, dict[Box, float]] | None,
) -> tuple[Keyframe, ...]:
    """Build the keyframes of the videos that are there, sorted by id."""
    keyframes: list[Keyframe] = []
    for video, second in sorted((annotated.keys() | (detected or {}).keys()) - excluded):
        if video not in files.videos:
            continue
        path, begins_s = files.videos[video]
        boxes = annotated.get((video, second), {})
        box_K4 = np.array([box for box, _ in boxes], np.float64).reshape(-1, 4)
        given = None if detected is None else detected.get((video, second), {})
        given_G4 = box_K4 if given is None else np.array(list(given), np.float64).reshape(-1, 4)
        confidence_G = np.ones(len(box_K4)) if given is None else np.array(list(given.values()), np.float64)
        labels = tuple(tuple(sorted(each)) for each in boxes.values())
        name = f"{video}@{second:04d}"
        keyframes.append(Keyframe(path, name, video, float(second), second - begins_s, box_K4, labels, given_G4, confidence_G))
    return tuple(sorted(keyframes, key=lambda keyframe: keyframe.id))
