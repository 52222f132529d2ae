"""`elo dataset info`: a preprocessed set → what it holds, in numbers."""

import collections
import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from elo_cli.core.errors import DataError
from elo_cli.core.settings import Settings
from elo_cli.data.records import FAILURES, read_failures
from elo_cli.data.shard import ENDING, Shard
from elo_cli.data.statistics import FlowFigures, SetStatistics, ZipfFit, fit_zipf
from elo_cli.data.video_set import SHARDS
from elo_cli.workflows.dataset_verify import set_root, shard_files
from elo_cli.workflows.events import Outcome, Table, Watch, size_text

TOP = 5  # of sizes, codecs, rates
TOP_LABELS = 20
EVEN = 0.5  # labels whose Zipf exponent is below are called even: the fitness expects 1

_TOP_SUSPECTS = 10

Key = TypeVar("Key")


def plan(*, settings: Settings, data: Path | None) -> Outcome:
    """Say what `run` would look at; writes nothing, as `run` does not either."""
    root = set_root(settings, data)
    shards = len(shard_files(root))
    table = Table("Information would be gathered from", ("set", "shards"), ((str(root), str(shards)),))
    return Outcome({"data": str(root), "shards": shards}, (table,))


def run(*, settings: Settings, data: Path | None, watch: Watch) -> Outcome:
    """Read the headers of all shards, and a sample of the flow, and count.

    Args:
        settings: they name the workspace.
        data: the set; the newest one if not given.
        watch: is told of the progress, and of files that cannot be read: they are not counted.

    Raises:
        DataError: there is no set, or nothing in it can be read.
    """
    root = set_root(settings, data)
    counted, unreadable = _count(root, watch)
    if not counted.videos and not counted.failures:
        raise DataError(f"There is nothing to count in {root}.", hint="elo dataset verify says what is damaged or unfinished.")
    flow = None
    try:
        flow = counted.flow()
    except DataError as error:
        watch.warn(f"The flow is not measured: {error.message} elo dataset verify says more.")
    fit = fit_zipf(counted.labels.values())
    result = {"data": str(root), "unreadable": unreadable} | _result(counted, fit, flow)
    return Outcome(result, list(_tables(str(root), result, fit, flow)))


def _count(root: Path, watch: Watch) -> tuple[SetStatistics, list[str]]:
    """Count, and name the files that cannot be read."""
    counted, unreadable = SetStatistics(), []
    paths = shard_files(root)
    watch.start("counting", len(paths), "shard")
    for done, path in enumerate(paths, start=1):
        watch.check()
        try:
            counted.add(Shard(path))
        except DataError as error:
            watch.warn(f"{error.message} It is not counted.")
            unreadable.append(str(path.relative_to(root)))
        watch.advance("counting", done)
    for path in sorted((root / SHARDS).glob("*" + FAILURES)):
        try:
            counted.add_failures(read_failures(path.with_name(path.name.removesuffix(FAILURES) + ENDING)))
        except DataError as error:
            watch.warn(f"{error.message} It is not counted.")
            unreadable.append(str(path.relative_to(root)))
    watch.finish("counting")
    return counted, unreadable


def _result(counted: SetStatistics, fit: ZipfFit | None, flow: FlowFigures | None) -> dict[str, Any]:
    hours = counted.seconds / 3600
    durations = sorted(counted.durations_s)
    tensors = sum(counted.modality_bytes.values())
    return {
        "videos": counted.videos,
        "segments": counted.segments,
        "hours": round(hours, 4),
        "frames": counted.frames,
        "segments_with_flow": counted.segments_with_flow,
        "segments_with_sound": counted.segments_with_sound,
        "sound": _ranked(counted.sound),
        "no_flow": _ranked(counted.flowless),
        "bytes": counted.bytes,
        "bytes_by_modality": _ranked(counted.modality_bytes) | {"records": counted.bytes - tensors},
        "bytes_per_hour": round(counted.bytes / hours) if hours else None,
        "settings": [{"shards": count, **json.loads(text)} for text, count in counted.settings.most_common()],
        "stored_sizes": _ranked(counted.stored_sizes, _size),
        "source_sizes": _ranked(counted.source_sizes, _size),
        "source_fps": _ranked(counted.source_fps, _number),
        "codecs": _ranked(counted.codecs),
        "duration_s": {
            "least": durations[0],
            "median": statistics.median(durations),
            "mean": statistics.fmean(durations),
            "greatest": durations[-1],
        }
        if durations
        else None,
        "possibly_damaged": [
            {"video": video, "bad_packets": bad, "missing_s": missing}
            for video, bad, missing in sorted(counted.suspects, key=lambda one: (-one[1], -one[2], one[0]))
        ],
        "failed": sum(counted.failures.values()),
        "failures": [
            {"stage": stage, "reason": reason, "videos": count} for (stage, reason), count in counted.failures.most_common()
        ],
        "splits": _ranked(counted.splits),
        "labels": _ranked(counted.labels),
        "unlabelled": counted.videos - sum(counted.labels.values()),
        "zipf": None
        if fit is None
        else {"exponent": fit.exponent, "kl": fit.divergence, "kl_at_exponent_1": fit.divergence_at_one},
        "flow": None
        if flow is None
        else {
            "mean_magnitude_px": flow.magnitude_px,
            "quantisation_error_bound_px": flow.error_bound_px,
            "frames_measured": flow.frames,
            "segments_measured": flow.segments,
            "all_segments": flow.complete,
        },
    }


