"""`elo preprocess`: a folder or list of videos → a folder of immutable shards.

The plan, which video goes into which shard, is written first and only ever grows; a shard that is
there is done. So the same command goes on after any stop, and takes up videos that came later.
"""

import collections
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from elo_cli.core.errors import DataError, MachineError
from elo_cli.core.files import PART, storage_errors, write_atomic, write_json
from elo_cli.core.settings import PreprocessSettings, Settings
from elo_cli.core.strict_yaml import load_yaml
from elo_cli.data.listing import ListedVideo, list_videos
from elo_cli.data.shard import ENDING, Shard, VideoFailure
from elo_cli.data.video_set import SHARDS
from elo_cli.executors.local import LocalPool, Lost
from elo_cli.prepare.pack import ShardJob, ShardSummary, SourceVideo, pack_shard
from elo_cli.run.directory import RunDirectory
from elo_cli.run.environment import processors
from elo_cli.run.journal import Journal, encode
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Outcome, Table, Watch
from elo_cli.workflows.material import command_line, spending

FREE = frozenset({"preprocess.workers", "preprocess.video_seconds_limit"})


def plan(*, settings: Settings, source: Path, out: Path | None, fresh: bool) -> Outcome:
    """Say what `run` would do; writes nothing."""
    listed = list_videos(source)
    root, given = out or Workspace(Path(settings.workspace)).place("dataset", fresh=fresh), settings.preprocess
    shards = math.ceil(len(listed) / given.videos_per_shard)
    source_bytes = sum(video.path.stat().st_size for video in listed)
    # A video of the usual 4:3 or 16:9 at the stored size, as long as all its segments: an upper bound.
    pixels = given.short_side**2 * 16 / 9
    frames = given.max_segments * given.segment_seconds * given.fps
    largest = len(listed) * frames * pixels * (3 if given.flow == "none" else 7)
    result = {
        "videos": len(listed), "shards": shards, "source_bytes": source_bytes, "bytes_at_most": round(largest), "out": str(root)
    }  # fmt: skip
    columns = ("videos", "source", "shards", "stored at most", "workers", "into")
    workers = worker_count(given)
    row = (str(len(listed)), _size(source_bytes), str(shards), _size(largest), str(workers), str(root))
    return Outcome(result, (Table("Preprocess would do", columns, (row,)),))


def run(*, settings: Settings, source: Path, out: Path | None, fresh: bool, watch: Watch) -> Outcome:
    """Preprocess all videos of a source.

    Raises:
        DataError: the source does not exist, or holds no video that can be used.
        StorageError: the shards cannot be written; finished ones stay.
    """
    listed = list_videos(source)
    root = out or Workspace(Path(settings.workspace)).place("dataset", fresh=fresh)
    with spending() as spent:
        result, run_root = pack_videos(root, listed, settings.preprocess, str(source.absolute()), fresh=fresh, watch=watch)
    if not result["videos"]:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in result["failures"].items())
        raise DataError(
            f"Not one of {len(listed)} videos could be used: {reasons}.",
            hint=f"{RunDirectory(run_root).failures} says why for each.",
        )
    tables = [_summary(result), spent.table()]
    if result["failures"]:
        rows = [(reason, str(count)) for reason, count in sorted(result["failures"].items(), key=lambda item: -item[1])]
        tables.insert(
            1, Table("Videos that could not be used", ("reason", "videos"), rows, note="each with its story in failures.jsonl")
        )
    files = {"preprocessed set": str(run_root), "failures": str(RunDirectory(run_root).failures)}
    return Outcome({**result, **spent.record(), "out": str(run_root)}, tables, files, "elo evolve")


def pack_videos(
    root: Path, listed: Sequence[ListedVideo], settings: PreprocessSettings, source: str, *, fresh: bool = False, watch: Watch
) -> tuple[dict[str, Any], Path]:
    """Bring a preprocessed set to completion; also what benchmarks and feature extraction begin with.

    Returns:
        Counts of what is in the set, and its root.
    """
    stored = {"preprocess": settings.model_dump(mode="json"), "source": source}
    with RunDirectory.open(root, stored, command=command_line(), fresh=fresh, free=FREE) as run_directory:
        shards = run_directory.root / SHARDS
        with storage_errors(shards):
            shards.mkdir(exist_ok=True)
            for leftover in shards.glob("*" + PART):
                leftover.unlink()
        jobs = [job for job in _plan_shards(run_directory, listed, settings) if not Path(job.shard).exists()]
        _pack(jobs, settings, watch)
        result = _collect(run_directory)
        write_json(run_directory.result, result)
        return result, run_directory.root


