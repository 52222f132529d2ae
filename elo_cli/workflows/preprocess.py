"""`elo preprocess`: a folder or list of videos → a folder of immutable shards."""

import os
import shutil
from pathlib import Path
from typing import Any

from elo_cli import executors
from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.methods import METHODS
from elo_cli.core.settings import PreprocessSettings, Settings
from elo_cli.core.weights import Term
from elo_cli.data.listing import ListedVideo, list_videos
from elo_cli.data.video_set import SHARDS
from elo_cli.prepare.raft import check_weights
from elo_cli.run.directory import RunDirectory
from elo_cli.run.environment import processors
from elo_cli.run.workspace import Workspace
from elo_cli.workflows import dataset_verify
from elo_cli.workflows.contrast_checks import check_pairs
from elo_cli.workflows.events import Outcome, Table, Watch, size_text
from elo_cli.workflows.material import Spent, open_material, spending
from elo_cli.workflows.packing import Part, pack_videos, shard_size


def plan(
    *,
    settings: Settings,
    source: Path | None,
    out: Path | None,
    fresh: bool,
    root: Path | None = None,
    part: str | None = None,
    retry: bool = False,
    check: bool = False,
) -> Outcome:
    """Say what `run` would do; writes nothing."""
    if check:
        return dataset_verify.plan(settings=settings, data=_checked(source, out, root, part, retry=retry))
    given = settings.preprocess
    listed = _listed(source, root)
    _check(given)
    size = shard_size(given, len(listed))
    firsts = range(0, len(listed), size)
    if part is not None:
        share = Part.parse(part)
        firsts = firsts[share.number - 1 :: share.of]
        listed = [video for first in firsts for video in listed[first : first + size]]
    place = _place(settings, out, fresh=fresh)
    source_bytes = sum(_bytes(video) for video in listed)
    largest = len(listed) * given.max_segments * _segment_bytes(given)
    free = shutil.disk_usage(next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())).free
    result = {
        "videos": len(listed), "shards": len(firsts), "source_bytes": source_bytes, "bytes_at_most": round(largest),
        "free_bytes": free, "out": str(place),
    }  # fmt: skip
    columns = ("videos", "source", "shards", "stored at most", "free there", "workers", "into")
    workers = processors() if given.workers == "auto" else given.workers
    row = (
        str(len(listed)),
        size_text(source_bytes),
        str(len(firsts)),
        size_text(largest),
        size_text(free),
        str(workers),
        str(place),
    )
    return Outcome(result, (Table("Preprocess would do", columns, (row,)),))


def run(
    *,
    settings: Settings,
    source: Path | None,
    out: Path | None,
    fresh: bool,
    watch: Watch,
    root: Path | None = None,
    part: str | None = None,
    retry: bool = False,
    check: bool = False,
) -> Outcome:
    """Preprocess all videos of a source.

    Args:
        settings: how.
        source: a folder, a list or one video.
        out: where the set is kept.
        fresh: begin a new set beside one that is there.
        watch: is told of the progress.
        root: where the paths of a list begin.
        part: `i/n`: do every n-th shard alone, beginning with the i-th.
        retry: try the videos that failed before once more.
        check: verify the set that is there, and nothing else.

    Raises:
        DataError: the source does not exist, or holds no video that can be used; or too many failed.
        StorageError: the shards cannot be written; finished ones stay.
    """
    if check:
        place = _checked(source, out, root, part, retry=retry)
        return dataset_verify.run(settings=settings, data=place, watch=watch)
    listed = _listed(source, root)
    _check(settings.preprocess)
    assert source is not None
    with spending() as spent:
        result, place = pack_videos(
            _place(settings, out, fresh=fresh),
            listed,
            settings.preprocess,
            str(source.absolute()),
            root_of_list=root,
            fresh=fresh,
            part=Part.parse(part) if part else None,
            retry=retry,
            watch=watch,
        )
    failures = RunDirectory(place).failures
    if not result["videos"] and not part:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in result["failures"].items())
        raise DataError(f"Not one of {len(listed)} videos could be used: {reasons}.", hint=f"{failures} says why for each.")
    following = "elo evolve"
    if settings.method != "elo" and not part:
        _look_for_pairs(place, settings, watch)
        following = f"elo pretrain --method {settings.method}"
    files = {"preprocessed set": str(place), "failures": str(failures)}
    tables = _tables(result, spent)
    return Outcome({**result, **spent.record(), "out": str(place)}, tables, files, "" if part else following)


