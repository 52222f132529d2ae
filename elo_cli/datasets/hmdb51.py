"""HMDB51 (Kuehne et al. 2011) with its three official splits, as published by the Serre lab.

    ROOT/testTrainMulti_7030_splits/<class>_test_split<1|2|3>.txt      153 files
    ROOT/videos/<class>/*.avi                                          6,766 videos, 51 classes
    ROOT/videos/<class>/<class>/*.avi                                  where each archive went into a folder of its own

A line of a split file is `<file name> <code>`: 1 trains, 2 tests, 0 is not used in this split. File names begin with
that of the film, but not reliably, so no video has a group.
"""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from elo_cli.datasets import LabelledSet, LabelledVideo
from elo_cli.datasets._official import Published, files_in, some

CLASSES = 51
VIDEOS = 6766
SPLITS = ("1", "2", "3")
PER_CLASS = {"train": 70, "test": 30}  # in each split
SIDES = {"0": "unused", "1": "train", "2": "test"}

_SPLIT_FILE = re.compile(r"(?P<label>.+)_test_split(?P<split>[1-3])\.txt")
_USUAL = ("testTrainMulti_7030_splits", "splits", "videos")

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

PUBLISHED = Published("HMDB51", "hmdb51", HOWTO, again="Unpack test_train_splits.rar again.")


class _Line(NamedTuple):
    """One line of a split file."""

    label: str
    name: str
    split: str
    side: str

    @property
    def id(self) -> str:
        return f"{self.label}/{self.name}"


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
    home, split_folder, video_folder = PUBLISHED.locate(
        root, usual=_USUAL, labels_in=_labels_in, class_folders=_class_folders, lists="<class>_test_split1.txt"
    )
    lines = _read_splits(split_folder)
    labels = {line.id: line.label for line in lines}
    held = {
        f"{label}/{name}": LabelledVideo(Path(path), f"{label}/{name}", label)
        for label in set(labels.values())
        for folder in _class_folders(video_folder, label)
        for name, path in files_in(folder).items()
    }
    sides: dict[str, tuple[list[str], list[str]]] = {split: ([], []) for split in SPLITS}
    for line in lines:
        if line.side != "unused":
            sides[line.split][line.side == "test"].append(line.id)
    return PUBLISHED.assemble(
        home, video_folder, labels=labels, held=held, sides=sides, faults=_faults(lines), allow_incomplete=allow_incomplete
    )


def _split_files(folder: Path) -> dict[Path, re.Match[str]]:
    matches = {Path(path): _SPLIT_FILE.fullmatch(name) for name, path in sorted(files_in(folder).items())}
    return {path: match for path, match in matches.items() if match is not None}


def _labels_in(folder: Path) -> Counter[str]:
    return Counter(match["label"] for match in _split_files(folder).values())


def _class_folders(folder: Path, label: str) -> tuple[Path, Path]:
    return folder / label / label, folder / label


def _read_splits(folder: Path) -> list[_Line]:
    """Read every split file of a folder.

    Raises:
        DataError: a line is not `<file name> <0|1|2>`, names a file of another folder, or comes twice.
    """
    lines: list[_Line] = []
    for path, match in _split_files(folder).items():
        names: set[str] = set()
        for number, line in PUBLISHED.read_lines(path):
            name, _, code = line.rpartition(" ")  # names may hold anything, blanks included
            name = name.strip()
            if not name or code not in SIDES or "/" in name or "\0" in name or name in names:
                wrong = "it comes twice" if name in names else "it is not '<file name> <0, 1 or 2>'"
                raise PUBLISHED.damaged(path, f"{wrong}: {line!r}", number)
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
        faults.append(f"{len(absent)} split files are missing or empty ({some(absent)})")
    uneven = [
        f"{label} split {split}: {counts[label, split, 'train']} + {counts[label, split, 'test']}"
        for label in labels
        for split in SPLITS
        if totals[label, split] and any(counts[label, split, side] != count for side, count in PER_CLASS.items())
    ]
    if uneven:
        faults.append(f"{len(uneven)} split files have not 70 training + 30 test videos ({some(uneven)})")
    videos = len({line.id for line in lines})
    if videos != VIDEOS:
        faults.append(f"{videos:,} videos are listed, not {VIDEOS:,}")
    return faults
