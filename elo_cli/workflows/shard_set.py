"""The planned shards of a preprocessed set: what is missing is made, what is there is counted."""

import collections
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from elo_cli.core.errors import DataError, MachineError
from elo_cli.core.files import PART, is_abandoned, publish, storage_errors, this_owner, write_atomic, write_json
from elo_cli.core.settings import PreprocessSettings
from elo_cli.data.listing import ListedVideo
from elo_cli.data.records import VideoFailure, VideoRecord, failures_path, read_failures
from elo_cli.data.shard import Shard
from elo_cli.data.video_set import SHARDS
from elo_cli.executors import Executor, Limits, Lost, make_executor
from elo_cli.prepare.pack import ShardJob, ShardSummary, SourceVideo, pack_shard
from elo_cli.prepare.segment import Span
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal, encode
from elo_cli.workflows.events import Watch

PUBLISHING = 4  # shards whose arrival on the disk is waited for at once

PlannedShard = dict[str, Any]


class ShardSet:
    """Some planned shards of a set: those of a part, or all.

    Args:
        root: the set's folder.
        planned: the shards, as the plan has them.
        listed: the videos of the source, which say where each lies.
        settings: how.
        watch: is told of the progress.
    """

    def __init__(
        self,
        root: Path,
        planned: Sequence[PlannedShard],
        listed: Sequence[ListedVideo],
        settings: PreprocessSettings,
        watch: Watch,
    ) -> None:
        # Workers on other machines have other working directories.
        self._folder, self._planned, self._settings, self._watch = root.absolute() / SHARDS, planned, settings, watch
        self._paths = {video.id: video.file for video in listed}  # a planned video may be gone from the source
        self._owner = this_owner()

    def complete(self, run: RunDirectory, *, retry: bool) -> dict[str, Any]:
        """Make the shards that are missing, and sum up; `run` gets the failures and the result."""
        with storage_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            if retry:
                self._forget_failures()
        missing = self.missing()
        names = {record["shard"] for record in missing}
        failures = self._failures(record for record in self._planned if record["shard"] not in names)
        self._judge(len(failures), failures[-1:])
        self._write_failures(run, failures)
        if missing:
            self._make(missing, len(failures), Journal(run.failures))
        else:
            self._watch.note("Every video has its finished shard: nothing to do.")
        result, failures = self._collect()
        self._write_failures(run, failures)
        write_json(run.result, result)
        return result

    def missing(self) -> list[PlannedShard]:
        """List the shards that are to be made: neither there, nor without a video of the source that is not known to fail."""
        there = set(os.listdir(self._folder)) if self._folder.is_dir() else set()
        return [record for record in self._planned if record["shard"] not in there and not self._failed(record, there)]

    def _failed(self, record: PlannedShard, there: set[str]) -> bool:
        wanted = {entry["id"] for entry in record["videos"]} & self._paths.keys()
        path = self._folder / record["shard"]
        if not wanted or failures_path(path).name not in there:
            return not wanted
        return wanted <= {failure.video for failure in read_failures(path)}

    def _sweep(self) -> None:
        """Remove what killed runs left of these shards; other parts may be at work on theirs, or even on these."""
        stems = {Path(record["shard"]).stem for record in self._planned}
        for name in os.listdir(self._folder):
            if name.endswith(PART) and name.partition(".")[0] in stems and is_abandoned(self._folder / name):
                (self._folder / name).unlink(missing_ok=True)

    def _write_failures(self, run: RunDirectory, failures: Sequence[VideoFailure]) -> None:
        ordered = sorted(failures, key=lambda failure: failure.video)
        write_atomic(run.failures, b"".join(encode(self._told(failure)) for failure in ordered))

    def _forget_failures(self) -> None:
        for record in self._planned:
            path = self._folder / record["shard"]
            if failures_path(path).exists():  # the shard first: without it the failures alone are nothing wrong
                path.unlink(missing_ok=True)
                failures_path(path).unlink()

    def _make(self, missing: Sequence[PlannedShard], failed: int, journal: Journal) -> None:
        settings, watch = self._settings, self._watch
        total = sum(len(record["videos"]) for record in missing)
        # RAFT is torch, on a GPU if there is one: its drivers reserve far more than they use.
        memory = None if settings.flow == "raft" else round(settings.worker_memory * 2**30)
        limits = Limits(settings.video_seconds_limit, memory)
        workers = None if settings.workers == "auto" else settings.workers
        executor: Executor[ShardJob, ShardSummary] = make_executor(settings.engine, pack_shard, workers, limits)
        attempts: collections.Counter[tuple[str, str | None]] = collections.Counter()
        done = 0
        watch.start("preprocessing", total, "video")
        with _Publisher(self._owner) as publisher:
            for outcome in executor.results(watch.check, self._jobs(missing)):
                if isinstance(outcome, Lost):
                    attempts[outcome.job.shard, outcome.item] += 1
                    executor.submit(_again(outcome, attempts))
                    continue
                if outcome.segments:
                    publisher.publish(Path(outcome.shard))
                failures = [failure for failure in outcome.failures if failure.video in self._paths]
                done, failed = done + outcome.videos, failed + len(failures)
                if failures:
                    journal.extend([self._told(failure) for failure in failures])
                watch.advance("preprocessing", done, {"failed": failed})
                self._judge(failed, failures)
        watch.finish("preprocessing")

    def _jobs(self, records: Iterable[PlannedShard]) -> Iterator[ShardJob]:
        weights = self._settings.flow_weights
        # Workers on other machines have other working directories.
        settings = self._settings.model_copy(update={"flow_weights": os.path.abspath(weights) if weights else None})
        for record in records:
            videos = tuple(
                SourceVideo(self._paths.get(entry["id"], ""), entry["id"], entry.get("label"), entry.get("split"), _span(entry))
                for entry in record["videos"]
            )
            gone = tuple(
                VideoFailure(video.id, "open", "unreadable", "It is no longer in the source.")
                for video in videos
                if not video.path
            )
            yield ShardJob(str(self._folder / record["shard"]), videos, settings, gone, self._owner)

    def _failures(self, records: Iterable[PlannedShard]) -> list[VideoFailure]:
        """Read the recorded failures of shards; videos that are gone from the source do not count."""
        there = set(os.listdir(self._folder))
        paths = (self._folder / record["shard"] for record in records)
        known = (failure for path in paths if failures_path(path).name in there for failure in read_failures(path))
        return [failure for failure in known if failure.video in self._paths]

    def _judge(self, failed: int, newest: Sequence[VideoFailure]) -> None:
        """Stop the run where the settings say so.

        Raises:
            DataError: more videos failed than may.
        """
        bound = 0 if self._settings.on_error == "stop" else self._settings.max_failures
        if bound is None or failed <= bound:
            return
        last = f" The last: {newest[-1].video}: {newest[-1].reason}: {newest[-1].message}" if newest else ""
        raise DataError(
            f"{failed} video{'s' if failed > 1 else ''} cannot be used, and {bound} may fail.{last}",
            hint="Mend or remove what failures.jsonl names and go on with --retry-failed, or allow more: --on-error skip,"
            " --max-failures N. What is finished stays.",
        )

    def _told(self, failure: VideoFailure) -> dict[str, Any]:
        """A line of failures.jsonl."""
        return {"path": self._paths.get(failure.video)} | asdict(failure)

    def _changed(self, video: str, record: VideoRecord) -> bool:
        """Whether the source file of a video has surely changed since."""
        try:
            return video in self._paths and os.stat(self._paths[video]).st_size != record.bytes
        except OSError:  # gone
            return False

    def _collect(self) -> tuple[dict[str, Any], list[VideoFailure]]:
        """Count what the finished shards hold."""
        sound: collections.Counter[str] = collections.Counter()
        videos = segments = heard = flowing = damaged = changed = size = 0
        seconds = 0.0
        there = set(os.listdir(self._folder))
        for record in self._planned:
            if record["shard"] not in there:
                continue
            shard = Shard(self._folder / record["shard"])
            size += shard.path.stat().st_size
            for name, video in shard.videos.items():
                changed += self._changed(name, video)
                videos += 1
                sound[video.sound] += 1
                damaged += video.possibly_damaged
            for segment in shard.segments:
                segments += 1
                seconds += segment.frames / self._settings.fps
                heard += segment.audio_frames > 0
                flowing += segment.flow
        if changed:
            self._watch.warn(
                f"{changed} source files are not as large as when they were preprocessed. What is stored is of the files as"
                " they were; to take the new ones, begin a new set with --fresh."
            )
        failures = self._failures(self._planned)
        return {
            "videos": videos,
            "segments": segments,
            "segments_with_sound": heard,
            "segments_with_flow": flowing,
            "hours": round(seconds / 3600, 4),
            "bytes": size,
            "sound": dict(sorted(sound.items())),
            "possibly_damaged": damaged,
            "failed": len(failures),
            "failures": dict(sorted(collections.Counter(failure.reason for failure in failures).items())),
        }, failures