def _look_for_pairs(place: Path, settings: Settings, watch: Watch) -> None:
    """Say it now where a method that pairs clips would find too few: the videos are at hand, and another try is cheap."""
    try:
        few = check_pairs(
            open_material(place), settings.pretrain.clip, [Term.parse(name) for name in METHODS[settings.method].terms]
        )
    except DataError as error:  # of no pair, and of no segment as long as a clip
        few = f"{error.message} {error.hint}"
    if few:
        watch.warn(few)


def _checked(source: Path | None, out: Path | None, root: Path | None, part: str | None, *, retry: bool) -> Path | None:
    """Return the set that --verify is about; None for the newest of the workspace.

    Raises:
        UsageError: something else is given with it that it would have to ignore.
    """
    if root is not None or part is not None or retry or (source is not None and out is not None):
        raise UsageError("--verify checks a set and does nothing else.", hint="Give it the set alone: --out DIR --verify")
    if source is not None and not (source / SHARDS).is_dir():
        raise UsageError(f"{source} is not a preprocessed set.", hint="--verify checks a set: --out DIR --verify")
    return source or out


def _listed(source: Path | None, root: Path | None) -> list[ListedVideo]:
    if source is None:
        raise UsageError("Which videos?", hint="Give a folder of videos, or a list of them: elo preprocess VIDEOS")
    return list_videos(source, root=root)


def _place(settings: Settings, out: Path | None, *, fresh: bool) -> Path:
    return out or Workspace(Path(settings.workspace)).place("dataset", fresh=fresh)


def _check(settings: PreprocessSettings) -> None:
    """Find out before the first video whether the engine and the weights are there."""
    executors.SHELF.take(settings.engine)
    if settings.flow_weights is not None:
        check_weights(Path(settings.flow_weights))


def _bytes(video: ListedVideo) -> int:
    try:
        return os.stat(video.file).st_size
    except OSError:  # a link that leads nowhere: it will be named as a failure
        return 0


def _segment_bytes(settings: PreprocessSettings) -> float:
    """About what one whole segment takes, of a video of 16:9: an upper bound for the usual shapes."""
    pixels = settings.short_side**2 * 16 / 9
    stored = pixels * (3 if settings.flow == "none" else 7) / (8 if settings.storage == "jpeg" else 1)
    sound = settings.mels / settings.hop_seconds * 2 if settings.audio else 0
    return settings.segment_seconds * (settings.fps * stored + sound)


def _tables(result: dict[str, Any], spent: Spent) -> list[Table]:
    tables = [_summary(result), spent.table()]
    if result["failures"]:
        rows = [(reason, str(count)) for reason, count in sorted(result["failures"].items(), key=lambda item: -item[1])]
        tables.insert(
            1, Table("Videos that could not be used", ("reason", "videos"), rows, note="each with its story in failures.jsonl")
        )
    return tables


def _summary(result: dict[str, Any]) -> Table:
    columns = ("videos", "segments", "with flow", "with sound", "hours", "size", "possibly damaged", "failed")
    row = (
        str(result["videos"]),
        str(result["segments"]),
        str(result["segments_with_flow"]),
        str(result["segments_with_sound"]),
        f"{result['hours']:.2f}",
        size_text(result["bytes"]),
        str(result["possibly_damaged"]),
        str(result["failed"]),
    )
    return Table("Preprocessed", columns, (row,))
