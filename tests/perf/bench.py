"""What every measurement works with: elo and its rivals as contestants, run in turns."""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from elo_cli.core.settings import PreprocessSettings
from elo_cli.data.video_set import VideoSet
from tests.perf.material import tiny_clips
from tests.perf.process import Run, measure, python

Which = Literal["net", "gross", "cpu"]
GIVEN = PreprocessSettings.model_validate({})  # the defaults
RGB = {"flow": "none", "audio": "false", "workers": 1, "max_segments": 10_000}  # every frame, pictures only


@dataclass
class Material:
    """Videos that are measured, with what elo makes of them.

    Attributes:
        name: in words.
        source: the folder.
        root: its preprocessed set, RGB only, every frame.
        picks: a JSON file that lists for each video of the set its `path`, the times of the stored frames after
            the first one (`times_s`), their `height` and `width`: what a rival must make.
        files: how many of them elo could use.
    """

    name: str
    source: Path
    root: Path
    picks: Path
    files: int


@dataclass
class Times:
    """The rounds of one contestant, a number for each.

    Attributes:
        net: seconds without the start of processes.
        gross: seconds with it.
        cpu: processor seconds without it; other programs of a busy machine change them less.
        frames: how many pictures it made in each round.
        mib: peak of its processes.
    """

    net: list[float]
    gross: list[float]
    cpu: list[float]
    frames: int
    mib: float

    def against(self, rival: "Times", which: Which = "net") -> tuple[float, ...]:
        """Return how many times as fast as a rival this is, by pictures a second, one number a round."""
        pairs = zip(getattr(self, which), getattr(rival, which), strict=True)
        return tuple(theirs / rival.frames / (ours / self.frames) for ours, theirs in pairs)

    def more_than(self, less: "Times", which: Which = "net") -> tuple[float, ...]:
        """Return how many per cent more time for each picture than `less` this takes."""
        return tuple(100 * (1 / ratio - 1) for ratio in self.against(less, which))


@dataclass
class Bench:
    """The machine and what is measured on it.

    Attributes:
        cache: where material is kept.
        work: a folder for what is written while measuring.
        rounds: how often each contestant runs.
        core: the processor that measurements of one worker are held to.
        quick: less material.
        runs: every run, for the JSON file.
        one, few: one tiny clip, and ten: what a run over these takes is the start of its processes.
    """

    cache: Path
    work: Path
    rounds: int
    core: int
    quick: bool
    runs: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def one(self) -> Material:
        return self.material("one tiny clip", tiny_clips(self.cache, 1))

    @cached_property
    def few(self) -> Material:
        return self.material("ten tiny clips", tiny_clips(self.cache, 10))

    def material(self, name: str, source: Path) -> Material:
        """Preprocess a folder once, unmeasured: it warms the page cache and says which frames elo stores."""
        root = Path(tempfile.mkdtemp(dir=self.work)) / "set"
        self.preprocess(source, RGB, None, root)
        picks = []
        for video in VideoSet(root).videos:
            records = [segment.record for segment in video.segments]
            times_s = [record.start_s + index / GIVEN.fps for record in records for index in range(record.frames)]
            size = {"height": records[0].height, "width": records[0].width}
            picks.append({"path": str(source.absolute() / video.id), "times_s": times_s, **size})
        listed = root.with_name("picks.json")
        listed.write_text(json.dumps(picks))
        return Material(name, source, root, listed, len(picks))

    def preprocess(self, source: Path, settings: Mapping[str, object], core: int | None, out: Path) -> Run:
        """Run `elo preprocess` as a user would."""
        chosen = [word for key, value in settings.items() for word in ("--set", f"preprocess.{key}={value}")]
        return measure(python("elo_cli", "preprocess", source.absolute(), "--out", out, "--json", *chosen), core=core)

    def turns(self, contestants: Mapping[str, Callable[[], Run]], about: str) -> dict[str, list[Run]]:
        """Run every contestant in turn, A B C A B C …, and return the runs of each."""
        runs: dict[str, list[Run]] = {name: [] for name in contestants}
        for number in range(self.rounds):
            for name, contestant in contestants.items():
                run = contestant()
                runs[name].append(run)
                self.runs.append({"about": about, "contestant": name, "round": number, **asdict(run)})
                tell(f"{about}, round {number + 1} of {self.rounds}: {name}: {run.seconds:.2f} s")
        return runs

    def elo(self, material: Material, core: int | None = None, **settings: object) -> Callable[[], Run]:
        """Make a contestant of elo with the given settings on top of RGB only; what it writes goes to the disk of `work`."""

        def contestant() -> Run:
            with tempfile.TemporaryDirectory(dir=self.work) as folder:
                run = self.preprocess(material.source, RGB | settings, core, Path(folder) / "set")
                run.told["frames"] = sum(
                    segment.record.frames for video in VideoSet(Path(folder) / "set").videos for segment in video.segments
                )
            return run

        return contestant

    def rival(self, name: str, material: Material, *arguments: object) -> Callable[[], Run]:
        """Make a contestant of `tests.perf.rivals`."""
        return lambda: measure(python("tests.perf.rivals", name, material.picks, *arguments), core=self.core)


def elo_times(runs: Sequence[Run], starts: Sequence[Run]) -> Times:
    """Times of elo: each run less the median of the runs over tiny clips; and the whole of it."""
    start, start_cpu = (statistics.median(values) for values in ([s.seconds for s in starts], [s.cpu_s for s in starts]))
    gross, net = [run.seconds for run in runs], [run.seconds - start for run in runs]
    cpu = [run.cpu_s - start_cpu for run in runs]
    return Times(net, gross, cpu, runs[0].told["frames"], max(run.tree_mib for run in runs))


def bare_times(runs: Sequence[Run]) -> Times:
    """Times of the bare loop: by its own clock, and the whole process."""
    net, gross, cpu = [run.told["seconds"] for run in runs], [run.seconds for run in runs], [run.told["cpu_s"] for run in runs]
    return Times(net, gross, cpu, runs[0].told["frames"], max(run.tree_mib for run in runs))


def ffmpeg_times(runs: Sequence[Run], start: Mapping[str, float]) -> Times:
    """Times of ffmpeg: what all its processes take, less `start` of `seconds` and `cpu_s`; and all of it."""
    gross = [run.told["seconds"] for run in runs]
    net, cpu = ([run.told[clock] - start.get(clock, 0.0) for run in runs] for clock in ("seconds", "cpu_s"))
    return Times(net, gross, cpu, runs[0].told["frames"], max(run.worker_mib for run in runs))


def tell(line: str) -> None:
    """Say on stderr how far the measurement has come."""
    print(line, file=sys.stderr, flush=True)
