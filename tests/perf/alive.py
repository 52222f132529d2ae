"""Prove each task alive: train every term alone, and measure it on clips that it has not seen.

    python -m tests.perf.alive                              # all terms; or: nox -s alive
    python -m tests.perf.alive --terms 'rgb.*' --steps 200 --seeds 0 1 2

The videos are scenes like those of `elo demo`, but restless: one moment differs from another and the past from the
future, and pictures, motion and sound tell of one another (elo_cli/prepare/restless.py), as they do in the world.
Training sees the heap, and what is measured are the labelled ones. Each family has its own measure, and a margin: so far
beyond what guessing gets, and beyond what a control gets that did not learn, counts as having learned.

    shuffle, reverse, align        accuracy; guessing 50%, margin 5%
    reconstruct, predict, transfer error: squared error over that of the training clips' mean; guessing 1, margin 0.03
    distill                        error, of the teacher's activations; guessing 1, margin 0.03
    embed                          retrieval: how often the right one of 32 videos is nearest; guessing 1/32, margin 1/32
    cluster                        own cluster: how often other clips of training videos are put where their video is;
                                   guessing is the largest cluster's share, margin a tenth of that;
                                   agreement of an unseen clip's cluster with the motion that it shows (adjusted mutual
                                   information; guessing 0, margin 0.01)
    aggregate                      own place: how often another clip of a training video is nearest to that video; guessing
                                   is one among all N videos, margin 2/N;
                                   neighbour: how often the nearest unseen clip of another video shows the same motion;
                                   told, not asked

The control is the network before its first step; for cluster and aggregate, which a bank of vectors serves, it is one whose
encoder is frozen while its bank fills and its head learns: a random encoder knows many videos again.

A term is trained for 300 steps, but for two that need 900: distillation from flow, where RGB must tell the motion that an
untrained teacher sees, and aggregation of flow.
A report is a JSON file for each term and seed, so that a second start goes on where the first stopped. The exit code
is 1 where something did not learn.
"""

import argparse
import fnmatch
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from elo_cli.config import resolve
from elo_cli.core.settings import Settings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import Objective
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import make_training
from elo_cli.tasks import all_terms
from elo_cli.workflows import preprocess
from elo_cli.workflows.demo import make_videos
from elo_cli.workflows.events import Unwatched
from tests.perf.unseen import measure


def videos_of(work: Path, settings: Settings) -> tuple[VideoSet, VideoSet]:
    """Make and preprocess restless scenes: the heap that is trained on, and the labelled ones."""
    make_videos(work / "videos", work / "labelled", 0, Unwatched(), restless=True)
    for name in ("videos", "labelled"):
        preprocess.run(settings=settings, source=work / name, out=work / f"set-{name}", fresh=False, watch=Unwatched())
    return VideoSet(work / "set-videos"), VideoSet(work / "set-labelled")


def steps_of(term: Term) -> int:
    """How long a term is trained unless told otherwise."""
    return 900 if term.task in ("distill", "aggregate") and "flow" in term.modalities else 300


def settings_of(arguments: argparse.Namespace, seed: int, steps: int) -> Settings:
    """The demo's settings, with all terms."""
    changes = ["objective.modalities=[rgb, grey, flow, audio]", "objective.terms=['*']", f"pretrain.steps={steps}"]
    changes += [f"objective.{task}.{what}" for task in ("cluster", "aggregate") for what in ("number=24", "every=100")]
    return resolve("demo", None, [*changes, *arguments.set], seed)


def main() -> None:
    """Train and measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "elo-perf" / "alive", metavar="DIR",
                        help="folder for videos, shards and reports (default %(default)s)")  # fmt: skip
    parser.add_argument("--terms", nargs="+", default=["*"], help="patterns")
    parser.add_argument("--steps", type=int, help="for every term")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", nargs="+", default=[], help="settings, KEY=VALUE")
    arguments = parser.parse_args()
    print("| term | seed | measure | guessing | control | needed | reached | alive | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    dead = 0
    common = settings_of(arguments, 0, 1)
    trained, unseen = videos_of(arguments.work, common)
    for seed in arguments.seeds:
        for term in all_terms(common.objective):
            if any(fnmatch.fnmatchcase(str(term), pattern) for pattern in arguments.terms):
                settings = settings_of(arguments, seed, arguments.steps or steps_of(term))
                told = _report(arguments, term, seed, trained, unseen, settings)
                for row in told["rows"]:
                    names = ("guessing", "control", "needed", "reached")
                    numbers = " | ".join("" if row[name] is None else f"{row[name]:.3f}" for name in names)
                    alive = {None: "", True: "yes", False: "**no**"}[row["alive"]]
                    dead += row["alive"] is False
                    print(f"| {term} | {seed} | {row['measure']} | {numbers} | {alive} | {told['seconds']:.0f} |", flush=True)
    sys.exit(dead > 0)


def _train(term: Term, settings: Settings, trained: VideoSet, seed: int, *, learns: bool) -> Training[Objective]:
    """Train one term, or make its control."""
    training = make_training(
        LossWeights({term: 1.0}),
        settings.pretrain,
        settings.objective,
        trained,
        seed=seed,
        precision=Precision.choose(settings.machine),
    )
    if not learns:
        training.objective.encoders.requires_grad_(False)
    if learns or term.task in ("cluster", "aggregate"):
        for _ in training.run(0):
            pass
    return training


def _report(
    arguments: argparse.Namespace, term: Term, seed: int, trained: VideoSet, unseen: VideoSet, settings: Settings
) -> dict[str, Any]:
    name = "-".join([str(term), str(settings.pretrain.steps), str(seed), *arguments.set])
    path = arguments.work / "reports" / f"{name}.json"
    if not path.exists():
        begun = time.monotonic()
        control, reached = (
            measure(_train(term, settings, trained, seed, learns=learns), trained, unseen, settings, seed + 1)
            for learns in (False, True)
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            asdict(after)
            | {"control": before.reached, "needed": after.needed(before.reached), "alive": after.alive(before.reached)}
            for before, after in zip(control, reached, strict=True)
        ]
        path.write_text(json.dumps({"rows": rows, "seconds": time.monotonic() - begun}))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


if __name__ == "__main__":
    main()
