"""Kinetics-400 (Kay et al. 2017): trained on its training side, tested on its validation side, as the field does.

    ROOT/[annotations/]*.csv                     label,youtube_id,time_start,time_end,split[,is_cc]; see `data/layouts.py`
    ROOT/<side>/[<class>/]<youtube id>_<start>_<end>.mp4       about 240,000 train, 19,900 val; times in six digits
    ROOT/<side>/[<class>/]<youtube id>.mp4                     other copies

Annotations alone say what a clip shows and which side it is on; folders may be called as they like, and their classes
written with blanks or underscores. Labels of the test side are withheld, so it is not used. Videos vanish from YouTube:
no copy is complete, and lists of different years differ, so what is checked is whether the annotated clips are there.
"""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from elo_cli.core.errors import DataError
from elo_cli.data.layouts import JUNK, Annotations, Note, read_annotations
from elo_cli.data.listing import VIDEO_ENDINGS
from elo_cli.datasets import LabelledSet, LabelledVideo
from elo_cli.datasets._official import Published, reading, some

CLASSES = 400
# Annotated clips. Editions differ (about 246,500 and 19,900 at first); a file that is torn off lacks more.
FEWEST = {"train": 220_000, "val": 19_000}
SIDES = {"train": "train", "val": "val", "valid": "val", "validate": "val", "validation": "val", "test": "test"}

_TIMES = len("_000000_000010")
_DEPTH = 2  # ROOT/<side>/<class>: frames of videos, which some keep one folder further down, are not looked through

_PAGE = "https://github.com/cvdfoundation/kinetics-dataset"
_ANNOTATIONS = "https://s3.amazonaws.com/kinetics/400/annotations/"
HOWTO = f"""\
Download the annotations {_ANNOTATIONS}train.csv and {_ANNOTATIONS}val.csv, and the clips as {_PAGE} says \
(k400_targz_downloader.sh fetches 450 GB). Unpack them, so that there are
    DIR/annotations/train.csv, DIR/annotations/val.csv
    DIR/train/*.mp4, DIR/val/*.mp4, called <youtube id>_<start>_<end>.mp4, if you like in folders of classes
and run: elo benchmark kinetics400 --root DIR
No copy holds all clips, because videos vanish from YouTube: --allow-incomplete is usual here."""

PUBLISHED = Published(
    "Kinetics-400",
    "kinetics400",
    HOWTO,
    again="Download the annotations again.",
    folders=("kinetics400", "k400"),
)


def find(root: Path | None, *, seed: int, allow_incomplete: bool = False) -> LabelledSet:
    """Find Kinetics-400 on disk and check it against its annotations.

    Args:
        root: the folder that holds the annotations (or has them in `annotations/`), and folders of clips, in which
            there may be folders of classes. None looks in `$ELO_DATA/kinetics400`, `./kinetics400`,
            `./elo/kinetics400` and `./data/kinetics400`, and in the same places for `k400`.
        seed: not used; the split is official.
        allow_incomplete: go on with the classes and clips that are there.

    Returns:
        The set; ids are paths as they are on disk, and of missing clips `<side>/<class>/<name>.mp4`. Clips of one
        YouTube video have its id as their group, others have none. Its split is called val. A file called by its
        YouTube id alone is used where one clip only is annotated of that video.

    Raises:
        DataError: it is not there; or classes or clips are missing; or annotations are damaged, also under
            `allow_incomplete`: a row that is none, or rows of one clip that differ in class or side.
    """
    home, clips, files = _locate(root)
    _check(home, clips)
    sources = Counter(name[:-_TIMES] for name in clips)
    labels, held = dict[str, str](), dict[str, LabelledVideo]()
    sides: dict[str, list[str]] = {"train": [], "val": []}
    for name, note in clips.items():
        side, label, source = SIDES[str(note.split)], str(note.label), name[:-_TIMES]
        if side not in sides:
            continue
        path = _take(files, name, side) or (_take(files, source, side) if sources[source] == 1 else None)
        video = f"{side}/{label}/{name}.mp4" if path is None else _id(path, home)
        if path is not None:
            held[video] = LabelledVideo(Path(path), video, label, source if sources[source] > 1 else None)
        labels[video] = label
        sides[side].append(video)
    return PUBLISHED.assemble(
        home,
        home,
        labels=labels,
        held=held,
        sides={"val": (sides["train"], sides["val"])},
        faults=_faults(sides, labels, held),
        allow_incomplete=allow_incomplete,
    )


