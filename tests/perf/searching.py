"""Measure a search on one machine: `python -m tests.perf.searching`; or: nox -s "perf(searching)".

    workers    candidates an hour with two workers of a thread each, against one worker of a thread (aim: at least 1.7 times)
               and against one worker of two threads
    memory     two workers on a set, and on one four times as large: how much more memory they take, in copies of what
               the larger set has more. Decoded pictures, flow and sound are read from raw shards through the page cache, which
               is one for all processes of a machine: 0 copies in theirs (aim: at most a quarter)

Contestants are whole commands, elo proxy-search on the demo's videos, and take turns: A B C A B C …. All weights of their
losses are positive, so that all candidates cost the same. A candidate's seconds are of those that began in a worker that was
there already and ended while all others were at work; "with start-up" is the ratio of whole commands, from the start of
Python to the leaderboard. Two processors at least must be free.
"""

import argparse
import contextlib
import functools
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from elo_cli.config import resolve
from elo_cli.run.environment import processors
from elo_cli.workflows import preprocess
from elo_cli.workflows.demo import HEAP, make_videos
from elo_cli.workflows.events import Unwatched
from tests.perf.bench import tell
from tests.perf.process import Run, measure, python
from tests.perf.report import Row, machine, show

MIB = 2**20
TWO, ONE, WIDE = "two workers, a thread each", "one worker, a thread", "one worker, two threads"
CONTESTANTS = {TWO: (2, 1), ONE: (1, 1), WIDE: (1, 2)}  # workers, and threads of each
AIM_WORKERS, AIM_COPIES = 1.7, 0.25


@dataclass(frozen=True)
class Search:
    """What a contestant does.

    Attributes:
        candidates: how many.
        steps: of each.
    """

    candidates: int
    steps: int

    def run(self, root: Path, workers: int, threads: int, look: Callable[[Collection[int]], None] | None = None) -> Run:
        """Search on a preprocessed set; `told` gets the `seconds` of a candidate."""
        with tempfile.TemporaryDirectory() as folder:
            given = {"machine.threads": threads, "proxy.steps": self.steps, "search.workers": workers}
            chosen = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
            line = ["proxy-search", "--preset", "demo", "--candidates", self.candidates, "--data", root.absolute(), "--json"]
            run = measure(python("elo_cli", *line, "--out", Path(folder) / "run", *chosen), look=look)
            run.told["seconds"] = seconds_of_one((Path(folder) / "run" / "log.jsonl").read_text(), workers)
        return run


def seconds_of_one(log: str, workers: int) -> float:
    """Return the mean seconds of a candidate, by a journal of a search, while all workers are at work."""
    rows = [row for row in map(json.loads, log.splitlines()) if "seconds" in row and "number" in row]
    ended = sorted(rows, key=lambda row: row["time"])
    # The first of each worker wait for its start, and the last ones have the machine to themselves.
    steady = ended[workers : len(ended) - workers + 1]
    return statistics.fmean(row["seconds"] for row in steady)


def made(cache: Path, heap: int) -> tuple[Path, Path]:
    """Make and preprocess the demo's videos, and every fourth of them alone; what is there is kept."""
    work = cache / f"searching-{heap}"
    make_videos(work / "videos", work / "labelled", 0, Unwatched(), number=heap, examples=1)
    for number, path in enumerate(sorted((work / "videos").rglob("*.mp4"))):
        link = work / "few" / path.relative_to(work / "videos")
        if number % 4 == 0 and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, link)
    settings = resolve("demo", None, [], 0)
    for name in ("videos", "few"):
        preprocess.run(settings=settings, source=work / name, out=work / f"set-{name}", fresh=False, watch=Unwatched())
    return work / "set-videos", work / "set-few"


def side_by_side(root: Path, search: Search, rounds: int) -> list[Row]:
    """Two workers against one, and against one of two threads."""
    runs: dict[str, list[Run]] = {name: [] for name in CONTESTANTS}
    for number in range(rounds):
        for name, (workers, threads) in CONTESTANTS.items():
            run = search.run(root, workers, threads)
            runs[name].append(run)
            each = run.told["seconds"]
            tell(f"round {number + 1} of {rounds}: {name}: {each:.2f} s a candidate, {run.seconds:.1f} s in all")
    # Seconds between the ends of two candidates: with two workers half of what one takes.
    between = {name: [run.told["seconds"] / CONTESTANTS[name][0] for run in those] for name, those in runs.items()}
    hourly = {name: 3600 / statistics.median(those) for name, those in between.items()}
    rows = []
    for rival, aim in ((ONE, AIM_WORKERS), (WIDE, None)):
        values = tuple(theirs / ours for ours, theirs in zip(between[TWO], between[rival], strict=True))
        gross = tuple(theirs.seconds / ours.seconds for ours, theirs in zip(runs[TWO], runs[rival], strict=True))
        peaks = [max(run.tree_mib for run in runs[name]) for name in (TWO, rival)]
        ours, theirs = (f"{name}: {hourly[name]:.0f} candidates an hour" for name in (TWO, rival))
        seconds = (between[TWO], between[rival])
        rows.append(Row(ours, theirs, values, gross=gross, seconds=seconds, mib=(peaks[0], peaks[1]), aim=aim))
    return rows


