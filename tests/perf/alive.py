"""Prove each task alive: train every term alone, and measure it on clips that it has not seen.

    python -m tests.perf.alive --work DIR                   # all terms, 300 steps each
    python -m tests.perf.alive --work DIR --terms 'rgb.*' --steps 200 --seeds 0 1 2

The videos are scenes like those of `elo demo` in which things are pushed by turns, in a flash of light, and slow
down, so that one moment differs from another and the past from the future, as in real ones; training sees the heap,
and what is measured are the labelled ones. Each family has its own measure, beside what guessing gets (docs/objective.md
has the table):

    shuffle, reverse, align        accuracy; chance is 50%
    reconstruct, predict, transfer squared error over that of the training clips' mean; chance is 1
    distill                        the same of the teacher's activations; chance is 1
    embed                          how often the right one of 32 videos is nearest; chance is 1/32
    cluster, aggregate             agreement with the motion that is shown (adjusted mutual information of the
                                   predicted cluster; nearest neighbour's motion); chance is 0, and 1/12
A report is a JSON file for each term and seed, so that a second start goes on where the first stopped.
"""

import argparse
import fnmatch
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_mutual_info_score
from torch import Tensor
from torch.nn import functional

from elo_cli.config import resolve
from elo_cli.core.clip import ClipBatch, View
from elo_cli.core.settings import Settings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.data.loader import training_clips
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.loop import Training
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import make_training
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.decoding import Decoding
from elo_cli.nets.telling import Telling
from elo_cli.nets.term import TermLoss
from elo_cli.tasks import all_terms
from elo_cli.tasks.aggregate import Aggregation
from elo_cli.tasks.align import Alignment, Matching
from elo_cli.tasks.cluster import Clustering
from elo_cli.tasks.distill import Distillation
from elo_cli.tasks.embed import Contrast
from elo_cli.workflows import preprocess
from elo_cli.workflows.demo import make_videos
from elo_cli.workflows.events import Unwatched

AMONG = 32  # videos that the right one is sought among
BATCHES = 10  # of 32 unseen clips
Encoded = Mapping[View, Encoding]


def videos_of(work: Path, settings: Settings) -> tuple[VideoSet, VideoSet]:
    """Make and preprocess restless scenes: the heap that is trained on, and the labelled ones."""
    make_videos(work / "videos", work / "labelled", 0, Unwatched(), restless=True)
    for name in ("videos", "labelled"):
        preprocess.run(settings=settings, source=work / name, out=work / f"set-{name}", fresh=False, watch=Unwatched())
    return VideoSet(work / "set-videos"), VideoSet(work / "set-labelled")


def batches(training: Training, videos: VideoSet, settings: Settings, seed: int) -> Iterator[tuple[ClipBatch, Encoded]]:
    """Unseen clips, encoded as in evaluation."""
    objective = training.objective.eval()
    clips = training_clips(videos, settings.pretrain.clip, objective.sources, batch=AMONG, seed=seed)
    for step in range(BATCHES):
        batch = clips[step]
        yield batch, objective.encode(batch, step)


@torch.no_grad()
def measure(
    training: Training, term: Term, trained: VideoSet, unseen: VideoSet, settings: Settings, seed: int
) -> tuple[float, float, str]:
    """Return what a trained term reaches on unseen clips, what guessing gets, and the name of the measure."""
    [loss] = training.objective.losses.values()
    seen = list(batches(training, unseen, settings, seed))
    if isinstance(loss, Telling | Alignment | Matching):
        return _accuracy(loss, seen), 0.5, "accuracy"
    if isinstance(loss, Decoding):
        made = [
            (loss.decoder(encoded[loss.view].stages[-1]), batch.inputs[loss.target], loss.valid(batch)) for batch, encoded in seen
        ]
        known = [batch.inputs[loss.target][loss.valid(batch)] for batch, _ in batches(training, trained, settings, seed)]
        mean = torch.cat(known).mean(0)
        return _error(made, mean), 1.0, "error"
    if isinstance(loss, Distillation):
        made = [(*loss.pair(encoded), loss.valid(batch)) for batch, encoded in seen]
        taught = [loss.pair(encoded)[1][loss.valid(batch)] for batch, encoded in batches(training, trained, settings, seed)]
        return _error(made, torch.cat(taught).mean(0)), 1.0, "error"
    if isinstance(loss, Clustering):
        return _agreement(loss, seen, unseen), 0.0, "agreement"
    if isinstance(loss, Aggregation):
        return _neighbours(loss, seen, unseen), 1 / 12, "neighbour"
    assert isinstance(loss, TermLoss)
    return _retrieved(loss, term, seen), 1 / AMONG, "retrieval"


def _accuracy(loss: Telling | Alignment | Matching, seen: list[tuple[ClipBatch, Encoded]]) -> float:
    right: list[Tensor] = []
    for batch, encoded in seen:
        valid = loss.valid(batch)
        if isinstance(loss, Matching):
            right.append(loss.decide(encoded)[valid] > 0)
        else:
            so, otherwise = loss.decide(encoded)
            right += [so[valid] > 0, otherwise[valid] < 0]
    return float(torch.cat(right).float().mean())


