"""What sets with official lists share: where they are looked for, how they are checked, what is said of what is missing.

An entry has one `Published` and calls, in this order,

    PUBLISHED.places(root)                   the folders to look in
    raise PUBLISHED.not_found(root, halves)  none of them holds the set
    PUBLISHED.locate(…)                      both in one, for lists beside class folders
    PUBLISHED.read_lines(…), .read_json(…)   its lists; `.damaged(…)` is the error for what is wrong in them
    files_in(…)                              what a folder holds, without a look at each file
    PUBLISHED.assemble(…)                    lists and disk compared: the `LabelledSet`, or the error that names what is missing
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elo_cli.core.errors import DataError
from elo_cli.datasets import LabelledSet, LabelledVideo, Split


@dataclass(frozen=True)
class Published:
    """A set as it was published.

    Attributes:
        title: what messages call it, such as `HMDB51`.
        name: what results call it, such as `hmdb51`.
        howto: where to get what, and how to lay it out; it stands in the hint of whatever is missing.
        again: how to mend a damaged list, one sentence, such as `Unpack splits.zip again.`
        folders: what its folder is called, without a root; empty for `name` alone.
    """

    title: str
    name: str
    howto: str
    again: str
    folders: tuple[str, ...] = ()

    def places(self, root: Path | None) -> list[Path]:
        """List the folders to look in, absolute: the root, or one of `folders` in `$ELO_DATA`, here, in `elo/` and in `data/`."""
        if root is not None:
            return [root.absolute()]
        above = ["", "elo", "data"]
        if os.environ.get("ELO_DATA"):
            above.insert(0, os.environ["ELO_DATA"])
        return [Path(place, folder).absolute() for place in above for folder in self.folders or (self.name,)]

    def not_found(self, root: Path | None, halves: Iterable[str] = ()) -> DataError:
        """Build the error of a set that is in none of its places.

        Args:
            root: as given to `places`.
            halves: sentences without their full stop on what was found instead, such as
                `/a/b has videos, but no lists`.
        """
        unset = "" if root is not None or os.environ.get("ELO_DATA") else " ($ELO_DATA is not set)"
        return DataError(
            f"{self.title} was not found. Looked in: {', '.join(map(str, self.places(root)))}{unset}."
            + "".join(f" {half}." for half in halves),
            hint=self.howto,
        )

    def locate(
        self,
        root: Path | None,
        *,
        usual: Sequence[str],
        labels_in: Callable[[Path], Counter[str]],
        class_folders: Callable[[Path, str], Sequence[Path]],
        lists: str,
    ) -> tuple[Path, Path, Path]:
        """Find the folder of the lists and that of the class folders, each in a place itself or directly in it.

        Args:
            root: as given to `places`.
            usual: names of such folders, looked at first.
            labels_in: gives the classes that the lists in a folder speak of, and in how many of them each; cheap
                where there are none.
            class_folders: gives where the videos of a class may be, in a folder of class folders.
            lists: the name of a list, for messages.

        Returns:
            The first place with both, its folder of lists, and its folder of class folders.

        Raises:
            DataError: no place has both.
        """
        halves: list[str] = []
        for place in self.places(root):
            if not place.is_dir():
                continue
            folders = folders_in(place, usual)
            counts = [labels_in(folder) for folder in folders]
            list_folder, labels = max(zip(folders, counts, strict=True), key=lambda pair: pair[1].total())
            held = [sum(any(map(Path.is_dir, class_folders(folder, label))) for label in labels) for folder in folders]
            if max(held):
                return place, list_folder, folders[held.index(max(held))]
            if labels:
                halves.append(f"{place} has the split files, but no folder of videos for any of their classes")
            elif any(path.is_file() for folder in folders for path in folder.glob("*/*.avi")):
                halves.append(f"{place} has videos, but no split files ({lists} …)")
        raise self.not_found(root, halves)

    def assemble(
        self,
        home: Path,
        root: Path,
        *,
        labels: Mapping[str, str],
        held: Mapping[str, LabelledVideo],
        sides: Mapping[str, tuple[Collection[str], Collection[str]]],
        faults: Sequence[str],
        allow_incomplete: bool,
    ) -> LabelledSet:
        """Compare the lists with the disk, and build the set of what is on both.

        Args:
            home: the place where the set was found.
            root: the folder that ids are relative to.
            labels: the class of each id that the lists name.
            held: the videos on disk, by id; those that no list names are passed over.
            sides: the ids of both sides, training first, of each split by its name.
            faults: what is wrong with the lists themselves, such as `50 classes are listed, not 51`.
            allow_incomplete: go on in spite of faults and missing videos.

        Returns:
            The set; a split that has lost a whole side is left out.

        Raises:
            DataError: there are faults or missing videos and that is not allowed, or no split has both of its sides.
        """
        missing = tuple(sorted(video for video in labels if video not in held))
        said = [*faults, *([say_missing(missing, labels)] if missing else [])]
        if said and not allow_incomplete:
            raise DataError(
                f"{self.title} in {home} is not complete: {'; '.join(said)}.",
                hint="Complete it, or go on with what is there by --allow-incomplete: the result says what was missing."
                f"\n{self.howto}",
            )
        if len(missing) == len(labels):
            raise DataError(f"{self.title} in {home} holds none of its {len(labels):,} videos.", hint=self.howto)
        gone = set(missing)
        here = {name: [tuple(sorted(set(side) - gone)) for side in pair] for name, pair in sides.items()}
        splits = tuple(Split(name, train, test) for name, (train, test) in here.items() if train and test)
        if not splits:
            raise DataError(f"No split of {self.title} has both training and test videos on disk.", hint=self.howto)
        videos = tuple(held[video] for video in sorted(labels) if video not in gone)
        return LabelledSet(self.name, root, videos, splits, missing, home)

    def damaged(self, path: Path, wrong: str, line: int | None = None) -> DataError:
        """Build the error of a list that is not as published.

        Args:
            path: the list.
            wrong: what is wrong, without a full stop.
            line: where, from 1.
        """
        return DataError(f"{path}{'' if line is None else f', line {line}'}: {wrong}.", hint=self.again)

    def read_lines(self, path: Path) -> Iterator[tuple[int, str]]:
        """Yield the lines of a text that are not blank, with their numbers from 1, without blanks and CR at their ends.

        Raises:
            DataError: it cannot be read or is not UTF-8.
        """
        with reading(path, self.again):
            content = path.read_text(encoding="utf-8-sig")
        for number, line in enumerate(content.split("\n"), start=1):
            if line.strip():
                yield number, line.strip()

    def read_json(self, path: Path, keep: Callable[[dict[str, Any]], Any] | None = None) -> Any:
        """Read a JSON file.

        Args:
            path: the file.
            keep: what to keep of each object in it, so that large lists need little memory; None for all.

        Raises:
            DataError: it cannot be read, or is no JSON.
        """
        with reading(path, self.again):
            content = path.read_text(encoding="utf-8-sig")
        try:
            return json.loads(content, object_hook=keep)
        except (ValueError, RecursionError) as error:
            raise self.damaged(path, f"it is not JSON: {error}") from error


@contextmanager
def reading(path: Path, hint: str = "Check the path and its permissions.") -> Iterator[None]:
    """Turn what the system says of a file or folder into a DataError."""
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.", hint=hint) from error


def folders_in(place: Path, usual: Sequence[str]) -> list[Path]:
    """List a folder and those directly in it: the usual ones, itself, the others by name."""
    with reading(place):
        inside = sorted(path for path in place.iterdir() if path.is_dir())
    first = [place / name for name in usual if place / name in inside]
    return [*first, place, *(path for path in inside if path not in first)]


def files_in(folder: Path) -> dict[str, str]:
    """Return the paths of the regular files directly in a folder by their names; nothing where there is no folder."""
    if not folder.is_dir():
        return {}
    with reading(folder), os.scandir(folder) as entries:
        return {entry.name: entry.path for entry in entries if entry.is_file()}


def say_missing(missing: Sequence[str], labels: Mapping[str, str]) -> str:
    """Say which videos the disk does not hold, whole classes by their name.

    Args:
        missing: ids.
        labels: the class of each id that the lists name.
    """
    total, lost = Counter(labels.values()), Counter(labels[video] for video in missing)
    whole = sorted(label for label in lost if lost[label] == total[label])
    single = [video for video in missing if lost[labels[video]] < total[labels[video]]]
    parts = [f"all of {some(whole)}"] if whole else []
    parts += [some(single)] if single else []
    return f"{len(missing):,} of {len(labels):,} videos are missing ({'; '.join(parts)})"


def some(names: Iterable[str]) -> str:
    """Return the first five of some names, and how many more there are."""
    listed = list(names)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5:,} more" if len(listed) > 5 else "")
