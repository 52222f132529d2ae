"""Measure a training step: `python -m tests.perf.training`.

    the whole loss     forward and backward of all terms, against the sum of one forward and backward for each view
                       that an encoder must see; aim: at most 1.25 times
    a term of weight 0 one term with all the others at 0, against it alone: time, and memory of a process of its own;
                       aim: the same. That the numbers are the same too is for tests/engine/test_objective.py
    data               the share of a step spent waiting for clips, with the default loader on raw shards; aim: 5%
    each term alone    against one forward and backward of the RGB encoder

Contestants take turns in one process, and a ratio is of one round. The material is that of `tests.perf.alive`.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from elo_cli.config import resolve
from elo_cli.core.clip import View
from elo_cli.core.settings import Settings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import loader_workers, make_training
from elo_cli.engine.views import make_view
from elo_cli.run.environment import processors
from elo_cli.tasks import all_terms
from tests.perf.alive import videos_of
from tests.perf.process import measure, python
from tests.perf.report import Row, machine, show
from tests.support.shards import loss

Contestant = Callable[[], None]
TITLES = {"whole": "the whole loss", "zeros": "terms of weight 0", "data": "data", "each": "each term alone"}


def turns(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Run each once unmeasured, then all in turn; return their seconds."""
    for contestant in contestants.values():
        contestant()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, contestant in contestants.items():
            begun = time.perf_counter()
            contestant()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
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
        self.batch = self.training.send(self.training.clips[0])
        self.training.objective.train()

    def step(self) -> None:
        """The whole loss, forward and backward."""
        self._clear()
        with self.training.precision.autocast():
            total = self.training.objective(self.batch, 0).total
        torch.autograd.backward(total)

    def view(self, view: View) -> Contestant:
        """One view through its encoder, forward and backward of its vector."""
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
    return [
        Row(
            f"{len(measured.training.objective.terms)} terms, forward and backward", f"{len(views)} views, each alone",
            ratios(whole, passes), "%", seconds=(whole, passes), aim=25.0,
        )
    ]  # fmt: skip


def one_term(settings: Settings, *, zeros: bool) -> LossWeights:
    """The last term at 1, alone or with all the others at 0."""
    *others, last = all_terms(settings.objective)
    return LossWeights({last: 1.0} | (dict.fromkeys(others, 0.0) if zeros else {}))


def zeros(given: argparse.Namespace, settings: Settings, videos: VideoSet, rounds: int) -> list[Row]:
    """What terms of weight 0 cost, in time and in memory."""
    both = {"beside": one_term(settings, zeros=True), "alone": one_term(settings, zeros=False)}
    timed = turns({name: Measured(those, settings, videos).step for name, those in both.items()}, 3 * rounds)
    [term] = both["alone"].active()
    command = python("tests.perf.training", "--cache", given.cache.absolute(), "--preset", given.preset, "--only")
    peaks = tuple(measure([*command, f"{name}-steps"]).tree_mib for name in both)
    return [
        Row(
            f"{term} with {len(both['beside'].to_names()) - 1} others at 0", f"{term} alone",
            ratios(timed["beside"], timed["alone"]), "%", seconds=(timed["beside"], timed["alone"]), mib=(peaks[0], peaks[1]),
            aim=2.0,
        )
    ]  # fmt: skip


def waiting(settings: Settings, videos: VideoSet, steps: int) -> list[Row]:
    """The share of a step that is spent on waiting for clips: under all terms, and under one that costs little."""
    given, rows = settings.pretrain.model_copy(update={"steps": steps}), []
    losses = {"all terms": LossWeights.uniform(all_terms(settings.objective)), "rgb.reverse": loss(rgb__reverse=1.0)}
    for name, weights in losses.items():
        precision = Precision.choose(settings.machine)
        training = make_training(weights, given, settings.objective, videos, seed=0, precision=precision)
        records = list(training.run(loader_workers(settings.machine, precision)))[3:]
        shares = tuple(100 * record.waiting / record.seconds for record in records)
        seconds = ([record.waiting for record in records], [record.seconds for record in records])
        rows.append(Row("waiting for clips", f"a step of {name}", shares, "%", seconds=seconds, aim=5.0))
    return rows


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
    parser = argparse.ArgumentParser(prog="python -m tests.perf.training", description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "elo-perf", metavar="DIR",
                        help="where made videos are kept (default %(default)s)")  # fmt: skip
    parser.add_argument("--preset", default="small", help="clips, encoders and losses (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one round, five steps: to see that it works")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="rounds (default %(default)s)")
    parts = ("whole", "zeros", "data", "each")
    parser.add_argument("--only", nargs="+", default=parts, choices=[*parts, "alone-steps", "beside-steps"], help="these parts")
    given = parser.parse_args()
    settings, rounds = resolve(given.preset, None, [], 0), 1 if given.quick else given.repeat
    videos, _ = videos_of(given.cache / f"training-{given.preset}", settings)
    if given.only[0].endswith("-steps"):  # the process whose memory is measured
        measured = Measured(one_term(settings, zeros=given.only[0] == "beside-steps"), settings, videos)
        for _ in range(3):
            measured.step()
        return
    clip, encoder = settings.pretrain.clip, settings.pretrain.encoder
    print(
        f"{machine()['processor']}, {processors()} processors, torch {torch.__version__},"
        f" {Precision.choose(settings.machine).describe()}; {settings.pretrain.batch} clips of {clip.frames}×{clip.size}²,"
        f" depth {encoder.depth}, width {encoder.width}"
    )
    sections: dict[str, Callable[[], list[Row]]] = {
        "whole": lambda: whole_loss(settings, videos, rounds),
        "zeros": lambda: zeros(given, settings, videos, rounds),
        "data": lambda: waiting(settings, videos, 5 if given.quick else 15),
        "each": lambda: sorted(each_term(settings, videos, rounds), key=lambda row: statistics.median(row.values)),
    }
    for part in given.only:
        show(TITLES[part], sections[part]())


if __name__ == "__main__":
    main()
