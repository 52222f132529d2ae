"""Measure the training engine against others: `python -m tests.perf.engine`.

    rival      a training step of the RGB encoder, forward, backward and optimiser, against the loop that people write
               with torchvision's r2plus1d_18 in float32 and the default layout, on the same clips; aim: 5 times as fast
               where the processor has instructions for bfloat16
    options    the same step with settings that save memory or make code: what each costs and what it saves
    ranks      a batch over two processes of one thread, joined by gloo, against one process of two threads; aim: 0.9
               of its speed

Every contestant is a process of its own, so that none has the other's memory allocator, and they take turns; a ratio is
of one round. A process tells the median of its steps after the first two.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from elo_cli import dist
from elo_cli.cli.launching import free_port
from elo_cli.config import resolve
from elo_cli.core.clip import Source
from elo_cli.core.settings import Settings
from elo_cli.core.weights import LossWeights
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import make_training
from elo_cli.engine.trial import noise
from elo_cli.run.environment import processors
from elo_cli.tasks import all_terms
from tests.perf.alive import videos_of
from tests.perf.process import ROOT, python
from tests.perf.report import Row, machine, show
from tests.support.ranks import announcement
from tests.support.shards import loss

WARMING = 2  # steps that are not counted
OPTIONS = {
    "accumulate=2": ["pretrain.accumulate=2"],
    "accumulate=4": ["pretrain.accumulate=4"],
    "recompute": ["pretrain.recompute=true"],
    "machine.compile": ["machine.compile=true"],
    "float32": ["machine.precision=float32"],
    "contiguous": ["machine.layout=contiguous"],
}
TITLES = {"rival": "RGB against a plain loop", "options": "options of the step", "ranks": "two processes"}


def clips_of(clips: int, frames: int, size: int) -> torch.Tensor:
    """Make clips of noise."""
    return torch.randn(clips, 3, frames, size, size, generator=torch.Generator().manual_seed(0))


def timed(step: Callable[[int], object], steps: int) -> None:
    """Run a step a few times and tell how long it takes, and the peak of this process in MiB."""
    seconds = []
    for number in range(WARMING + steps):
        begun = time.perf_counter()
        step(number)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    card = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
    print(json.dumps({"seconds": statistics.median(seconds[WARMING:]), "mib": peak, "card_mib": card}))


def plain(given: argparse.Namespace) -> None:
    """The loop that people write: forwards or backwards, as `rgb.reverse` asks."""
    from torch import nn
    from torchvision.models.video import r2plus1d_18

    torch.set_num_threads(processors())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = r2plus1d_18(num_classes=2).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    clean = clips_of(given.clips, *given.clip).to(device)
    label_B = torch.arange(2, device=device).repeat_interleave(given.clips)

    def step(number: int) -> None:
        optimizer.zero_grad()
        cost = nn.functional.cross_entropy(model(torch.cat([clean, clean.flip(2)])), label_B)
        cost.backward()
        optimizer.step()

    timed(step, given.steps)


def settings_of(given: argparse.Namespace) -> Settings:
    """Elo's settings for the same networks and clips."""
    frames, size = given.clip
    clip = [
        f"pretrain.clip.frames={frames}",
        f"pretrain.clip.size={size}",
        f"pretrain.encoder={{depth: {given.depth}, width: 64}}",
    ]
    return resolve(None, None, [*clip, f"pretrain.batch={given.clips}", *given.set], 0)


def ours(given: argparse.Namespace) -> None:
    """The same with elo: `rgb.reverse` alone."""
    settings, videos = settings_of(given), VideoSet(given.data)
    precision = Precision.choose(settings.machine)
    training = make_training(loss(rgb__reverse=1.0), settings.pretrain, settings.objective, videos, seed=0, precision=precision)
    frames, size = given.clip
    batch = noise({Source("rgb"): (3, frames, size, size)}, given.clips, len(videos.videos))
    training.objective.train()
    timed(lambda number: training.step(training.send(batch), number), given.steps)


def rank(given: argparse.Namespace) -> None:
    """A training of all terms of the preset, in as many processes as were announced."""
    settings, videos = resolve(given.preset, None, given.set, 0), VideoSet(given.data)
    precision = Precision.choose(settings.machine)
    weights = LossWeights.uniform(all_terms(settings.objective))
    with dist.joined(precision.device):
        training = make_training(weights, settings.pretrain, settings.objective, videos, seed=0, precision=precision)
        records = training.run(0)
        timed(lambda number: next(records), given.steps)