def worker_count(settings: PreprocessSettings) -> int:
    """Worker processes: as set, or one for each processor."""
    return processors() if settings.workers == "auto" else max(1, settings.workers)


def _plan_shards(run: RunDirectory, listed: Sequence[ListedVideo], settings: PreprocessSettings) -> list[ShardJob]:
    journal = Journal(run.root / "plan.jsonl")
    planned = journal.read()
    paths = {video.id: str(video.path) for video in listed}
    known = {entry["id"] for record in planned for entry in record["videos"]}
    new = [video for video in listed if video.id not in known]
    for first in range(0, len(new), settings.videos_per_shard):
        chunk = [{"id": video.id, "label": video.label} for video in new[first : first + settings.videos_per_shard]]
        record = {"shard": f"shard-{len(planned):06d}{ENDING}", "videos": chunk}
        journal.append(record)
        planned.append(record)
    return [
        ShardJob(
            str(run.root / SHARDS / record["shard"]),
            tuple(SourceVideo(paths.get(entry["id"], entry["id"]), entry["id"], entry["label"]) for entry in record["videos"]),
            settings,
        )
        for record in planned
    ]


def _pack(jobs: Sequence[ShardJob], settings: PreprocessSettings, watch: Watch) -> None:
    total = sum(len(job.videos) for job in jobs)
    if not total:
        watch.note("Every video has its finished shard: nothing to do.")
        return
    pool: LocalPool[ShardJob, ShardSummary] = LocalPool(
        pack_shard, min(worker_count(settings), len(jobs)), settings.video_seconds_limit
    )
    for job in jobs:
        pool.submit(job)
    done = failed = starts_lost = 0
    watch.start("preprocessing", total, "video")
    for outcome in pool.results(watch.check):
        if isinstance(outcome, Lost):
            starts_lost += outcome.item is None
            if outcome.item is None and starts_lost > 3:
                raise MachineError(
                    f"Worker processes die before they begin: {outcome.story}.",
                    hint="Is there enough memory? Try --set preprocess.workers=1.",
                )
            pool.submit(_without(outcome))
            continue
        done, failed = done + outcome.videos, failed + len(outcome.failures)
        watch.advance("preprocessing", done, {"failed": failed})
    watch.finish("preprocessing")


def _without(lost: Lost[ShardJob]) -> ShardJob:
    """The same shard again, leaving out the video that took the worker down."""
    if lost.item is None:
        return lost.job
    failure = VideoFailure(lost.item, lost.reason, f"Decoding this video ended its worker process: {lost.story}.")
    return replace(lost.job, lost=(*lost.job.lost, failure))


def _collect(run: RunDirectory) -> dict[str, Any]:
    """Read the finished shards and write failures.jsonl from them."""
    failures: list[VideoFailure] = []
    warnings: dict[str, dict[str, float]] = {}
    videos: set[str] = set()
    counts: collections.Counter[str] = collections.Counter()
    seconds, size = 0.0, 0
    fps = PreprocessSettings.model_validate(_stored(run)["preprocess"]).fps
    for path in sorted((run.root / SHARDS).glob("*" + ENDING)):
        shard = Shard(path)
        failures += shard.failures
        warnings |= shard.warnings
        size += path.stat().st_size
        for record in shard.records:
            videos.add(record.video)
            seconds += record.frames / fps
            counts["segments"] += 1
            counts["with sound"] += record.audio_frames > 0
    failures.sort(key=lambda failure: failure.video)
    lines = [encode(asdict(failure)) for failure in failures]
    write_atomic(run.failures, b"".join(lines))
    reasons = collections.Counter(failure.reason for failure in failures)
    return {
        "videos": len(videos),
        "segments": counts["segments"],
        "segments_with_sound": counts["with sound"],
        "hours": round(seconds / 3600, 4),
        "bytes": size,
        "failed": len(failures),
        "failures": dict(sorted(reasons.items())),
        "possibly_damaged": len(warnings),
    }


def _stored(run: RunDirectory) -> dict[str, Any]:
    return load_yaml(run.settings, "the settings of the preprocessed set,")


def _summary(result: dict[str, Any]) -> Table:
    columns = ("videos", "segments", "with sound", "hours", "size", "possibly damaged", "failed")
    row = (
        str(result["videos"]),
        str(result["segments"]),
        str(result["segments_with_sound"]),
        f"{result['hours']:.2f}",
        _size(result["bytes"]),
        str(result["possibly_damaged"]),
        str(result["failed"]),
    )
    return Table("Preprocessed", columns, (row,))


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
