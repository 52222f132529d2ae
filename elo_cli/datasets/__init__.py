"""Labelled sets of videos, as the protocols need them: what is there, and which rows train and test.

An entry is a module with a function `find`; see `Dataset`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from elo_cli.core.shelf import Shelf

SHELF = Shelf("elo_cli.datasets", "data set")


@dataclass(frozen=True)
class LabelledVideo:
    """One video, or a stretch of one, and what it shows.

    Attributes:
        path: where it is, absolute.
        id: its path relative to the set's root, with `/`; of a stretch, `#t=START,END` follows.
        label: its class.
        group: what it was cut from; videos of one group never stand on both sides of a seeded split.
        start_s: where the stretch begins, in seconds from the beginning of the video; None: its beginning.
        end_s: where it ends, in the same seconds; None: its end.
    """

    path: Path
    id: str
    label: str
    group: str | None = None
    start_s: float | None = None
    end_s: float | None = None


@dataclass(frozen=True)
class Split:
    """One way to part a set, by ids; no id is on both sides."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class LabelledSet:
    """A labelled set as found on disk.

    Attributes:
        name: what results call it.
        root: the folder that ids are relative to, absolute.
        videos: all that are there, sorted by id; splits need not use every one.
        splits: in the set's own order; all their ids are among the videos.
        missing: ids that the lists name but the disk does not hold; empty unless that was allowed.
        sides_matter: whether classes tell left from right, so that no video may be mirrored.
        source: what `find` was given to find it again: the folder or list; None where that is `root`.
    """

    name: str
    root: Path
    videos: tuple[LabelledVideo, ...]
    splits: tuple[Split, ...]
    missing: tuple[str, ...] = ()
    source: Path | None = None
    sides_matter: bool = False

    @cached_property
    def by_id(self) -> Mapping[str, LabelledVideo]:
        """The videos by their ids."""
        return {video.id: video for video in self.videos}


class Dataset(Protocol):
    """The contract of an entry: a module-level function `find`.

    An entry whose module says `GIVES = "boxes"` gives a `BoxedSet` (`elo_cli/core/boxes.py`) instead.
    """

    def find(self, root: Path | None, *, seed: int, allow_incomplete: bool = False, **settings: Any) -> LabelledSet:
        """Find the set on disk and check it against its official lists.

        Args:
            root: where it is; None to look in the usual places.
            seed: decides the splits, where the set has no official ones.
            allow_incomplete: go on with what is there, and record what is missing.
            settings: the entry's own, by keyword, each with a default.

        Raises:
            DataError: the set is not there, is damaged, or is incomplete; the hint says how to mend it.
            UsageError: a setting is out of its range.
        """
        ...