def _error(made: list[tuple[Tensor, Tensor, Tensor]], mean: Tensor) -> float:
    error = sum(float((got[valid].float() - wanted[valid].float()).square().sum()) for got, wanted, valid in made)
    guess = sum(float((mean.float() - wanted[valid].float()).square().sum()) for _, wanted, valid in made)
    return error / guess


def _motions(batch: ClipBatch, videos: VideoSet) -> np.ndarray:
    return np.array([videos.videos[int(number)].label for number in batch.video_B])


def _agreement(loss: Clustering, seen: list[tuple[ClipBatch, Encoded]], videos: VideoSet) -> float:
    valid = [loss.valid(batch) for batch, _ in seen]
    found = torch.cat(
        [loss.head(encoded[loss.view].vector_BD).argmax(1)[mask] for (_, encoded), mask in zip(seen, valid, strict=True)]
    )
    truth = np.concatenate([_motions(batch, videos)[mask.numpy()] for (batch, _), mask in zip(seen, valid, strict=True)])
    return float(adjusted_mutual_info_score(truth, found.numpy()))


def _neighbours(loss: Aggregation, seen: list[tuple[ClipBatch, Encoded]], videos: VideoSet) -> float:
    """How often the nearest clip of another video shows the same motion."""
    valid = [loss.valid(batch) for batch, _ in seen]
    vectors = torch.cat(
        [loss.embedding(encoded[loss.view].vector_BD)[mask] for (_, encoded), mask in zip(seen, valid, strict=True)]
    )
    motion = np.concatenate([_motions(batch, videos)[mask.numpy()] for (batch, _), mask in zip(seen, valid, strict=True)])
    video = torch.cat([batch.video_B[mask] for (batch, _), mask in zip(seen, valid, strict=True)])
    unit = functional.normalize(vectors, dim=1)
    likeness = (unit @ unit.T).masked_fill(video[:, None] == video[None], -2)
    return float((motion[likeness.argmax(1).numpy()] == motion).mean())


def _retrieved(loss: TermLoss, term: Term, seen: list[tuple[ClipBatch, Encoded]]) -> float:
    """How often the other modality of the same video is the nearest among `AMONG`."""
    right: list[float] = []
    for batch, encoded in seen:
        first, second = (View(name) for name in term.modalities)  # type: ignore[arg-type]
        valid = loss.valid(batch)
        vectors = [encoded[view].vector_BD[valid].float() for view in (first, second)]
        if isinstance(loss, Contrast):  # it looks at angles
            vectors = [functional.normalize(vector_BD, dim=1) for vector_BD in vectors]
        apart = torch.cdist(*vectors)
        right += (apart.argmin(1) == torch.arange(len(apart))).float().tolist()
    return float(np.mean(right))


def settings_of(arguments: argparse.Namespace, seed: int) -> Settings:
    """The demo's settings, with all terms."""
    changes = ["objective.modalities=[rgb, grey, flow, audio]", "objective.terms=['*']", f"pretrain.steps={arguments.steps}"]
    changes += [f"objective.{task}.{what}" for task in ("cluster", "aggregate") for what in ("number=24", "every=50")]
    return resolve("demo", None, [*changes, *arguments.set], seed)


def main() -> None:
    """Train and measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for videos, shards and reports")
    parser.add_argument("--terms", nargs="+", default=["*"], help="patterns")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", nargs="+", default=[], help="settings, KEY=VALUE")
    arguments = parser.parse_args()
    print("| term | seed | measure | guessing | reached | seconds |\n| --- | --- | --- | --- | --- | --- |")
    trained, unseen = videos_of(arguments.work, settings_of(arguments, 0))
    for seed in arguments.seeds:
        settings = settings_of(arguments, seed)
        for term in all_terms(settings.objective):
            if any(fnmatch.fnmatchcase(str(term), pattern) for pattern in arguments.terms):
                told = _report(arguments, term, seed, trained, unseen, settings)
                numbers = f"{told['guessing']:.3f} | {told['reached']:.3f} | {told['seconds']:.0f}"
                print(f"| {term} | {seed} | {told['measure']} | {numbers} |", flush=True)


def _report(
    arguments: argparse.Namespace, term: Term, seed: int, trained: VideoSet, unseen: VideoSet, settings: Settings
) -> dict[str, Any]:
    name = "-".join([str(term), str(arguments.steps), str(seed), *arguments.set])
    path = arguments.work / "reports" / f"{name}.json"
    if not path.exists():
        begun = time.monotonic()
        precision = Precision.choose(settings.machine)
        training = make_training(
            LossWeights({term: 1.0}), settings.pretrain, settings.objective, trained, seed=seed, precision=precision
        )
        for _ in training.run(0):
            pass
        reached, guessing, kind = measure(training, term, trained, unseen, settings, seed + 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        told = {"measure": kind, "guessing": guessing, "reached": reached, "seconds": time.monotonic() - begun}
        path.write_text(json.dumps(told))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


if __name__ == "__main__":
    main()
