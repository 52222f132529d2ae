"""A preprocessed set of videos: a folder of shards, seen as videos with segments.

Two million videos fit: what is known of segments is kept in columns, a few dozen bytes for each,
and a `Video` is made when it is asked for. Shards are opened when they are read, and no more than
`OPEN` of them are open at a time.
"""

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, overload

import numpy as np

from elo_cli.core.errors import DataError
from elo_cli.data.header import canonical
from elo_cli.data.records import FAILURES, SegmentRecord
from elo_cli.data.shard import ENDING, Contents, Shard

SHARDS = "shards"
OPEN = 128

_NUMBERS = ("shard", "index", "frames", "height", "width", "flow", "audio_frames")  # of a segment
_OWN = itemgetter(*_NUMBERS[2:])
_CARRIED = {"rgb": "frames", "grey": "frames", "flow": "flow", "audio": "audio_frames", "motion": "flow"}


@dataclass(frozen=True)
class StoredRates:
    """Rates of a preprocessed set: frames, and spectrogram frames, for each second; mel bands."""

    fps: float
    hop_seconds: float
    mels: int

    def audio_frames(self, stored_frames: int) -> int:
        """Spectrogram frames in the time of so many stored frames."""
        return max(1, round(stored_frames / self.fps / self.hop_seconds))


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment and where it is stored."""

    shard: int
    index: int
    record: SegmentRecord


@dataclass(frozen=True, slots=True)
class Video:
    """One video with its segments in order of time."""

    id: str
    label: str | None
    split: str | None
    segments: tuple[Segment, ...]


class OpenShards:
    """The shards of a set by number, opened when they are asked for; the least used are closed again.

    A copy for another process carries names alone, about 20 bytes a shard.
    """

    def __init__(self, folder: Path, names: tuple[str, ...], limit: int = OPEN) -> None:
        self.folder, self.names, self.limit = folder, names, limit
        self._open: OrderedDict[int, Shard] = OrderedDict()

    def __reduce__(self) -> tuple[type["OpenShards"], tuple[Path, tuple[str, ...], int]]:
        return OpenShards, (self.folder, self.names, self.limit)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> Shard:
        shard = self._open.pop(number, None) or Shard(self.folder / self.names[number])
        self._open[number] = shard  # the newest is the last
        if len(self._open) > self.limit:
            self._open.popitem(last=False)
        return shard


class Videos(Sequence[Video]):
    """The videos of a set in the order of their ids; each is made anew when it is asked for."""

    def __init__(self, columns: "_Columns") -> None:
        order = sorted(range(len(columns.ids)), key=columns.ids.__getitem__)
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        video, start_s = place[np.asarray(columns.video)], np.asarray(columns.start_s)
        by_time = np.lexsort((start_s, video))
        self._ids = [columns.ids[number] for number in order]
        self._words = tuple(columns.words)
        self._labels, self._splits = np.asarray(columns.labels)[order], np.asarray(columns.splits)[order]
        self._start_s = start_s[by_time]
        self._numbers = np.asarray(columns.numbers).reshape(-1, len(_NUMBERS))[by_time]
        self._first = np.searchsorted(video[by_time], np.arange(len(order) + 1))

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, number: int) -> Video: ...
    @overload
    def __getitem__(self, number: slice) -> list[Video]: ...
    def __getitem__(self, number: int | slice) -> Video | list[Video]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        name, segments = self._ids[number], []
        number %= len(self)
        for row in range(self._first[number], self._first[number + 1]):
            shard, index, frames, height, width, flow, audio = self._numbers[row].tolist()
            record = SegmentRecord(name, float(self._start_s[row]), frames, height, width, bool(flow), audio)
            segments.append(Segment(shard, index, record))
        return Video(name, self._words[self._labels[number]], self._words[self._splits[number]], tuple(segments))

    @property
    def longest(self) -> np.ndarray:
        """Frames of the longest segment of each video: int32 (videos,)."""
        frames: np.ndarray = np.maximum.reduceat(self._numbers[:, _NUMBERS.index("frames")], self._first[:-1])
        return frames

    def carrying(self, modality: str) -> np.ndarray:
        """How many segments of each video carry the modality: int64 (videos,)."""
        carried = self._numbers[:, _NUMBERS.index(_CARRIED[modality])] > 0
        counts: np.ndarray = np.add.reduceat(carried, self._first[:-1], dtype=np.int64)
        return counts


class VideoSet:
    """All the videos of a preprocessed folder.

    Args:
        root: the folder that `elo preprocess` wrote.

    Attributes:
        videos: in the order of their ids.
        shards: where their segments are stored.
        settings: the settings that decided what is stored.
        rates: of frames and spectrograms.
        fingerprint: 16 hexadecimal digits that name settings, records and tensors, whichever shards hold them.

    Raises:
        DataError: the folder is missing or empty, a shard is damaged, two shards differ in their
            settings, or two hold the same video.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        folder = root / SHARDS
        names = tuple(sorted(path.name for path in folder.glob("*" + ENDING)))
        if not names:
            raise _nothing(root)
        self.shards = OpenShards(folder, names)
        columns, total = _Columns(), 0
        settings: dict[str, Any] | None = None
        for name in names:
            shard = Shard(folder / name)  # neither kept nor left open
            settings = shard.settings if settings is None else settings
            if shard.settings != settings:
                raise _differing(folder / names[0], settings, shard)
            try:
                columns.add(shard.contents, folder, names)
                total += sum(int(digest, 16) for digest in shard.contents["digests"].values())
            except (KeyError, ValueError, TypeError, OverflowError) as error:
                raise shard.malformed(error) from error
        self.videos = Videos(columns)
        assert settings is not None
        self.settings = settings
        self.rates = StoredRates(settings["fps"], settings["hop_seconds"], settings["mels"])
        # A sum does not depend on the order, and so not on which shard holds which video.
        self.fingerprint = hashlib.sha256(canonical([settings, f"{total:x}"]).encode()).hexdigest()[:16]

    def has(self, modality: str, *, everywhere: bool = False) -> bool:
        """Say whether any segment carries the modality, or all of them."""
        carrying = self.videos.carrying(modality)
        return bool((carrying == self.videos.carrying("rgb")).all() if everywhere else carrying.any())


