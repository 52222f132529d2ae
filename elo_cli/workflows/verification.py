"""Compare a preprocessed set with its checksums, its settings and its plan: what `elo dataset verify` does."""

import collections
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from elo_cli.core.errors import DataError, EloError
from elo_cli.core.settings import PreprocessSettings
from elo_cli.core.strict_yaml import load_yaml
from elo_cli.data.header import canonical
from elo_cli.data.records import FAILURES, SegmentRecord, read_failures
from elo_cli.data.shard import ENDING, Shard
from elo_cli.data.video_set import SHARDS
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.workflows.events import Watch

THREADS = 4  # files read at a time: a disk behind a network answers several requests no slower than one
PLAN = "plan.jsonl"

_MIB = 2**20
_MEND_SHARD = "Delete the damaged file and run the same elo preprocess again: only its videos are done anew."
_MEND_FAILURES = (
    "Delete the list of failures and the shard beside it, and run the same elo preprocess again: only their videos are done anew."
)
_MEND_FILE = "Put back a copy of it from before, or preprocess into a new place with --fresh."
_MEND_TWICE = "Delete one of the two files; elo preprocess makes it again if the plan has it."


@dataclass
class Damage:
    """What is wrong with one file, and how to mend it.

    Attributes:
        file: its path under the root of the set.
        what: a line for each thing.
        tensors: the damaged ones: `tensor`, `video`, `start_s` and `modality`.
        mends: what to do.
    """

    file: str
    what: list[str] = field(default_factory=list)
    tensors: list[dict[str, Any]] = field(default_factory=list)
    mends: list[str] = field(default_factory=list)

    def add(self, what: str, mend: str) -> None:
        """Add one thing."""
        self.what.append(what)
        if mend not in self.mends:
            self.mends.append(mend)


@dataclass(frozen=True)
class _Checked:
    """One shard that was read.

    Attributes:
        size: bytes of the file.
        videos: their ids.
        segments: how many.
        settings: those that decide content, as canonical JSON; empty where the file is none.
        tensors: the damaged ones, as `Damage` has them.
        error: why it could not be opened, or None.
    """

    size: int
    videos: tuple[str, ...] = ()
    segments: int = 0
    settings: str = ""
    tensors: tuple[dict[str, Any], ...] = ()
    error: str | None = None


def _check(path: Path) -> _Checked:
    """Read a whole shard."""
    try:
        size = path.stat().st_size
        shard = Shard(path)
        videos, segments = tuple(shard.videos), shard.segments
        lost = tuple(_located(name, segments) for name in shard.verify())
        settings = canonical(shard.settings)
    except DataError as error:
        return _Checked(size, error=error.message)
    except OSError as error:
        return _Checked(0, error=f"it cannot be read: {error.strerror or error}")
    return _Checked(size, videos, len(segments), settings, lost)


def _located(tensor: str, segments: Sequence[SegmentRecord]) -> dict[str, Any]:
    """Say whose tensor it is."""
    number, _, name = tensor.partition(".")
    segment = segments[int(number)] if number.isdecimal() and int(number) < len(segments) else None
    return {
        "tensor": tensor,
        "video": segment.video if segment else None,
        "start_s": segment.start_s if segment else None,
        "modality": name.partition("_")[0],  # flow_backward and flow_scale are flow
    }


@dataclass(frozen=True)
class PlanComparison:
    """A set beside its plan.

    Attributes:
        videos, shards: how many are planned.
        unfinished_videos, unfinished_shards: how many of these are not there, and have not failed either.
        unplanned_shards: names of shards that the plan lacks.
    """

    videos: int
    shards: int
    unfinished_videos: int
    unfinished_shards: int
    unplanned_shards: tuple[str, ...]


