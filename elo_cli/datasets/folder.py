"""Any labelled folder or list of videos, with the splits it lists or with seeded ones.

In a folder the label of a video is the name of the directory that holds it. A list (CSV or JSON
lines) has the columns `path,label[,start][,end][,split][,group]`, with paths relative to its own folder.
"""

import hashlib
import os
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.seeds import derive
from elo_cli.core.shelf import suggest
from elo_cli.data.listing import VIDEO_ENDINGS, ListedVideo, list_videos
from elo_cli.datasets import LabelledSet, LabelledVideo, Split
from elo_cli.datasets._official import some

_HEAD = 4096  # bytes of which a film has a zero, and a text has none
SPLIT_BY = ("auto", "listed", "seeded")

_LAYOUT = (
    "Put each class in a folder of its own (ROOT/walk/a.mp4), or give a .csv or .jsonl list with the columns path and label,"
    " and if you like split (train or test) and group."
)


def find(root: Path | None, *, seed: int, allow_incomplete: bool = False, split_by: str = "auto", folds: int = 3) -> LabelledSet:
    """Find the videos of a labelled folder or list, and split them.

    Args:
        root: the folder or the list.
        seed: decides the seeded splits.
        allow_incomplete: go on without the files that a list names but the disk does not hold.
        split_by: `listed` (by the list's column `split`: train or test), `seeded` (`folds` stratified
            splits, each fold once the test side; a group never stands on both), or `auto`: listed
            where the list has that column, else seeded.
        folds: how many seeded splits, at least 2.

    Returns:
        The set; its splits are called `listed`, or `1` to `folds`.

    Raises:
        DataError: no such folder, no videos, no labels, a class with fewer videos (or groups) than
            folds, a damaged list, or a listed split that is empty, incomplete or parts a group.
        UsageError: a setting is out of its range, or no root was given.
    """
    if split_by not in SPLIT_BY:
        raise UsageError(f"Splits cannot be made by '{split_by}'.", hint=suggest(split_by, SPLIT_BY))
    if folds < 2:
        raise UsageError(f"{folds} folds leave no training or no test side.", hint="Set folds to 2 or more; 3 is usual.")
    if root is None:
        raise UsageError("A data set of your own needs its place.", hint="Give it with --root DIR. " + _LAYOUT)
    root = root.absolute()
    listed = list_videos(root, VIDEO_ENDINGS, allow_missing=allow_incomplete)
    missing = tuple(video.id for video in listed if not os.path.exists(video.file))
    gone = set(missing)
    here = [video for video in listed if video.id not in gone]
    if not here:
        raise DataError(f"None of the {len(missing)} videos that {root} lists exists.", hint="Paths are relative to the list.")
    here = _grouped(here)
    videos = _label(root, here)
    if split_by == "listed" or (split_by == "auto" and any(video.split for video in here)):
        splits: tuple[Split, ...] = (_listed_split(root, here),)
    else:
        splits = _seeded_splits(root, videos, seed, folds)
    return LabelledSet(
        root.stem if root.is_file() else root.name, root.parent if root.is_file() else root, videos, splits, missing
    )


def _grouped(listed: list[ListedVideo]) -> list[ListedVideo]:
    """Let what shows the same film be one group: stretches of it, links to it, copies of it; the list's own word for it counts.

    Raises:
        DataError: the list puts one film into several groups.
    """
    films = _films({video.file for video in listed})
    shown, named = Counter(films[video.file] for video in listed), defaultdict[str, set[str]](set)
    first: dict[str, str] = {}
    for video in listed:
        first.setdefault(films[video.file], video.id.partition("#t=")[0])
        named[films[video.file]] |= set() if video.group is None else {video.group}
    torn = sorted(first[film] for film, groups in named.items() if len(groups) > 1)
    if torn:
        raise DataError(
            f"{len(torn)} films stand in several groups: {some(torn)}.",
            hint="Stretches and copies of one film belong together: give them one group, or none.",
        )
    groups = {film: next(iter(named[film]), first[film] if shown[film] > 1 else None) for film in shown}
    return [replace(video, group=groups[films[video.file]]) for video in listed]


