"""Which measure without labels ranks losses as accuracy does? `python -m tests.perf.ranking`; or: nox -s ranking.

    python -m tests.perf.ranking                                # 24 random losses, each term alone, an untrained encoder
    python -m tests.perf.ranking --losses 40 --seed 1 --restless
    python -m tests.perf.ranking --table > ranking.md           # train nothing: the table of what is there

Every loss trains the demo's network on the demo's heap, whose classes follow Zipf's law, under one seed; what differs
is the loss. Loss i is a function of (seed, i): weights uniform in [0, 1], and of every second loss each term is off
with probability 1/2, so that good and poor ones are among them. Features of the heap (one clip of each video, as a
search takes them) and of the labelled set (three, as the benchmark does) are kept, so that any measure can be computed
later; `tests/perf/ranks.py` has the measures and the table.

A second start goes on where the first stopped. Several may work on one folder side by side, each with `--threads 1`:
one that finds a loss claimed by a living process goes on to the next. Whoever comes last prints the whole table.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from elo_cli.config import resolve
from elo_cli.core.errors import TrainingError
from elo_cli.core.features import Features
from elo_cli.core.files import write_atomic, write_json
from elo_cli.core.seeds import numpy_generator
from elo_cli.core.settings import Settings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.data.evaluation import Views
from elo_cli.data.loader import ClipReader
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.extract import extract
from elo_cli.engine.objective import build_encoder
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import loader_workers, make_training
from elo_cli.workflows import preprocess
from elo_cli.workflows.demo import EXAMPLES, HEAP, make_videos
from elo_cli.workflows.events import Unwatched
from elo_cli.workflows.material import served_terms
from tests.perf.ranks import Trained, judge, show

UNTRAINED = "untrained"


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other processes of this machine out of a `with` block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def material(arguments: argparse.Namespace, settings: Settings) -> tuple[VideoSet, VideoSet]:
    """Make and preprocess the heap that is trained on, and the labelled videos; one process does, the others wait."""
    looks = "restless" if arguments.restless else "calm"
    work = arguments.work / f"{looks}-{arguments.heap}-{arguments.examples}"
    with alone(work / "lock"):
        make_videos(work / "videos", work / "labelled", 0, Unwatched(), restless=arguments.restless, number=arguments.heap,
                    examples=arguments.examples)  # fmt: skip
        for name in ("videos", "labelled"):
            preprocess.run(settings=settings, source=work / name, out=work / f"set-{name}", fresh=False, watch=Unwatched())
    return VideoSet(work / "set-videos"), VideoSet(work / "set-labelled")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The demo's settings with those of the command line."""
    changes = [f"pretrain.steps={arguments.steps}", f"machine.threads={arguments.threads}"]
    changes += [f"preprocess.workers={arguments.threads}"]
    changes += [f"objective.terms={json.dumps(arguments.terms)}"] if arguments.terms else []
    return resolve("demo", None, [*changes, *arguments.set], arguments.seed)


def losses(arguments: argparse.Namespace, terms: tuple[Term, ...]) -> dict[str, LossWeights | None]:
    """The losses to train, by name; None is the untrained encoder. Those that say most about the measures come first."""
    found: dict[str, LossWeights | None] = {}
    if not arguments.random_only:
        found |= {UNTRAINED: None}
    for number in range(arguments.losses):
        random = numpy_generator(arguments.seed, "ranking", number)
        weights, on = random.uniform(size=len(terms)), random.uniform(size=len(terms)) < 0.5
        if number % 2:
            on[random.integers(len(terms))] = True  # one at least
            weights = weights * on
        found[f"random-{number:03}"] = LossWeights.from_vector(terms, weights)
    if not arguments.random_only:
        found |= {f"only-{term}": LossWeights({term: 1.0}) for term in terms}
    return found


def home(arguments: argparse.Namespace, settings: Settings, heap: VideoSet, terms: tuple[Term, ...]) -> Path:
    """The folder of trained losses; it is named by all that their features depend on besides the loss."""
    kept = settings.model_dump(mode="json", include={"seed", "objective", "pretrain"})
    kept |= {"data": heap.fingerprint, "terms": [str(term) for term in terms]}
    digest = hashlib.blake2b(json.dumps(kept, sort_keys=True).encode(), digest_size=4).hexdigest()
    place: Path = arguments.work / f"trained-{arguments.steps}-{arguments.seed}-{digest}"
    place.mkdir(parents=True, exist_ok=True)
    write_json(place / "settings.json", kept)
    return place


def alive(claim: Path) -> bool:
    """Say whether the process that wrote a claim still lives."""
    try:
        told = json.loads(claim.read_text())
        return bool(_born(told["pid"]) == told["born"])
    except (OSError, ValueError):
        return False