class Verification:
    """What was found in one set so far.

    Args:
        root: the set.
        paths: its shards.

    Attributes:
        damaged: by the file's path under the root.
        bytes, segments: read so far.
        failed: ids of videos that could not be used.
        plan: None before it is compared, and where there is none.
    """

    def __init__(self, root: Path, paths: Sequence[Path]) -> None:
        self.root, self.paths = root, paths
        self.damaged: dict[str, Damage] = {}
        self.bytes = self.segments = 0
        self.failed: set[str] = set()
        self.plan: PlanComparison | None = None
        self._owner: dict[str, int] = {}  # the shard that holds a video
        self._settings: collections.defaultdict[str, list[int]] = collections.defaultdict(list)
        self._readable: set[str] = set()

    @property
    def videos(self) -> int:
        """How many videos there are."""
        return len(self._owner)

    def damage(self, path: Path) -> Damage:
        """Return the entry of a file, a new one if it has none."""
        name = str(path.relative_to(self.root))
        return self.damaged.setdefault(name, Damage(name))

    def mends(self) -> list[str]:
        """Every mend once."""
        return list(dict.fromkeys(mend for damage in self.damaged.values() for mend in damage.mends))

    def read_shards(self, watch: Watch) -> None:
        """Read all of every shard; videos that are in two are damage."""
        total = sum(path.stat().st_size for path in self.paths)
        watch.start("verifying", -(-total // _MIB), "MiB")
        for number, (path, checked) in enumerate(_read(self.paths, watch)):
            self.bytes += checked.size
            self._note(number, path, checked)
            watch.advance("verifying", -(-self.bytes // _MIB), {"damaged": len(self.damaged)})
        watch.finish("verifying")

    def _note(self, number: int, path: Path, checked: _Checked) -> None:
        if checked.error is not None:
            self.damage(path).add(checked.error.removeprefix(f"{path} is "), _MEND_SHARD)
            return
        self._readable.add(path.name)
        self.segments += checked.segments
        self._settings[checked.settings].append(number)
        for tensor in checked.tensors:
            damage = self.damage(path)
            damage.tensors.append(tensor)
            whose = f" of {tensor['video']} at {tensor['start_s']:g} s" if tensor["video"] is not None else ""
            damage.add(f"{tensor['tensor'].partition('.')[2]}{whose}", _MEND_SHARD)
        for video in checked.videos:
            other = self._owner.setdefault(video, number)
            if other != number:
                self.damage(path).add(f"{video} is in {self.paths[other].name} too", _MEND_TWICE)

    def read_failures(self) -> None:
        """Read what lies beside the shards."""
        for path in sorted((self.root / SHARDS).glob("*" + FAILURES)):
            shard = path.with_name(path.name.removesuffix(FAILURES) + ENDING)
            try:
                failures = read_failures(shard)
            except DataError as error:
                self.damage(path).add(error.message, _MEND_FAILURES)
                continue
            self.failed |= {failure.video for failure in failures}

    def compare_settings(self) -> None:
        """Find shards that were made with other settings than the set; without any record of these, than most shards."""
        if not self._settings:
            return
        wanted = self._set_settings() or max(self._settings, key=lambda text: len(self._settings[text]))
        for text, numbers in self._settings.items():
            if text == wanted:
                continue
            here, there = json.loads(text), json.loads(wanted)
            keys = [key for key in sorted(here.keys() | there.keys()) if here.get(key) != there.get(key)]
            differences = ", ".join(f"{key} {here.get(key)} (the set: {there.get(key)})" for key in keys)
            for number in numbers:
                self.damage(self.paths[number]).add(f"it was made with other settings: {differences}", _MEND_SHARD)

    def _set_settings(self) -> str | None:
        path = RunDirectory(self.root).settings
        if not path.exists():
            return None
        try:
            stored = load_yaml(path, "the settings of the preprocessed set,")
            return canonical(PreprocessSettings.model_validate(stored["preprocess"]).content())
        except (EloError, ValidationError, KeyError, TypeError) as error:
            self.damage(path).add(f"it does not hold the settings of a set: {error}", _MEND_FILE)
            return None

    def compare_plan(self) -> None:
        """Count what is not finished; a shard that is there but lacks a planned video is damage."""
        path = self.root / PLAN
        if not path.exists():
            return
        try:
            records = Journal(path).read()
            planned = {str(record["shard"]): [str(entry["id"]) for entry in record["videos"]] for record in records}
        except (DataError, KeyError, TypeError) as error:
            self.damage(path).add(error.message if isinstance(error, DataError) else f"it is no plan: {error!r}", _MEND_FILE)
            return
        there = {path.name for path in self.paths}
        missing_shards = missing_videos = 0
        for name, videos in planned.items():
            lost = [video for video in videos if video not in self._owner and video not in self.failed]
            if lost and name not in there:
                missing_shards, missing_videos = missing_shards + 1, missing_videos + len(lost)
            elif lost and name in self._readable:
                damage = self.damage(self.root / SHARDS / name)
                for video in lost:
                    damage.add(f"{video} is planned, and neither here nor among the failures", _MEND_SHARD)
        count = sum(map(len, planned.values()))
        self.plan = PlanComparison(count, len(planned), missing_videos, missing_shards, tuple(sorted(there - planned.keys())))


def _read(paths: Iterable[Path], watch: Watch) -> Iterator[tuple[Path, _Checked]]:
    """Read shards, a few at a time, and yield them in order."""
    waiting: collections.deque[tuple[Path, Future[_Checked]]] = collections.deque()
    coming = iter(paths)
    pool = ThreadPoolExecutor(THREADS, "verify")
    try:
        while True:
            for path in itertools.islice(coming, 2 * THREADS - len(waiting)):
                waiting.append((path, pool.submit(_check, path)))
            if not waiting:
                return
            watch.check()
            path, future = waiting.popleft()
            yield path, future.result()
    finally:
        pool.shutdown(cancel_futures=True)
