"""Measure preprocessing against what else this machine can do: `nox -s perf`, or `python -m tests.perf.preprocessing`.

Everything is a ratio within one run, of programs that take turns, because figures of two machines, or
of one machine on two days, say little. `docs/speed.md` says what each row means. The exit code is 0
whatever comes out, unless a program failed; aims that were missed are listed at the end.
"""

import argparse
import functools
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from elo_cli.run.environment import processors
from tests.perf import material
from tests.perf.bench import GIVEN, RGB, Bench, Material, Times, bare_times, elo_times, ffmpeg_times, tell
from tests.perf.process import Run, measure, python
from tests.perf.report import Row, machine, show

FLOWS = ("dis-ultrafast", "dis-fast", "dis-medium", "motion-vectors")
BARE, EXTRA_PERCENT, TWO_WORKERS, READING = 0.85, 40.0, 1.8, 20.0  # what is aimed at
WORKER_MIB, PARENT_MIB = 1024.0, 512.0  # bounds of memory, whatever a file's length and however many there are


def throughput(bench: Bench, measured: Material) -> list[Row]:
    """RGB only, one worker on one core, against the bare loop and against ffmpeg."""
    contestants = {
        "bare": bench.rival("bare", measured),
        "elo": bench.elo(measured, bench.core),
        "elo's start": bench.elo(bench.one, bench.core),
    }
    ffmpeg = shutil.which("ffmpeg") is not None
    if ffmpeg:
        contestants["ffmpeg"] = bench.rival("ffmpeg", measured, GIVEN.fps, GIVEN.short_side)
        contestants["ffmpeg's start"] = bench.rival("ffmpeg", bench.few, GIVEN.fps, GIVEN.short_side)
    runs = bench.turns(contestants, measured.name)
    starts = runs["elo's start"]
    elo, bare = elo_times(runs["elo"], starts), bare_times(runs["bare"])
    rivals: dict[str, tuple[Times, float | None]] = {"a bare PyAV loop": (bare, BARE)}
    if ffmpeg:
        started = {
            clock: statistics.median(run.told[clock] for run in runs["ffmpeg's start"]) * measured.files / bench.few.files
            for clock in ("seconds", "cpu_s")
        }
        rivals["ffmpeg -threads 1, a process a file"] = (ffmpeg_times(runs["ffmpeg"], {}), 1.0)
        rivals["ffmpeg, less its start for each file"] = (ffmpeg_times(runs["ffmpeg"], started), None)
    rows = [
        Row(
            "RGB only", name, elo.against(rival), "×", elo.against(rival, "gross"), elo.against(rival, "cpu"),
            (elo.net, rival.net), (elo.mib, rival.mib), aim,
        )
        for name, (rival, aim) in rivals.items()
    ]  # fmt: skip
    if not ffmpeg:
        rows.append(Row("RGB only", "ffmpeg -threads 1, a process a file", note="there is no ffmpeg on PATH"))
    seconds = [run.seconds for run in starts]
    rows.append(Row("the start of elo and a worker", "one tiny video", tuple(seconds), "s", seconds=(seconds, ())))
    return rows


def modalities(bench: Bench, measured: Material) -> list[Row]:
    """What flow, sound and grey cost on top of RGB."""
    contestants = {"rgb": bench.elo(measured, bench.core), "elo's start": bench.elo(bench.one, bench.core)}
    contestants |= {flow: bench.elo(measured, bench.core, flow=flow, audio="true") for flow in FLOWS}
    contestants["log-mel"] = bench.elo(measured, bench.core, audio="true")
    runs = bench.turns(contestants, f"modalities, {measured.name}")
    starts = runs.pop("elo's start")
    times = {name: elo_times(those, starts) for name, those in runs.items()}
    rgb, rows = times.pop("rgb"), []
    for name, more in times.items():
        what = "RGB, grey and log-mel" if name == "log-mel" else f"RGB, grey, log-mel and flow {name}"
        rows.append(
            Row(
                what, "RGB only", more.more_than(rgb), "%", more.more_than(rgb, "gross"),
                more.more_than(rgb, "cpu"), (more.net, rgb.net), (more.mib, rgb.mib), EXTRA_PERCENT,
            )
        )  # fmt: skip
    return rows


