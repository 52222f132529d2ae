"""Measure a training step: `python -m tests.perf.training --work DIR`.

    the whole loss     forward and backward of all terms, against the sum of one forward and backward for each view
                       that an encoder must see; aim: at most 1.25 times
    a term of weight 0 the loss of one term with and without all the others at 0; aim: the same
    data               the share of a step spent waiting for clips, with the default loader on raw shards; aim: 5%
    each term alone    against one forward and backward of the RGB encoder (`--each`)

Contestants take turns in one process, and a ratio is of one round. The material is that of `tests.perf.alive`.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from elo_cli.config import resolve
from elo_cli.core.clip import View
from elo_cli.core.settings import Settings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.loop import Training
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import make_training
from elo_cli.engine.views import make_view
from elo_cli.run.environment import processors
from elo_cli.tasks import all_terms
from elo_cli.workflows.candidate import loader_workers
from tests.perf.alive import videos_of
from tests.perf.report import Row, show

Contestant = Callable[[], None]


def turns(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Run each once unmeasured, then all in turn; return their seconds."""
    for contestant in contestants.values():
        contestant()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            begun = time.perf_counter()
            contestant()
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def ratios(ours: list[float], theirs: list[float]) -> tuple[float, ...]:
    """How many per cent more time ours takes, round by round."""
    return tuple(100 * (one / other - 1) for one, other in zip(ours, theirs, strict=True))


class Measured:
    """One training, its first batch, and what is timed of it."""

    def __init__(self, weights: LossWeights, settings: Settings, videos: VideoSet) -> None:
        precision = Precision.choose(settings.machine)
        self.training = make_training(weights, settings.pretrain, settings.objective, videos, seed=0, precision=precision)
        self.batch = self.training.clips[0]
        self.training.objective.train()

    def step(self) -> None:
        """The whole loss, forward and backward."""
        self._clear()
        with self.training.precision.autocast():
            total = self.training.objective(self.batch, 0).total
        torch.autograd.backward(total)

    def view(self, view: View) -> Contestant:
        """One view through its encoder, forward and backward of what terms read: its stages and its vector."""
        encoder, seen = self.training.objective.encoders[view.modality], make_view(self.batch, view, 0, 0)

        def run() -> None:
            self._clear()
            with self.training.precision.autocast():
                encoding = encoder(seen)
            torch.autograd.backward(encoding.vector_BD.sum())

        return run

    def _clear(self) -> None:
        for parameter in self.training.objective.parameters():
            parameter.grad = None


def whole_loss(settings: Settings, videos: VideoSet, rounds: int) -> list[Row]:
    """All terms against the passes that they need."""
    measured = Measured(LossWeights.uniform(all_terms(settings.objective)), settings, videos)
    views = sorted(measured.training.objective.views)
    contestants = {"all": measured.step} | {f"{view}": measured.view(view) for view in views}
    seconds = turns(contestants, rounds)
    whole = seconds.pop("all")
    passes = [sum(those) for those in zip(*seconds.values(), strict=True)]
    rows = [
        Row(
            f"{len(measured.training.objective.terms)} terms, forward and backward", f"{len(views)} views, each alone",
            ratios(whole, passes), "%", seconds=(whole, passes), aim=25.0,
        )
    ]  # fmt: skip
    first = all_terms(settings.objective)[-1]
    alone = LossWeights({first: 1.0})
    beside = LossWeights({term: 1.0 if term == first else 0.0 for term in all_terms(settings.objective)})
    both = {"alone": alone, "beside": beside}
    timed = turns({name: Measured(those, settings, videos).step for name, those in both.items()}, 3 * rounds)
    more, pair = ratios(timed["beside"], timed["alone"]), (timed["beside"], timed["alone"])
    return [*rows, Row(f"{first} with all others at 0", f"{first} alone", more, "%", seconds=pair, aim=2.0)]


def waiting(settings: Settings, videos: VideoSet, steps: int) -> list[Row]:
    """The share of a step that is spent on waiting for clips."""
    given = settings.pretrain.model_copy(update={"steps": steps})
    training: Training = make_training(
        LossWeights.uniform(all_terms(settings.objective)), given, settings.objective, videos, seed=0,
        precision=Precision.choose(settings.machine),
    )  # fmt: skip
    records = list(training.run(loader_workers(settings)))[3:]
    shares = tuple(100 * record.waiting / record.seconds for record in records)
    seconds = ([record.waiting for record in records], [record.seconds for record in records])
    return [Row("waiting for clips", "a step with all terms", shares, "%", seconds=seconds, aim=5.0)]


def each_term(settings: Settings, videos: VideoSet, rounds: int) -> list[Row]:
    """Every term alone against one pass of RGB."""
    rows = []
    rgb = Measured(LossWeights({Term.parse("rgb.reconstruct"): 1.0}), settings, videos)
    for term in all_terms(settings.objective):
        measured = Measured(LossWeights({term: 1.0}), settings, videos)
        seconds = turns({"term": measured.step, "rgb": rgb.view(View("rgb"))}, rounds)
        values = tuple(one / other for one, other in zip(seconds["term"], seconds["rgb"], strict=True))
        rows.append(Row(str(term), "RGB once", values, "×", seconds=(seconds["term"], seconds["rgb"])))
    return rows


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for videos and shards")
    parser.add_argument("--preset", default="small", help="clips, encoders and losses (default: small)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=15, help="steps over which waiting is measured")
    parser.add_argument("--each", action="store_true", help="every term alone, too")
    parser.add_argument("--set", nargs="+", default=[], help="settings, KEY=VALUE")
    given = parser.parse_args()
    settings = resolve(given.preset, None, given.set, 0)
    videos, _ = videos_of(given.work, settings)
    clip, encoder = settings.pretrain.clip, settings.pretrain.encoder
    print(
        f"{platform.processor() or platform.machine()}, {processors()} processors, torch {torch.__version__},"
        f" {Precision.choose(settings.machine).describe()}, {os.cpu_count()} processors there; {settings.pretrain.batch} clips of"
        f" {clip.frames}×{clip.size}², depth {encoder.depth}, width {encoder.width}"
    )
    show("the whole loss", whole_loss(settings, videos, given.rounds))
    show("data", waiting(settings, videos, given.steps))
    if given.each:
        rows = each_term(settings, videos, given.rounds)
        show("each term alone", sorted(rows, key=lambda row: statistics.median(row.values)))


if __name__ == "__main__":
    main()
