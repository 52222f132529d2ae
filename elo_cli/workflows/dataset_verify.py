"""`elo dataset verify`: a preprocessed set → what of it is damaged, by file, video and modality.

Every byte of every shard is read and compared with its checksum. What is not finished is said and is
no damage. Nothing is written.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from elo_cli.core.errors import DataError
from elo_cli.core.files import PART
from elo_cli.core.settings import Settings
from elo_cli.data.shard import ENDING
from elo_cli.data.video_set import SHARDS
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Outcome, Table, Watch, size_text
from elo_cli.workflows.verification import PLAN, Verification

_SHOWN = 40  # damaged files in the table; the result has all
_SHOWN_PARTS = 3  # of one file


class DamagedSet(DataError):
    """A set was verified and is not whole.

    Attributes:
        outcome: all that was found, as an intact set's outcome has it.
    """

    def __init__(self, message: str, *, hint: str, outcome: Outcome) -> None:
        super().__init__(message, hint=hint)
        self.outcome = outcome


def set_root(settings: Settings, data: Path | None) -> Path:
    """Return the set to look into: the one given, else the newest finished one of the workspace, else the newest begun.

    Raises:
        DataError: there is none.
    """
    if data is None:
        space = Workspace(Path(settings.workspace))
        begun = space.place("dataset", fresh=False)
        try:
            return space.dataset()
        except DataError:
            if not (begun / SHARDS).is_dir():
                raise
            return begun
    if not (data / SHARDS).is_dir():
        raise DataError(f"{data} is not a preprocessed set.", hint="Make one first: elo preprocess FOLDER_OF_VIDEOS")
    return data


def shard_files(root: Path) -> list[Path]:
    """List the shards of a set by name; there may be none yet."""
    return sorted((root / SHARDS).glob("*" + ENDING))


def plan(*, settings: Settings, data: Path | None) -> Outcome:
    """Say what `run` would read; writes nothing, as `run` does not either."""
    root = set_root(settings, data)
    sizes = [path.stat().st_size for path in shard_files(root)]
    row = (str(root), str(len(sizes)), size_text(sum(sizes)))
    return Outcome(
        {"data": str(root), "shards": len(sizes), "bytes": sum(sizes)},
        (Table("Verifying would read", ("set", "shards", "size"), (row,)),),
    )


def run(*, settings: Settings, data: Path | None, watch: Watch) -> Outcome:
    """Compare a set with its checksums, its settings and its plan.

    Args:
        settings: they name the workspace.
        data: the set; the newest one if not given.
        watch: is told of the progress.

    Returns:
        What was found: `damaged` is empty.

    Raises:
        DamagedSet: something is damaged; its `outcome` says all of it.
        DataError: there is no set.
    """
    root = set_root(settings, data)
    found = Verification(root, shard_files(root))
    begun = time.monotonic()
    found.read_shards(watch)
    seconds = time.monotonic() - begun
    found.read_failures()
    found.compare_settings()
    found.compare_plan()
    outcome = _outcome(found, seconds)
    if found.damaged:
        names = list(found.damaged)
        more = f" and {len(names) - _SHOWN_PARTS} more" if len(names) > _SHOWN_PARTS else ""
        raise DamagedSet(
            f"{root} is damaged in {len(names)} file{'s' if len(names) > 1 else ''}: {', '.join(names[:_SHOWN_PARTS])}{more}.",
            hint=" ".join(found.mends()),
            outcome=outcome,
        )
    return outcome


def _outcome(found: Verification, seconds: float) -> Outcome:
    leftovers = sorted(path.name for path in (found.root / SHARDS).glob("*" + PART))
    rate = found.bytes / max(seconds, 1e-9)
    counts = {
        "shards": len(found.paths), "videos": found.videos, "segments": found.segments, "failed": len(found.failed),
    }  # fmt: skip
    result = {
        "data": str(found.root), "whole": not found.damaged, **counts,
        "bytes": found.bytes, "seconds": round(seconds, 3), "bytes_per_second": round(rate),
        "damaged": [asdict(damage) for damage in found.damaged.values()],
        "plan": asdict(found.plan) if found.plan is not None else None,
        "leftovers": leftovers,
    }  # fmt: skip
    columns = ("shards", "videos", "segments", "failed videos", "size", "read at", "damaged files")
    row = (*map(str, counts.values()), size_text(found.bytes), f"{size_text(rate)}/s", str(len(found.damaged)))
    tables = [Table(f"Verified {found.root}", columns, (row,), note="\n".join(_remarks(found, leftovers)))]
    return Outcome(result, [*tables, _damage_table(found)] if found.damaged else tables)


def _remarks(found: Verification, leftovers: Sequence[str]) -> Iterator[str]:
    if not found.paths:
        yield "There is no shard yet."
    elif not found.damaged:
        yield "Every shard is whole."
    if found.plan is None:
        yield f"Whether all videos are here cannot be said without {PLAN}."
    elif found.plan.unfinished_shards:
        yield (
            f"Unfinished: {found.plan.unfinished_videos} of {found.plan.videos} planned videos have no shard yet."
            " The same elo preprocess goes on."
        )
    if found.plan is not None and found.plan.unplanned_shards:
        yield f"{len(found.plan.unplanned_shards)} of the shards are not in {PLAN}; they count all the same."
    if leftovers:
        yield f"{len(leftovers)} files ({PART}) of a run that was ended, or is at work, do not count."


def _damage_table(found: Verification) -> Table:
    rows = []
    for damage in itertools.islice(found.damaged.values(), _SHOWN):
        more = len(damage.what) - _SHOWN_PARTS
        rows.append((damage.file, "; ".join(damage.what[:_SHOWN_PARTS]) + (f"; and {more} more" if more > 0 else "")))
    more = len(found.damaged) - len(rows)
    note = [f"… and {more} more files; --json names all."] if more else []
    return Table("Damaged", ("file", "what"), rows, note="\n".join([*note, *found.mends()]))