def _born(pid: int) -> str:
    """When a process began, in ticks since the machine did; a number that was given out again began at another time."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


@contextlib.contextmanager
def claimed(place: Path, name: str) -> Iterator[bool]:
    """Claim a loss, and say whether this process has it; not where it is done, or in the hands of a living process."""
    claim = place / f"{name}.claim"
    with alone(place / "lock"):  # two that find the claim of a dead process must not both take it
        if claim.exists() and not alive(claim):
            claim.unlink()
        mine = not (place / f"{name}.json").exists()
        with contextlib.suppress(FileExistsError):
            if mine:
                mine = False
                with claim.open("x") as file:
                    file.write(json.dumps({"pid": os.getpid(), "born": _born(os.getpid())}))
                mine = True
    try:
        yield mine
    finally:
        if mine:
            claim.unlink()


def train(place: Path, name: str, weights: LossWeights | None, settings: Settings, sets: tuple[VideoSet, VideoSet]) -> None:
    """Train one loss, and write features of both sets and then a line about it."""
    begun, precision, failed = time.monotonic(), Precision.choose(settings.machine), None
    if weights is None:
        encoder = build_encoder("rgb", settings.pretrain.encoder, settings.seed)
    else:
        training = make_training(weights, settings.pretrain, settings.objective, sets[0], seed=settings.seed, precision=precision)
        encoder = training.objective.encoders["rgb"]
        try:
            for record in training.run(loader_workers(settings.machine, precision)):
                if record.step % 50 == 49:
                    print(f"{name}: step {record.step + 1}", file=sys.stderr, flush=True)
        except TrainingError as error:
            failed = error.message
    trained = time.monotonic() - begun
    for which, videos, clips in (("heap", sets[0], 1), ("labelled", sets[1], settings.benchmark.clips)):
        reader = ClipReader(videos, settings.pretrain.clip)
        features = extract(encoder, reader, videos.videos, views=Views(clips), batch=settings.extract.batch, precision=precision,
                           progress=lambda done: None)  # fmt: skip
        features.save(place / f"{name}.{which}.safetensors")
    told = {"weights": weights.to_names() if weights else None, "failed": failed, "training_s": round(trained, 1)}
    write_json(place / f"{name}.json", told)


def judged(place: Path, name: str, arguments: argparse.Namespace) -> Trained:
    """Read the features of a loss, and its accuracy and measures; what was computed before is not computed again."""
    told = json.loads((place / f"{name}.json").read_text())
    path = place / f"{name}.judged-{arguments.runs}.json"
    if arguments.again or not path.exists():
        print(f"{name}: measuring", file=sys.stderr, flush=True)
        heap, labelled = (Features.load(place / f"{name}.{which}.safetensors") for which in ("heap", "labelled"))
        write_atomic(path, json.dumps(judge(heap, labelled, runs=arguments.runs)).encode())
    found: dict[str, Any] = json.loads(path.read_text())
    collapsed = found["collapsed"] or told["failed"]
    return Trained(name, found["accuracy"], found["values"], excluded=name == UNTRAINED or collapsed is not None)


def main() -> None:
    """Train what is missing, and print the table of what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "elo-perf" / "ranking", metavar="DIR",
                        help="folder for videos, shards, features and numbers")  # fmt: skip
    parser.add_argument("--losses", type=int, default=24, help="random losses")
    parser.add_argument("--steps", type=int, default=300, help="of each training")
    parser.add_argument("--seed", type=int, default=0, help="of the losses and of all trainings")
    parser.add_argument("--terms", nargs="+", help="patterns of the terms; the demo's own if not given")
    parser.add_argument("--random-only", action="store_true", help="neither an untrained encoder nor losses of one term")
    parser.add_argument("--restless", action="store_true", help="scenes in which one moment differs from another")
    parser.add_argument("--heap", type=int, default=HEAP, help="videos without labels")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="labelled videos of each motion")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=20, help="k-means runs of each measure")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--again", action="store_true", help="compute the measures anew")
    parser.add_argument("--set", nargs="+", default=[], help="settings, KEY=VALUE")
    arguments = parser.parse_args()
    settings = settings_of(arguments)
    sets = material(arguments, settings)
    terms, _ = served_terms(settings.objective, sets[0])
    place, named = home(arguments, settings, sets[0], terms), losses(arguments, terms)
    for name, weights in {} if arguments.table else named.items():
        with claimed(place, name) as mine:
            if mine:
                train(place, name, weights, settings, sets)
                judged(place, name, arguments)
    done = [name for name in named if (place / f"{name}.json").exists()]
    show([judged(place, name, arguments) for name in done], len(named) - len(done), str(place), np.random.default_rng(0))


if __name__ == "__main__":
    main()