def _locate(root: Path | None) -> tuple[Path, Mapping[str, Note], dict[tuple[str, str], str]]:
    """Return the first place with annotations and clips, what is annotated by the clips' names, and the files in it."""
    halves: list[str] = []
    for place in PUBLISHED.places(root):
        if not place.is_dir():
            continue
        with reading(place):
            annotations = read_annotations(str(place))
            files = _scan(place)
        if annotations is not None and files:
            return place, _annotated(annotations), files
        if annotations is not None:
            halves.append(f"{place} has annotations, but no videos")
        elif files:
            halves.append(f"{place} has videos, but no annotations (train.csv, val.csv)")
    raise PUBLISHED.not_found(root, halves)


def _annotated(annotations: Annotations) -> Mapping[str, Note]:
    return annotations.clips()


def _scan(home: Path) -> dict[tuple[str, str], str]:
    """Return the videos of a place by side and name without its ending; the side is that of the folders' names, if any.

    Each folder is read once, and no file is looked at: there are a quarter of a million.
    """
    files: dict[tuple[str, str], str] = {}
    folders = [(str(home), "", 0)]
    for folder, side, depth in folders:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
        for entry in inside:
            if entry.name.startswith(".") or entry.name in JUNK:
                continue
            stem, ending = os.path.splitext(entry.name)
            if ending.lower() in VIDEO_ENDINGS and entry.is_file():
                files.setdefault((side, stem), entry.path)
            elif depth < _DEPTH and entry.is_dir():
                folders.append((entry.path, side or SIDES.get(entry.name, ""), depth + 1))
    return files


def _take(files: Mapping[tuple[str, str], str], stem: str, side: str) -> str | None:
    """Return the file of this name: of the folders of its side if there is one, else of any."""
    found = (files.get((place, stem)) for place in (side, "", "train", "val", "test"))
    return next((path for path in found if path is not None), None)


def _id(path: str, home: Path) -> str:
    """Return the path relative to a place, fit for UTF-8."""
    return os.fsencode(os.path.relpath(path, home)).decode("utf-8", "backslashreplace")


def _check(home: Path, clips: Mapping[str, Note]) -> None:
    """Require a side of every clip, and a class of those that are used.

    Raises:
        DataError: some have none, or their rows differ.
    """
    stray = [name for name, note in clips.items() if note.split not in SIDES]
    bare = [name for name, note in clips.items() if note.split in SIDES and SIDES[note.split] != "test" and not note.label]
    for kind, names in (("side (train, val or test)", stray), ("class", bare)):
        if names:
            raise DataError(
                f"{len(names):,} clips that {home} annotates have no {kind}, or more than one: {some(names)}.",
                hint=f"{PUBLISHED.again} Rows of one clip must not differ; labels of another Kinetics must not be beside them.",
            )


def _faults(sides: Mapping[str, list[str]], labels: Mapping[str, str], held: Mapping[str, LabelledVideo]) -> list[str]:
    """Say for each side which classes are not annotated, whether its file is torn off, and how many clips are not there."""
    faults: list[str] = []
    every = set(labels.values())
    for side, videos in sides.items():
        listed = {labels[video] for video in videos}
        if len(listed) != CLASSES:
            without = f" (without {some(sorted(every - listed))})" if every - listed else ""
            faults.append(f"{len(listed)} classes are annotated for {side}, not {CLASSES}{without}")
        elif len(videos) < FEWEST[side]:
            faults.append(f"{len(videos):,} clips are annotated for {side}, and every edition has at least {FEWEST[side]:,}")
        gone = [video for video in videos if video not in held]
        if gone:
            classes = len({labels[video] for video in gone})
            faults.append(f"{side} lacks {len(gone):,} of {len(videos):,} clips, of {classes} classes")
    return faults
