"""Bring a preprocessed set to completion: what `elo preprocess` does, and what features and benchmarks begin with.

The plan, which video goes into which shard, is written first and only ever grows; a shard that is
there is done. So the same command goes on after any stop, and takes up videos that came later. Many
machines share the work by taking every n-th shard of one plan; the set is the union of the shards.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elo_cli.core.errors import LockedError, UsageError
from elo_cli.core.settings import PreprocessSettings
from elo_cli.data.listing import ListedVideo
from elo_cli.data.shard import ENDING
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.workflows.events import Watch
from elo_cli.workflows.material import command_line
from elo_cli.workflows.shard_set import PlannedShard, ShardSet

MANY = 10_000  # videos from which on a shard holds SHARED of them, so that there are not too many files
SHARED = 64
PLANNING_WAIT_S = 600.0  # how long one part waits for another to write the plan

# What decides no byte of a shard may change from one start to the next.
FREE = frozenset(f"preprocess.{name}" for name in PreprocessSettings.OPERATION)


@dataclass(frozen=True)
class Part:
    """One machine's share of the work: part `number`, from 1, of `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read `3/16`.

        Raises:
            UsageError: it is not of that form, or there is no such part.
        """
        number, slash, of = text.partition("/")
        if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise UsageError(f"'{text}' is no part of the work.", hint="Parts are counted from 1: --part 1/16 to --part 16/16.")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}-of-{self.of}"


def pack_videos(
    root: Path,
    listed: Sequence[ListedVideo],
    settings: PreprocessSettings,
    source: str,
    *,
    root_of_list: Path | None = None,
    fresh: bool = False,
    part: Part | None = None,
    retry: bool = False,
    watch: Watch,
) -> tuple[dict[str, Any], Path]:
    """Bring a preprocessed set, or one part of it, to completion.

    Args:
        root: the set's folder.
        listed: the videos.
        settings: how.
        source: where the videos come from; it may not change from one start to the next.
        root_of_list: where the paths of a list begin, if that was given; likewise.
        fresh: begin a new set beside one that is there.
        part: do this part alone; others write into the same folder.
        retry: try the videos that failed before once more.
        watch: is told of the progress.

    Returns:
        Counts of what is in the set (or was done by this part), and its root.

    Raises:
        DataError: more videos failed than the settings allow.
        StorageError: a shard cannot be written; finished ones stay.
    """
    stored: dict[str, Any] = {"preprocess": settings.model_dump(mode="json"), "source": source}
    if root_of_list is not None:
        stored["root"] = str(root_of_list.absolute())
    if part is None:
        with RunDirectory.open(root, stored, command=command_line(), fresh=fresh, free=FREE) as run:
            planned = _plan(run.root, listed, settings)
            return ShardSet(run.root, planned, listed, settings, watch).complete(run, retry=retry), run.root
    if fresh:
        raise UsageError("--fresh would begin a new set for each part.", hint="Give all parts one new place with --out.")
    planned = _plan_together(root, stored, listed, settings, watch)
    share = planned[part.number - 1 :: part.of]
    with RunDirectory.open(root / "parts" / str(part), stored, command=command_line(), free=FREE) as own:
        result = ShardSet(root, share, listed, settings, watch).complete(own, retry=retry)
    whole = ShardSet(root, planned, listed, settings, watch)
    if not whole.missing():
        try:
            with RunDirectory.open(root, stored, command=command_line(), free=FREE) as run:
                whole.complete(run, retry=False)
                watch.note("All parts are done: the set is complete.")
        except LockedError:  # another part, done at the same moment, sums up
            pass
    return result, root


def shard_size(settings: PreprocessSettings, videos: int) -> int:
    """Videos that share one shard, in a set of so many."""
    if settings.videos_per_shard == "auto":
        return 1 if videos < MANY else SHARED
    return settings.videos_per_shard


def _plan(root: Path, listed: Sequence[ListedVideo], settings: PreprocessSettings) -> list[PlannedShard]:
    """Add what is new to the plan, and return all of it."""
    journal = Journal(root / "plan.jsonl")
    planned = journal.read()
    known = {entry["id"]: entry for record in planned for entry in record["videos"]}
    new = [video for video in listed if video.id not in known]
    for video in listed:
        if video.id in known and known[video.id] != _entry(video):
            raise UsageError(
                f"{video.id} was planned as {_said(known[video.id])}, and is listed as {_said(_entry(video))} now.",
                hint="A shard is never changed: --fresh begins a new set beside this one; or give the former list.",
            )
    size = shard_size(settings, len(listed))
    records = []
    for first in range(0, len(new), size):
        videos = [_entry(video) for video in new[first : first + size]]
        # The name follows from what is in it, so that it does not change with what lies beside it.
        digest = hashlib.blake2b(json.dumps(videos, sort_keys=True).encode(), digest_size=8).hexdigest()
        records.append({"shard": f"shard-{digest}{ENDING}", "videos": videos})
    journal.extend(records)
    return planned + records


def _said(entry: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in entry.items() if key != "id") or "a video without a label"


def _entry(video: ListedVideo) -> dict[str, Any]:
    given = {"label": video.label, "split": video.split, "start_s": video.start_s, "end_s": video.end_s}
    return {"id": video.id} | {key: value for key, value in given.items() if value is not None}


def _plan_together(
    root: Path, stored: dict[str, Any], listed: Sequence[ListedVideo], settings: PreprocessSettings, watch: Watch
) -> list[PlannedShard]:
    """Plan while no other part does."""
    deadline = time.monotonic() + PLANNING_WAIT_S
    while True:
        try:
            with RunDirectory.open(root, stored, command=command_line(), free=FREE) as run:
                return _plan(run.root, listed, settings)
        except LockedError:
            if time.monotonic() > deadline:
                raise
            watch.check()
            time.sleep(0.2)