def _tables(root: str, result: Mapping[str, Any], fit: ZipfFit | None, flow: FlowFigures | None) -> Iterator[Table]:
    yield Table(
        f"Set {root}",
        ("videos", "segments", "hours", "frames", "with flow", "with sound", "size", "size of an hour", "failed"),
        (
            (
                *(str(result[name]) for name in ("videos", "segments")),
                f"{result['hours']:.2f}",
                *(str(result[name]) for name in ("frames", "segments_with_flow", "segments_with_sound")),
                size_text(result["bytes"]),
                size_text(result["bytes_per_hour"]) if result["bytes_per_hour"] else "-",
                str(result["failed"]),
            ),
        ),
        note=f"Not counted: {len(result['unreadable'])} files that cannot be read." if result["unreadable"] else "",
    )
    whole = max(result["bytes"], 1)
    rows = [(name, size_text(size), f"{100 * size / whole:.1f} %") for name, size in result["bytes_by_modality"].items()]
    yield Table("Bytes", ("what", "size", "share"), rows)
    yield Table("Videos", ("what", f"the {TOP} most frequent"), list(_frequent(result)))
    yield _labels(result, fit)
    if flow is not None:
        yield _flow(flow, jpeg=any(settings.get("storage") == "jpeg" for settings in result["settings"]))
    if result["failures"]:
        rows = [(entry["stage"], entry["reason"], str(entry["videos"])) for entry in result["failures"]]
        yield Table("Videos that could not be used", ("stage", "reason", "videos"), rows)
    if result["possibly_damaged"]:
        yield _suspects(result["possibly_damaged"])
    yield _settings(result["settings"])


def _frequent(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A row for each thing that videos have one of many of."""
    if result["duration_s"] is not None:
        yield "seconds", ", ".join(f"{name} {value:.1f}" for name, value in result["duration_s"].items())
    named = {
        "source_sizes": "size of the source (rows×columns)", "stored_sizes": "size stored, in segments",
        "source_fps": "frames a second of the source", "codecs": "codec", "sound": "sound", "no_flow": "no flow because",
        "splits": "split",
    }  # fmt: skip
    for key, what in named.items():
        counts = result[key]
        shown = [f"{name} ({count})" for name, count in list(counts.items())[:TOP]]
        others = list(counts.values())[TOP:]
        if others:
            shown.append(f"and {len(others)} more ({sum(others)})")
        if shown:
            yield what, ", ".join(shown)


def _labels(result: Mapping[str, Any], fit: ZipfFit | None) -> Table:
    labels, videos = result["labels"], max(result["videos"], 1)
    rows = [(name, str(count), f"{100 * count / videos:.1f} %") for name, count in list(labels.items())[:TOP_LABELS]]
    others = list(labels.values())[TOP_LABELS:]
    if others:
        rows.append((f"… and {len(others)} more", str(sum(others)), f"{100 * sum(others) / videos:.1f} %"))
    if result["unlabelled"] and labels:
        rows.append(("(no label)", str(result["unlabelled"]), f"{100 * result['unlabelled'] / videos:.1f} %"))
    return Table(f"Labels ({len(labels)})", ("label", "videos", "share"), rows, note=_zipf_note(len(labels), fit))


def _zipf_note(labels: int, fit: ZipfFit | None) -> str:
    if fit is None:
        have = "No video has a label" if not labels else "All labelled videos share one label"
        return f"{have}: there is no distribution to hold against Zipf's law."
    lines = [
        f"Zipf's law fits best with exponent {fit.exponent:.2f} (KL {fit.divergence:.3f} nats);"
        f" with exponent 1, which the fitness zipf expects, KL is {fit.divergence_at_one:.3f}."
    ]
    if fit.exponent < EVEN:
        lines.append(
            "These labels are nearly even: what the fitness rewards at fitness.exponent=1 is not how these classes are"
            " spread. An exponent that is taken from labels is no longer unsupervised."
        )
    return "\n".join(lines)


def _flow(flow: FlowFigures, *, jpeg: bool) -> Table:
    row = (f"{flow.magnitude_px:.3f}", f"{flow.error_bound_px:.4f}", str(flow.frames), str(flow.segments))
    note = "In pixels of a stored frame for one frame; the bound is half a step of the 8-bit form, mean over frames."
    if jpeg:
        note += " What JPEG loses comes on top."
    if not flow.complete:
        note += " Of a sample of the segments."
    return Table("Flow", ("mean length", "rounding error at most", "frames", "segments"), (row,), note=note)


def _suspects(suspects: list[dict[str, Any]]) -> Table:
    rows = [(one["video"], str(one["bad_packets"]), f"{one['missing_s']:.1f}") for one in suspects[:_TOP_SUSPECTS]]
    more = len(suspects) - len(rows)
    return Table(
        f"Possibly damaged ({len(suspects)})",
        ("video", "bad packets", "seconds missing"),
        rows,
        note=f"… and {more} more; --json names all." if more > 0 else "",
    )


def _settings(settings: list[dict[str, Any]]) -> Table:
    rows = (
        [(key, json.dumps(value, ensure_ascii=False)) for key, value in settings[0].items() if key != "shards"]
        if settings
        else []
    )
    note = "Not all shards share these: elo dataset verify names the others." if len(settings) > 1 else ""
    return Table("Settings of what is stored", ("setting", "value"), rows, note=note)


def _ranked(counts: "collections.Counter[Key]", say: Callable[[Key], str] = str) -> dict[str, int]:
    """Order by count, then by name."""
    named: Iterable[tuple[str, int]] = ((say(key), count) for key, count in counts.items())
    return dict(sorted(named, key=lambda item: (-item[1], item[0])))


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _number(value: float) -> str:
    return f"{value:g}"