def workers(bench: Bench, measured: Material) -> list[Row]:
    """Two workers on two cores against one, RGB only and with everything that is on by default."""
    if processors() < 2:
        return [Row("two workers", "one worker", note="there is one processor")]
    if measured.files < 16:
        return [Row("two workers", "one worker", note="the last of so few files would keep one worker waiting")]
    rows = []
    for what, settings in (("RGB only", {}), ("the default modalities", {"flow": GIVEN.flow, "audio": "true"})):
        contestants = {
            f"{number} workers{start}": bench.elo(videos, None, **{**settings, "workers": number})
            for number in (1, 2)
            for start, videos in (("", measured), (", start", bench.few))
        }
        runs = bench.turns(contestants, f"workers, {what}, {measured.name}")
        one, two = (elo_times(runs[f"{number} workers"], runs[f"{number} workers, start"]) for number in (1, 2))
        rows.append(
            Row(
                f"two workers, {what}", "one worker", two.against(one), "×", two.against(one, "gross"),
                (), (two.net, one.net), (two.mib, one.mib), TWO_WORKERS,
            )
        )  # fmt: skip
    return rows


def reading(bench: Bench, measured: Material) -> list[Row]:
    """Random clips from shards against decoding them from the source."""
    jpeg = measured.root.with_name("jpeg")
    bench.preprocess(measured.source, RGB | {"storage": "jpeg"}, None, jpeg)
    seconds = 1 if bench.quick else 4

    def read(name: str, root: Path) -> Callable[[], Run]:
        arguments = (name, root, measured.source.absolute(), seconds)
        return lambda: measure(python("tests.perf.reading", *arguments), core=bench.core)

    contestants = {"raw shards": read("shards", measured.root), "jpeg shards": read("shards", jpeg)}
    contestants |= {"PyAV, seek and decode": read("pyav", measured.root), "elo's own decoding": read("elo", measured.root)}
    runs = bench.turns(contestants, f"reading, {measured.name}")
    each = {name: [run.told["seconds"] / run.told["clips"] for run in those] for name, those in runs.items()}
    peak = {name: max(run.tree_mib for run in those) for name, those in runs.items()}
    rows = []
    for ours, aim in (("raw shards", READING), ("jpeg shards", None)):
        for theirs in list(contestants)[2:]:
            ratios = tuple(there / here for here, there in zip(each[ours], each[theirs], strict=True))
            rows.append(
                Row(
                    f"a random clip from {ours}",
                    theirs,
                    ratios,
                    "×",
                    (),
                    (),
                    (each[ours], each[theirs]),
                    (peak[ours], peak[theirs]),
                    aim,
                )
            )
    return rows


def memory(bench: Bench) -> list[Row]:
    """Peak memory with one very long file, and with very many tiny ones."""
    minutes, count = (10, 2000) if bench.quick else (180, 100_000)
    film, clips = material.long_film(bench.cache, 60 * minutes), material.tiny_clips(bench.cache, count)
    every: dict[str, object] = {"flow": "none", "fps": 4, "short_side": 64, "max_segments": 10_000, "video_seconds_limit": 7200}
    cases: dict[str, tuple[Path, dict[str, object], int]] = {
        f"one file of {minutes} min at 1080p, the default settings": (film, {"workers": 1}, 1),
        f"one file of {minutes} min at 1080p, all of it at 4 frames a second and 64 pixels, with sound": (film, every, 1),
        f"{count:,} files, RGB and sound": (clips, {"flow": "none", "short_side": 32}, count),
    }
    rows = []
    for what, (source, settings, files) in cases.items():
        with tempfile.TemporaryDirectory(dir=bench.work) as folder:
            run = bench.preprocess(source, settings, None, Path(folder) / "set")
        bench.runs.append({"about": "memory", "contestant": what, "round": 0, **asdict(run)})
        tell(f"memory, {what}: {run.seconds:.1f} s")
        peaks = {"a worker": (run.worker_mib, WORKER_MIB), "the parent": (run.parent_mib, PARENT_MIB)}
        rows += [Row(what, f"bound of {who}", (mib,), "MiB", aim=bound) for who, (mib, bound) in peaks.items()]
        rows.append(Row(what, "time for each file", (run.seconds / files * 1000,), "ms", seconds=((run.seconds,), ())))
    return rows