def tell(
    given: argparse.Namespace, worker: str, data: Path, *more: str, ranks: int = 1, assign: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Run a contestant to its end in processes of its own; return what the first one told."""
    command = [
        *python("tests.perf.engine", "--worker", worker, "--data", data, "--steps", given.steps, "--preset", given.preset),
        *more,
    ]
    command += ["--set", *assign] if assign else []
    port = free_port()
    running = []
    for number in range(ranks):
        told = announcement(number, ranks, port) if ranks > 1 else {}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ELO_")}
        environment |= {"PYTHONPATH": str(ROOT)} | told
        running.append(subprocess.Popen(command, env=environment, cwd=tempfile.gettempdir(), stdout=subprocess.PIPE, text=True))
    said = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise RuntimeError(f"{' '.join(map(str, command))} failed")
    found: dict[str, Any] = json.loads(said[0].splitlines()[-1])
    return found


def rivals(given: argparse.Namespace, data: Path) -> list[Row]:
    """Elo's step against the plain one, on small clips and on those of the paper's proxies."""
    rows = []
    has_bf16 = Precision.choose(resolve(None, None, [], 0).machine).bf16
    for frames, size, clips in ((8, 56, 16), (16, 112, 2)):
        wanted = ("--clip", str(frames), str(size), "--clips", str(clips))
        rounds = [(tell(given, "ours", data, *wanted), tell(given, "plain", data, *wanted)) for _ in range(given.repeat)]
        one, other = ([each[side] for each in rounds] for side in (0, 1))
        rows.append(
            Row(
                f"{2 * clips} clips of {frames}×{size}², elo", "the plain loop, float32",
                tuple(theirs["seconds"] / mine["seconds"] for mine, theirs in rounds),
                seconds=([each["seconds"] for each in one], [each["seconds"] for each in other]),
                mib=(one[0]["mib"], other[0]["mib"]), aim=5.0 if has_bf16 else None,
            )
        )  # fmt: skip
    return rows


def options(given: argparse.Namespace, data: Path) -> list[Row]:
    """What settings cost or save."""
    rows, wanted = [], ("--clip", "8", "56", "--clips", "16")
    for name, assign in OPTIONS.items():
        rounds = [
            (tell(given, "ours", data, *wanted, assign=tuple(assign)), tell(given, "ours", data, *wanted))
            for _ in range(given.repeat)
        ]
        one, other = ([each[side] for each in rounds] for side in (0, 1))
        percents = tuple(100 * (mine["seconds"] / theirs["seconds"] - 1) for mine, theirs in rounds)
        seconds = ([each["seconds"] for each in one], [each["seconds"] for each in other])
        rows.append(Row(name, "the default", percents, "%", seconds=seconds, mib=(one[0]["mib"], other[0]["mib"])))
    return rows


def together(given: argparse.Namespace, data: Path) -> list[Row]:
    """Two ranks against one process, as clips a second."""
    rounds = [(tell(given, "rank", data, ranks=2), tell(given, "rank", data)) for _ in range(given.repeat)]
    one, other = ([each[side]["seconds"] for each in rounds] for side in (0, 1))
    values = tuple(theirs / mine for mine, theirs in zip(one, other, strict=True))
    mib = (2 * rounds[0][0]["mib"], rounds[0][1]["mib"])
    return [Row("two processes, gloo", "one process, two threads", values, seconds=(one, other), mib=mib, aim=0.9)]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.perf.engine", description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "elo-perf", metavar="DIR",
                        help="where made videos are kept (default %(default)s)")  # fmt: skip
    parser.add_argument("--preset", default="small", help="of the training over ranks (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round of two steps: to see that it works")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="rounds (default %(default)s)")
    parser.add_argument("--steps", type=int, default=5, metavar="N", help="steps of a process that count (default %(default)s)")
    parser.add_argument("--only", nargs="+", default=tuple(TITLES), choices=TITLES, help="these parts")
    parser.add_argument("--worker", choices=["ours", "plain", "rank"], help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--clip", type=int, nargs=2, default=(8, 56), help=argparse.SUPPRESS)
    parser.add_argument("--clips", type=int, default=16, help=argparse.SUPPRESS)
    parser.add_argument("--depth", type=int, default=18, help=argparse.SUPPRESS)
    parser.add_argument("--set", nargs="+", default=[], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        {"ours": ours, "plain": plain, "rank": rank}[given.worker](given)
        return
    if given.quick:
        given.repeat, given.steps = 1, 2
    settings = resolve(given.preset, None, [], 0)
    data = videos_of((given.cache / f"training-{given.preset}").absolute(), settings)[0].root
    print(
        f"{machine()['processor']}, {processors()} processors, torch {torch.__version__},"
        f" {Precision.choose(settings.machine).describe()}"
    )
    parts: dict[str, Callable[[argparse.Namespace, Path], list[Row]]] = {"rival": rivals, "options": options, "ranks": together}
    for part in given.only:
        show(TITLES[part], parts[part](given, data))


if __name__ == "__main__":
    main()
