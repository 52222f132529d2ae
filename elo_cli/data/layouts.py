"""What published sets say by their folders and file names: labels, splits and groups.

    Kinetics   {train,val,test}/[<class>/]<youtube id>_<start>_<end>.mp4, or <youtube id>.mp4; annotations, if there are
               any, in *.csv and annotations/*.csv: [label,]youtube_id,time_start,time_end[,split][,is_cc]
    UCF101     <Class>/v_<Class>_g<group>_c<clip>.avi
    HMDB51     <class>/*.avi, or <class>/<class>/*.avi where each archive was unpacked into a folder of its own

In any other folder the label of a video is the name of the folder that holds it.
"""

import csv
import os
import re
import sys
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

from elo_cli.core.errors import DataError

SIDES = frozenset({"train", "val", "valid", "validate", "validation", "test"})  # folders that are no classes in Kinetics
JUNK = frozenset({"__MACOSX"})  # what macOS adds to archives; its .DS_Store is a hidden name
ARCHIVES = (".rar", ".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z")

_CUT = re.compile(r"(?P<id>[A-Za-z0-9_-]{11})_[0-9]{6}_[0-9]{6}")
_UCF = re.compile(r"(?P<group>v_(?P<label>.+)_g[0-9]{2})_c[0-9]{2}")
_COLUMNS = ("youtube_id", "time_start", "time_end")


class Note(NamedTuple):
    """What is known of a video besides its name; None where nothing is."""

    label: str | None = None
    split: str | None = None
    group: str | None = None


class Annotations:
    """Kinetics' annotations of clips, by the names that the clips are published under.

    Where rows of one clip differ in label or split, neither is believed.
    """

    def __init__(self) -> None:
        self._clips: dict[str, Note] = {}
        self._doubtful: set[tuple[str, str]] = set()

    def add(self, name: str, label: str | None, split: str | None) -> None:
        """Take a row for the clip called `name` (`<youtube id>_<start>_<end>`)."""
        before = self._clips.get(name)
        if before is not None:
            label, split = self._agreed(name, "label", before.label, label), self._agreed(name, "split", before.split, split)
        self._clips[name] = Note(label, split)

    def clips(self) -> Mapping[str, Note]:
        """Return what is known of each annotated clip, by its name."""
        return self._clips

    def find(self, stem: str) -> Note | None:
        """Return what is known of a file by its name without the ending; None where it is not annotated."""
        return self._clips.get(stem) if _CUT.fullmatch(stem) else self._sources.get(stem)

    @cached_property
    def _sources(self) -> dict[str, Note]:
        """Notes by YouTube id, for copies whose files have no times in their names; made when the first is met."""
        sources = Annotations()
        for name, note in self._clips.items():
            source = name[: -len("_000000_000010")]
            sources._doubtful |= {(source, kind) for kind in ("label", "split") if (name, kind) in self._doubtful}
            sources.add(source, note.label, note.split)
        return sources._clips

    def _agreed(self, name: str, kind: str, one: str | None, other: str | None) -> str | None:
        if one and other and one != other:
            self._doubtful.add((name, kind))
        return None if (name, kind) in self._doubtful else one or other


class Folder:
    """One folder of a set: what its name says of the videos in it.

    Args:
        parts: its path relative to the set, one name each, fit for UTF-8; empty for the set itself.
        annotations: those of the set, or None without any.
    """

    def __init__(self, parts: tuple[str, ...], annotations: Annotations | None) -> None:
        self._annotations = annotations
        self._name = parts[-1] if parts else None
        self._side = next((part for part in parts if part in SIDES), None)
        self._class = None if self._name in SIDES else self._name

    def note(self, stem: str) -> Note:
        """Say what is known of the video of this folder that has this name without its ending."""
        if self._annotations is not None or _CUT.fullmatch(stem):
            known = (self._annotations.find(stem) if self._annotations is not None else None) or Note()
            return Note(known.label or self._class, known.split or self._side)
        clip = _UCF.fullmatch(stem) if stem.startswith("v_") else None
        # The set itself spells one class in two ways: HandstandPushups/v_HandStandPushups_g01_c01.avi.
        ours = clip is not None and self._name is not None and clip["label"].lower() == self._name.lower()
        return Note(self._name, None, sys.intern(clip["group"]) if clip is not None and ours else None)


def read_annotations(root: str) -> Annotations | None:
    """Read Kinetics' annotation files of a folder, from itself and from its `annotations/`; None where there is none.

    Raises:
        DataError: a file that begins like annotations goes on otherwise; the message names the line.
        OSError: a folder or file cannot be read.
    """
    found: Annotations | None = None
    for folder in (root, os.path.join(root, "annotations")):
        if not os.path.isdir(folder):
            continue
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if name.lower().endswith(".csv") and not name.startswith(".") and os.path.isfile(path) and _is_annotation(path):
                found = found or Annotations()
                _read(path, found)
    return found


def _is_annotation(path: str) -> bool:
    """Say whether the first line names Kinetics' columns; any other file is not ours to judge."""
    with open(path, "rb") as stream:
        head = stream.readline(2**16).decode("utf-8-sig", "replace")
    return set(head.strip().split(",")) >= set(_COLUMNS)


def _read(path: str, annotations: Annotations) -> None:
    with open(path, encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            for row in reader:
                name, start, end = (row[column] for column in _COLUMNS)
                if None in row or not name or not _whole(start) or not _whole(end):
                    raise DataError(
                        f"{path}, line {reader.line_num}: it is no annotation as Kinetics has them.",
                        hint="Download the file again, or move it away to go by the names of the folders alone.",
                    )
                label, split = (sys.intern(row.get(column) or "") or None for column in ("label", "split"))
                annotations.add(f"{name}_{int(float(start)):06d}_{int(float(end)):06d}", label, split)
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path}, line {reader.line_num + 1}: {error}.", hint="Download the file again.") from error


def _whole(seconds: str | None) -> bool:
    """Say whether a text is a whole number of seconds, perhaps with zeros behind a point."""
    return seconds is not None and re.fullmatch(r"[0-9]{1,6}(\.0*)?", seconds) is not None
