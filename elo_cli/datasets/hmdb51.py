"""HMDB51 (Kuehne et al. 2011) with its three official splits, as published by the Serre lab.

    ROOT/testTrainMulti_7030_splits/<class>_test_split<1|2|3>.txt      153 files
    ROOT/videos/<class>/*.avi                                          6,766 videos, 51 classes
    ROOT/videos/<class>/<class>/*.avi                                  where each archive went into a folder of its own

A line of a split file is `<file name> <code>`: 1 trains, 2 tests, 0 is not used in this split.
"""

import os
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from elo_cli.core.errors import DataError
from elo_cli.datasets import LabelledSet, LabelledVideo, Split

CLASSES = 51
VIDEOS = 6766
SPLITS = ("1", "2", "3")
PER_CLASS = {"train": 70, "test": 30}  # in each split
SIDES = {"0": "unused", "1": "train", "2": "test"}

_SPLIT_FILE = re.compile(r"(?P<label>.+)_test_split(?P<split>[1-3])\.txt")

_PAGE = "https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/"
_DOWNLOADS = "http://serre-lab.clps.brown.edu/wp-content/uploads/2013/10/"
HOWTO = f"""\
Download hmdb51_org.rar (2 GB) and test_train_splits.rar from {_PAGE}
(direct: {_DOWNLOADS}hmdb51_org.rar and {_DOWNLOADS}test_train_splits.rar;
the server is often down: any mirror that keeps the .avi files under their published names will do, \
such as CVML-TueAI/HMDB51 on Hugging Face for the videos). Unpack hmdb51_org.rar, then the 51 archives in it, so that there are
    DIR/videos/brush_hair/*.avi … DIR/videos/wave/*.avi
    DIR/testTrainMulti_7030_splits/brush_hair_test_split1.txt …
and run: elo benchmark hmdb51 --root DIR"""


class _Line(NamedTuple):
    """One line of a split file."""

    label: str
    name: str
    split: str
    side: str


def find(root: Path | None, *, seed: int, allow_incomplete: bool = False) -> LabelledSet:
    """Find HMDB51 on disk and check it against the published counts.

    Args:
        root: the folder that holds the split files (in `testTrainMulti_7030_splits/`, `splits/`, any
            other folder in it, or themselves) and the class folders (in `videos/`, any other folder
            in it, or themselves). None looks in `$ELO_DATA/hmdb51`, `./hmdb51`, `./elo/hmdb51` and
            `./data/hmdb51`.
        seed: not used; the splits are official.
        allow_incomplete: go on with the classes, splits and videos that are there.

    Returns:
        The set, its root the folder of the class folders; ids are `<class>/<file name>`, also where the
        class folder holds another of its name; splits are called 1, 2 and 3.

    Raises:
        DataError: it is not there; or classes, split files, lines or videos are missing or damaged
            (damaged lines also under `allow_incomplete`).
    """
    home, split_folder, video_folder = _locate(root)
    lines = _read_splits(split_folder)
    faults = _faults(lines)
    listed = {f"{line.label}/{line.name}": line.label for line in lines}
    held = {label: _files(video_folder, label) for label in set(listed.values())}
    missing = tuple(sorted(video for video, label in listed.items() if video.partition("/")[2] not in held[label]))
    if missing:
        faults.append(_say_missing(missing, listed))
    if faults and not allow_incomplete:
        raise DataError(
            f"HMDB51 in {home} is not complete: {'; '.join(faults)}.",
            hint="Unpack the archives again, or go on with what is there by --allow-incomplete: the result says what was missing."
            f"\n{HOWTO}",
        )
    if len(missing) == len(listed):
        raise DataError(f"HMDB51 in {home} holds none of its {len(listed)} videos.", hint=HOWTO)
    gone = set(missing)
    videos = tuple(
        LabelledVideo(held[listed[video]][video.partition("/")[2]], video, listed[video])
        for video in sorted(listed)
        if video not in gone
    )
    return LabelledSet("hmdb51", video_folder, videos, _splits(lines, gone), missing)


def _places(root: Path | None) -> list[Path]:
    """List the folders to look in."""
    if root is not None:
        return [root.absolute()]
    places = [Path("hmdb51"), Path("elo/hmdb51"), Path("data/hmdb51")]
    if os.environ.get("ELO_DATA"):
        places.insert(0, Path(os.environ["ELO_DATA"]) / "hmdb51")
    return [place.absolute() for place in places]


def _locate(root: Path | None) -> tuple[Path, Path, Path]:
    """Return the first place with both halves of the set, its folder of split files, and that of class folders."""
    looked = _places(root)
    halves: list[str] = []
    for place in looked:
        if not place.is_dir():
            continue
        folders = _folders(place)
        split_folder = max(folders, key=lambda folder: len(_split_files(folder)))
        labels = {match["label"] for match in _split_files(split_folder).values()}
        video_folder = max(folders, key=lambda folder: sum((folder / label).is_dir() for label in labels))
        if labels and any((video_folder / label).is_dir() for label in labels):
            return place, split_folder, video_folder
        if labels:
            halves.append(f"{place} has the split files, but no folder of videos for any of their classes")
        elif any(path.suffix == ".avi" for folder in folders for path in folder.glob("*/*.avi")):
            halves.append(f"{place} has videos, but no split files (<class>_test_split1.txt …)")
    unset = "" if root is not None or os.environ.get("ELO_DATA") else " ($ELO_DATA is not set)"
    raise DataError(
        f"HMDB51 was not found. Looked in: {', '.join(map(str, looked))}{unset}." + "".join(f" {half}." for half in halves),
        hint=HOWTO,
    )