def _films(files: set[str]) -> dict[str, str]:
    """Name for each file the first one that holds the same bytes; only files of one size are read, and empty ones hold none."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for file in sorted(files):
        by_size[os.stat(file).st_size].append(file)
    films: dict[str, str] = {}
    for size, alike in by_size.items():
        first: dict[bytes, str] = {}
        for file in alike:
            films[file] = first.setdefault(_content(file), file) if size and len(alike) > 1 else file
    return films


def _content(file: str) -> bytes:
    """Hash the bytes of a film; what cannot be read, or is text, such as the error page of a download, is like no other."""
    try:
        with open(file, "rb") as opened:
            if b"\0" in opened.read(_HEAD):
                opened.seek(0)
                return hashlib.file_digest(opened, "sha256").digest()
    except OSError:
        pass  # whoever prepares it says why
    return os.fsencode(file)


def _label(root: Path, listed: list[ListedVideo]) -> tuple[LabelledVideo, ...]:
    """Require a label of every video, and two labels of all."""
    bare = [video.id for video in listed if video.label is None]
    if len(bare) == len(listed):
        raise DataError(f"The videos of {root} have no labels.", hint=_LAYOUT)
    if bare:
        raise DataError(f"{len(bare)} of {len(listed)} videos of {root} have no label: {some(bare)}.", hint=_LAYOUT)
    videos = tuple(
        LabelledVideo(video.path, video.id, str(video.label), video.group, video.start_s, video.end_s) for video in listed
    )
    if len({video.label for video in videos}) == 1:
        raise DataError(f"All videos of {root} have the label '{videos[0].label}': there is nothing to tell apart.", hint=_LAYOUT)
    return videos


def _listed_split(root: Path, listed: list[ListedVideo]) -> Split:
    """Build the one split of a list's own column."""
    sides: dict[str | None, list[ListedVideo]] = defaultdict(list)
    for video in listed:
        sides[video.split].append(video)
    strange = [video.id for side, videos in sides.items() if side not in ("train", "test") for video in videos]
    hint = "Write train or test for every video, or set split_by to seeded."
    if strange:
        raise DataError(f"{len(strange)} videos of {root} are in neither train nor test: {some(strange)}.", hint=hint)
    for side in ("train", "test"):
        if not sides[side]:
            raise DataError(f"{root} lists no video for {side}.", hint=hint)
    groups = [{video.group for video in sides[side] if video.group is not None} for side in ("train", "test")]
    if groups[0] & groups[1]:
        both = sorted(groups[0] & groups[1])
        raise DataError(
            f"{len(both)} groups of {root} stand on both sides of its split: {some(both)}.",
            hint="What was seen in training comes back in the test. Mend the list, or set split_by to seeded.",
        )
    return Split("listed", *(tuple(video.id for video in sides[side]) for side in ("train", "test")))


def _seeded_splits(root: Path, videos: tuple[LabelledVideo, ...], seed: int, folds: int) -> tuple[Split, ...]:
    """Build stratified splits; the stretches of a video without a group are a group of their own."""
    labels = [video.label for video in videos]
    # Paths and groups might be spelled alike, hence the words before them.
    groups = [f"file {video.path}" if video.group is None else f"group {video.group}" for video in videos]
    grouped = len(set(groups)) < len(groups) or any(video.group is not None for video in videos)
    counts = Counter(label for label, _ in set(zip(labels, groups, strict=True)))
    small = sorted(f"{label} ({count})" for label, count in counts.items() if count < folds)
    if small:
        what = "groups" if grouped else "videos"
        raise DataError(
            f"{len(small)} classes of {root} have fewer {what} than the {folds} folds: {some(small)}.",
            hint=f"Give them more {what}, leave them out, or set folds to fewer.",
        )
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    splitter = kind(folds, shuffle=True, random_state=derive(seed, "folder") % 2**32)
    parted = splitter.split(labels, labels, groups if grouped else None)
    splits = [
        Split(str(number), tuple(videos[row].id for row in train), tuple(videos[row].id for row in test))
        for number, (train, test) in enumerate(parted, start=1)
    ]
    if not all(split.train and split.test for split in splits):
        raise DataError(
            f"The groups of {root} are too uneven for {folds} folds.", hint="Set folds to fewer, or make smaller groups."
        )
    return tuple(splits)