SECTIONS: dict[str, Callable[[Bench, Material], list[Row]]] = {
    "throughput": throughput,
    "modalities": modalities,
    "workers": workers,
    "reading": reading,
}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.perf.preprocessing", description=__doc__.partition("\n")[0])
    parser.add_argument("--videos", type=Path, metavar="DIR", help="measure these videos instead of made ones")
    parser.add_argument("--quick", action="store_true", help="little material and two rounds: to see that it works")
    parser.add_argument("--repeat", type=int, metavar="N", help="rounds (default 5; with --quick 2)")
    parser.add_argument("--only", nargs="+", choices=[*SECTIONS, "memory"], help="these parts, not all")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "elo-perf", metavar="DIR",
                        help="where made videos are kept (default %(default)s)")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write rows and every single run here")
    given = parser.parse_args()
    if given.videos is not None and not given.videos.is_dir():
        parser.error(f"there is no folder {given.videos}")
    return given


def main() -> int:
    """Measure and report; 1 where a program failed, 0 otherwise, whatever the figures are."""
    given = arguments()
    given.cache.mkdir(parents=True, exist_ok=True)
    about, tables, failed = machine(), dict[str, list[Row]](), False
    packages = ", ".join(f"{name} {about['packages'][name]}" for name in ("av", "numpy", "torch"))
    print(f"{about['processor']}, {processors()} processors, {about['memory_gib']} GiB; {about['platform']};", end=" ")
    print(f"Python {about['python']}, {packages}; {about['ffmpeg'] or 'no ffmpeg'}")
    with tempfile.TemporaryDirectory(dir=given.cache) as work:
        rounds = given.repeat or (2 if given.quick else 5)
        bench = Bench(given.cache.absolute(), Path(work), rounds, max(os.sched_getaffinity(0)), given.quick)
        for title, section in sections(bench, given.only or [*SECTIONS, "memory"], given.videos):
            try:
                tables[title] = section()
            except RuntimeError as error:  # the other sections are still worth having
                tell(str(error))
                tables[title], failed = [Row(title, "", note="a program failed; its words are on stderr")], True
            show(title, tables[title])
            if given.json:
                rows = {name: [{**asdict(row), "held": row.held} for row in those] for name, those in tables.items()}
                given.json.write_text(json.dumps({"machine": about, "rows": rows, "runs": bench.runs}, indent=1))
    missed = [f"{row.what}, against {row.rival} ({name})" for name, those in tables.items() for row in those if row.held is False]
    print("\nMissed: " + "; ".join(missed) if missed else "\nEvery aim that was measured is held.")
    return int(failed)


def sections(bench: Bench, parts: Sequence[str], videos: Path | None) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
    """Yield what is measured, with its title."""
    if set(parts) & set(SECTIONS):
        tell("making the videos, unless they are there")
        for measured in materials(bench, videos):
            for part in (part for part in SECTIONS if part in parts):
                yield f"{part}, {measured.name}", functools.partial(SECTIONS[part], bench, measured)
    if "memory" in parts:
        yield "memory", functools.partial(memory, bench)


def materials(bench: Bench, videos: Path | None) -> Iterator[Material]:
    """Prepare what is measured: the given videos, or short clips and files of minutes."""
    if videos is not None:
        yield bench.material("given videos", videos)
        return
    short, copies, films = (8, 2, 1) if bench.quick else (48, 6, 3)
    yield bench.material(f"{short} short clips, {copies} times", material.short_clips(bench.cache, short, copies))
    yield bench.material(f"{films} file{'s' * (films > 1)} of minutes", material.minutes(bench.cache, films))


if __name__ == "__main__":
    sys.exit(main())