def _folders(place: Path) -> list[Path]:
    """List a folder and those directly in it, the usual names first."""
    inside = sorted(path for path in place.iterdir() if path.is_dir())
    usual = [place / "testTrainMulti_7030_splits", place / "splits", place / "videos"]
    return [path for path in usual if path in inside] + [place] + [path for path in inside if path not in usual]


def _split_files(folder: Path) -> dict[Path, re.Match[str]]:
    matches = {path: _SPLIT_FILE.fullmatch(path.name) for path in sorted(folder.iterdir())}
    return {path: match for path, match in matches.items() if match is not None and path.is_file()}


def _files(folder: Path, label: str) -> dict[str, Path]:
    """Return the regular files of a class by name; none where there is no folder for it."""
    files: dict[str, Path] = {}
    for place in (folder / label / label, folder / label):
        if place.is_dir():
            files |= {entry.name: Path(entry.path) for entry in os.scandir(place) if entry.is_file()}
    return files


def _read_splits(folder: Path) -> list[_Line]:
    """Read every split file of a folder.

    Raises:
        DataError: a line is not `<file name> <0|1|2>`, names a file of another folder, or comes twice.
    """
    lines: list[_Line] = []
    for path, match in _split_files(folder).items():
        names: set[str] = set()
        try:
            content = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read: {error}.", hint="Unpack test_train_splits.rar again.") from error
        for number, line in enumerate(content.split("\n"), start=1):
            if not line.strip():
                continue
            name, _, code = line.strip().rpartition(" ")  # names may hold anything, blanks included
            name = name.strip()
            if not name or code not in SIDES or "/" in name or "\0" in name or name in names:
                wrong = "it comes twice" if name in names else "it is not '<file name> <0, 1 or 2>'"
                raise DataError(f"{path}, line {number}: {wrong}: {line!r}.", hint="Unpack test_train_splits.rar again.")
            names.add(name)
            lines.append(_Line(match["label"], name, match["split"], SIDES[code]))
    return lines


def _faults(lines: list[_Line]) -> list[str]:
    """Say where the lists differ from what was published."""
    labels = sorted({line.label for line in lines})
    faults = [] if len(labels) == CLASSES else [f"{len(labels)} classes are listed, not {CLASSES}"]
    counts = Counter((line.label, line.split, line.side) for line in lines)
    totals = Counter((line.label, line.split) for line in lines)
    absent = [f"{label}_test_split{split}.txt" for label in labels for split in SPLITS if not totals[label, split]]
    if absent:
        faults.append(f"{len(absent)} split files are missing or empty ({_some(absent)})")
    uneven = [
        f"{label} split {split}: {counts[label, split, 'train']} + {counts[label, split, 'test']}"
        for label in labels
        for split in SPLITS
        if totals[label, split] and any(counts[label, split, side] != count for side, count in PER_CLASS.items())
    ]
    if uneven:
        faults.append(f"{len(uneven)} split files have not 70 training + 30 test videos ({_some(uneven)})")
    videos = len({(line.label, line.name) for line in lines})
    if videos != VIDEOS:
        faults.append(f"{videos:,} videos are listed, not {VIDEOS:,}")
    return faults


def _say_missing(missing: tuple[str, ...], listed: dict[str, str]) -> str:
    """Say which videos the disk does not hold, whole classes by their name."""
    total, lost = Counter(listed.values()), Counter(listed[video] for video in missing)
    whole = sorted(label for label in lost if lost[label] == total[label])
    single = [video for video in missing if listed[video] not in whole]
    parts = [f"all of {_some(whole)}"] if whole else []
    parts += [_some(single)] if single else []
    return f"{len(missing):,} of {len(listed):,} videos are missing ({'; '.join(parts)})"


def _some(names: list[str]) -> str:
    """Return the first few of a list of names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _splits(lines: list[_Line], gone: set[str]) -> tuple[Split, ...]:
    """Build the splits from what is there; a split without both sides is left out."""
    sides: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        video = f"{line.label}/{line.name}"
        if video not in gone:
            sides.setdefault((line.split, line.side), []).append(video)
    pairs = {split: (sides.get((split, "train"), []), sides.get((split, "test"), [])) for split in SPLITS}
    splits = tuple(
        Split(split, tuple(sorted(train)), tuple(sorted(test))) for split, (train, test) in pairs.items() if train and test
    )
    if not splits:
        raise DataError("No split of HMDB51 has both training and test videos on disk.", hint=HOWTO)
    return splits