class _Columns:
    """What shards say of their videos, as they come."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.words: dict[str | None, int] = {}  # labels and splits: few, and each of them often
        self.labels, self.splits, self.shards = array("i"), array("i"), array("i")
        self.video, self.start_s, self.numbers = array("q"), array("d"), array("i")
        self._known: dict[str, int] = {}
        self._count = 0  # shards

    def add(self, contents: Contents, folder: Path, names: Sequence[str]) -> None:
        """Append the videos and segments of the next shard."""
        if {segment["video"] for segment in contents["segments"]} != contents["videos"].keys():
            raise ValueError("its segments are not those of its videos")
        for name, video in contents["videos"].items():
            number = self._known.setdefault(name, len(self.ids))
            if number < len(self.ids):
                raise DataError(
                    f"{folder / names[self.shards[number]]} and {names[self._count]} both hold the video '{name}'.",
                    hint="Delete one of the two: what lies in both would be seen twice as often as the rest.",
                )
            self.ids.append(name)
            self.labels.append(self.words.setdefault(video["label"], len(self.words)))
            self.splits.append(self.words.setdefault(video["split"], len(self.words)))
            self.shards.append(self._count)
        for index, one in enumerate(contents["segments"]):
            self.video.append(self._known[one["video"]])
            self.start_s.append(one["start_s"])
            self.numbers.extend((self._count, index, *_OWN(one)))
        self._count += 1


def _nothing(root: Path) -> DataError:
    if any((root / SHARDS).glob("*" + FAILURES)):
        return DataError(
            f"No video in {root} could be used.",
            hint=f"{root / 'failures.jsonl'} says why for each; elo preprocess shows a summary.",
        )
    return DataError(f"There are no preprocessed videos in {root}.", hint="Make them first: elo preprocess FOLDER_OF_VIDEOS")


def _differing(one: Path, its: dict[str, Any], other: Shard) -> DataError:
    others = other.settings
    keys = sorted(key for key in its.keys() | others.keys() if its.get(key) != others.get(key))
    said = ", ".join(f"{key} {its.get(key)} and {others.get(key)}" for key in keys)
    return DataError(
        f"{one} and {other.path.name} were made with different settings: {said}.",
        hint="A set has one way of being made: move the shards of one of the two to a folder of their own.",
    )