class _Publisher:
    """Publishes shards while workers make others: waiting for the disk takes no processor."""

    def __init__(self, owner: str) -> None:
        self._owner, self._threads = owner, ThreadPoolExecutor(PUBLISHING)
        self._pending: collections.deque[Future[None]] = collections.deque()

    def __enter__(self) -> "_Publisher":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Wait until all are published; those that were made before an error are kept."""
        self._threads.shutdown(wait=True)
        if error is None:
            for future in self._pending:
                future.result()

    def publish(self, path: Path) -> None:
        """Begin to publish one; wait where too many are under way.

        Raises:
            StorageError: an earlier one cannot be published.
        """
        while self._pending and (self._pending[0].done() or len(self._pending) >= 4 * PUBLISHING):
            self._pending.popleft().result()
        self._pending.append(self._threads.submit(publish, path, self._owner))


def _span(entry: dict[str, Any]) -> Span | None:
    if "start_s" not in entry and "end_s" not in entry:
        return None
    return Span(entry.get("start_s", 0.0), entry.get("end_s", float("inf")))


def _again(lost: Lost[ShardJob], attempts: "collections.Counter[tuple[str, str | None]]") -> ShardJob:
    """The same shard again; without the video that took the worker down, if it was its second time or it hung."""
    if lost.item is None:
        if attempts[lost.job.shard, None] > 3:
            raise MachineError(
                f"Worker processes die before they begin: {lost.story}.",
                hint="Is there enough memory? Try --set preprocess.workers=1.",
            )
        return lost.job
    if lost.reason == "crash" and attempts[lost.job.shard, lost.item] < 2:
        return lost.job
    message = f"Its worker process was lost: {lost.story}."
    return replace(lost.job, lost=(*lost.job.lost, VideoFailure(lost.item, lost.stage or "open", lost.reason, message)))