class WorkersMemory:
    """The memory of worker processes in MiB: the largest that all of them together had at one moment.

    Attributes:
        pss: each page divided among the processes that share it, so that nothing counts twice.
        rss: each page counted for every process.
    """

    def __init__(self) -> None:
        self.pss = self.rss = 0.0
        self._next = 0.0

    def look(self, processes: Collection[int]) -> None:
        """Look at the workers among some processes, at most twice a second: the system counts pages for each look."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.5
        pss = rss = 0.0
        for process in processes:
            with contextlib.suppress(OSError):
                if b"spawn_main" not in Path(f"/proc/{process}/cmdline").read_bytes():
                    continue
                lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
                kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines[1:]}
                pss, rss = pss + kib["Pss"] / 1024, rss + kib["Rss"] / 1024
        self.pss, self.rss = max(self.pss, pss), max(self.rss, rss)


def memory(roots: tuple[Path, Path], search: Search, rounds: int) -> list[Row]:
    """How the memory of two workers grows with the set."""
    shards = [list(root.rglob("*.safetensors")) for root in roots]
    large, small = (sum(path.stat().st_size for path in paths) / MIB for paths in shards)
    found: dict[Path, list[WorkersMemory]] = {root: [] for root in roots}
    for number in range(rounds):
        for root, mib in zip(roots, (large, small), strict=True):
            seen = WorkersMemory()
            search.run(root, 2, 1, seen.look)
            found[root].append(seen)
            tell(f"round {number + 1} of {rounds}: a set of {mib:.0f} MiB: workers take {seen.pss:.0f} MiB, PSS")
    pss = [[seen.pss for seen in those] for those in found.values()]
    rss = tuple(seen.rss for seen in found[roots[0]])
    copies = tuple((more - less) / (large - small) for more, less in zip(*pss, strict=True))
    what, rival = f"two workers, a set of {large:.0f} MiB", f"a set of {small:.0f} MiB"
    return [
        Row(what, rival, copies, "copies of what is more", mib=(max(pss[0]), max(pss[1])), aim=AIM_COPIES),
        Row(f"{what}: what they take (PSS)", "nothing counted twice", tuple(pss[0]), "MiB"),
        Row(f"{what}: resident (RSS)", "what they share counted twice", rss, "MiB"),
        in_page_cache(shards[0], large),
    ]


def in_page_cache(paths: list[Path], mib: float) -> Row:
    """How much of some files the page cache holds, as util-linux's fincore counts it."""
    what, rival = "of this set in the page cache, afterwards", f"its {mib:.0f} MiB"
    if shutil.which("fincore") is None:
        return Row(what, rival, note="fincore of util-linux is not installed")
    told = measure(["fincore", "--json", "--bytes", "--output", "RES", *map(str, paths)]).told
    return Row(what, rival, (sum(int(entry["res"]) for entry in told["fincore"]) / MIB,), "MiB")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.perf.searching", description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "elo-perf", metavar="DIR",
                        help="where made videos are kept (default %(default)s)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="few videos, one round, few steps: to see that it works")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="rounds (default %(default)s)")
    parser.add_argument("--only", nargs="+", choices=["workers", "memory"], default=["workers", "memory"], help="these parts")
    given = parser.parse_args()
    about, rounds = machine(), 1 if given.quick else given.repeat
    print(f"{about['processor']}, {processors()} processors, torch {about['packages'].get('torch')}")
    if processors() < 2:
        sys.exit("Two workers need two processors.")
    roots = made(given.cache.absolute(), 60 if given.quick else HEAP)
    search = Search(5, 4) if given.quick else Search(8, 20)
    sections: dict[str, Callable[[], list[Row]]] = {
        "workers": functools.partial(side_by_side, roots[0], search, rounds),
        "memory": functools.partial(memory, roots, Search(4, search.steps), 1),
    }
    for part in given.only:
        show(part, sections[part]())


if __name__ == "__main__":
    main()
