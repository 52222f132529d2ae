"""Measure what judging a candidate costs: `python -m tests.perf.fitness`; or: nox -s "perf(fitness)".

    measures     each measure of the shelf on features as large as those of a candidate; of zipf also k-means alone
    share        20 k-means runs against the training of a candidate: per cent of its time (aim: at most 5), and the seconds of
                 training under which they would pass that
    libraries    one k-means run: elo's (scikit-learn, float64, one thread) against scikit-learn in float32 and against
                 faiss-cpu, where that is installed (`pip install faiss-cpu`): time, and distortion of the clusters
                 over that of elo's

The features are made: clusters whose sizes follow Zipf's law, in noise as wide as they lie apart, so that k-means has
to work. Sizes are those of the presets, `proxy`, which is the paper's training and elo's default for all else, and `hundred`,
the paper's features: 100,000 videos × 512 in 50 clusters. What takes minutes is run once and multiplied. Everything runs on
one thread, as in a search, and seconds are those of the processor, which other programs change little. A candidate's
training is timed over a few steps with all terms of the preset, on scenes that are made for it. Where its clips are too
large for that (`paper`, `proxy`) it is `rgb.reconstruct` alone with two clips, scaled up: one pass through the RGB encoder, as
little as it can be trained with, so that the share is an upper bound.
"""

import argparse
import functools
import inspect
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from elo_cli.config import resolve
from elo_cli.core.features import Features
from elo_cli.core.seeds import derive, numpy_generator
from elo_cli.core.settings import PreprocessSettings, Settings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import make_training
from elo_cli.fitness import SHELF
from elo_cli.prepare.scenes import zipf_counts
from elo_cli.vectors.clusters import k_means
from elo_cli.workflows import preprocess
from elo_cli.workflows.demo import make_videos
from elo_cli.workflows.events import Unwatched
from elo_cli.workflows.judging import measure
from elo_cli.workflows.material import open_material, served_terms
from tests.perf.report import Row, machine, show

RUNS = 20
AIM_SHARE = 0.05


@dataclass(frozen=True)
class Size:
    """How many features of how many videos are put into how many clusters, and the preset that they belong to."""

    videos: int
    dimensions: int
    clusters: int
    preset: str | None

    def __str__(self) -> str:
        return f"{self.videos:,} × {self.dimensions}, k = {self.clusters}"


SIZES = {
    "demo": Size(300, 96, 12, "demo"),
    "small": Size(2000, 128, 20, "small"),
    "proxy": Size(2000, 512, 50, "paper"),
    "paper": Size(10_000, 512, 400, "paper"),
    "hundred": Size(100_000, 512, 50, None),
}
TINY = {"demo": Size(60, 16, 4, "demo"), "hundred": Size(400, 24, 6, None)}


def made(size: Size) -> Features:
    """Make labelled features: a cluster for each class, in noise as wide as the clusters lie apart."""
    random = numpy_generator(0, "perf-fitness", size.videos, size.dimensions)
    class_N = np.repeat(np.arange(size.clusters), zipf_counts(size.videos, size.clusters))
    centre_KD = random.standard_normal((size.clusters, size.dimensions))
    matrix_ND = (centre_KD[class_N] + random.standard_normal((size.videos, size.dimensions))).astype(np.float32)
    return Features(matrix_ND, tuple(map(str, range(size.videos))), tuple(str(label // 2) for label in class_N))


def timed(work: Callable[[], Any]) -> float:
    """Processor seconds of one call on one thread."""
    with threadpool_limits(limits=1):
        begun = time.process_time()
        work()
        return time.process_time() - begun


def clustering(features: Features, size: Size, runs: int) -> float:
    """Seconds of so many k-means runs, as zipf makes them."""
    matrix_ND = features.matrix_ND.astype(np.float64)

    def work() -> None:
        for run in range(runs):
            k_means(matrix_ND, size.clusters, derive(0, "zipf", run) % 2**32)

    return timed(work)


def runs_of(size: Size) -> int:
    """How many runs are timed: all, but of what takes minutes a single one."""
    return RUNS if size.videos * size.dimensions * size.clusters < 1e8 else 1


def measures(sizes: dict[str, Size], rounds: int) -> list[Row]:
    """Each measure, and k-means alone."""
    rows = []
    for name, size in sizes.items():
        features, runs = made(size), runs_of(size)
        given = _settings(size).fitness.model_copy(update={"clusters": size.clusters, "runs": runs})
        for entry in SHELF.names():
            how = f", {runs} runs" if "runs" in inspect.signature(SHELF.take(entry).measure).parameters else ""
            seconds = tuple(timed(functools.partial(measure, entry, features, given, 0)) for _ in range(rounds))
            rows.append(Row(f"{entry}{how}", f"{name}: {size}", seconds, "s"))
        seconds = tuple(clustering(features, size, runs) for _ in range(rounds))
        rows.append(Row(f"k-means alone, {runs} runs", f"{name}: {size}", seconds, "s"))
    return rows


def share(sizes: dict[str, Size], rounds: int, work: Path) -> list[Row]:
    """20 k-means runs against training a candidate."""
    rows, trainings = [], dict[str, tuple[float, str]]()
    for name, size in sizes.items():
        if size.preset is None:
            continue
        if size.preset not in trainings:
            trainings[size.preset] = training_seconds(_settings(size), work / f"fitness-{size.preset}")
        (training, loss), features, runs = trainings[size.preset], made(size), runs_of(size)
        seconds = [clustering(features, size, runs) * RUNS / runs for _ in range(rounds)]
        values = tuple(100 * one / training for one in seconds)
        what, steps = f"{name}: {RUNS} k-means runs, {size}", _settings(size).proxy.steps
        rival = f"training: {steps} steps of {size.preset}, {loss}"
        rows.append(Row(what, rival, values, "% of it", seconds=(seconds, [training]), aim=100 * AIM_SHARE))
        enough = tuple(one / AIM_SHARE for one in seconds)
        rows.append(Row(what, f"training that is {1 / AIM_SHARE:.0f} times as long", enough, "s"))
    return rows


def libraries(sizes: dict[str, Size], rounds: int) -> list[Row]:
    """One run of k-means by other means."""
    rows = []
    for size in sizes.values():
        wide_ND = made(size).matrix_ND.astype(np.float64)
        narrow_ND = wide_ND.astype(np.float32)
        rivals = {"scikit-learn, float32": _centres(narrow_ND, size.clusters), **_faiss(narrow_ND, size)}
        if len(rivals) == 1:
            rows.append(Row(str(size), "faiss-cpu", note="it is not installed"))
        times: dict[str, list[float]] = {name: [] for name in ("ours", *rivals)}
        distortions: dict[str, list[float]] = {name: [] for name in times}
        for turn in range(rounds):
            for name, contestant in {"ours": _centres(wide_ND, size.clusters), **rivals}.items():
                with threadpool_limits(limits=1):
                    begun = time.process_time()
                    centres_KD = contestant(turn)
                    times[name].append(time.process_time() - begun)
                distortions[name].append(_distortion(wide_ND, np.asarray(centres_KD, np.float64)))
        for name in rivals:
            faster = tuple(theirs / ours for ours, theirs in zip(times["ours"], times[name], strict=True))
            ratios = [theirs / ours for ours, theirs in zip(distortions["ours"], distortions[name], strict=True)]
            rival = f"{name} (distortion × {statistics.median(ratios):.4f})"
            rows.append(Row(str(size), rival, faster, "×", seconds=(times["ours"], times[name])))
    return rows


def _centres(matrix_ND: np.ndarray, clusters: int) -> Callable[[int], np.ndarray]:
    """elo's own k-means on these numbers."""

    def run(seed: int) -> np.ndarray:
        centres_KD: np.ndarray = k_means(matrix_ND, clusters, seed).cluster_centers_
        return centres_KD

    return run


def _faiss(narrow_ND: np.ndarray, size: Size) -> dict[str, Callable[[int], np.ndarray]]:
    """faiss's k-means with its own number of iterations, and with four times as many."""
    try:
        import faiss
    except ImportError:
        return {}
    faiss.omp_set_num_threads(1)

    def run(seed: int, iterations: int) -> np.ndarray:
        found = faiss.Kmeans(
            size.dimensions, size.clusters, niter=iterations, seed=seed, min_points_per_centroid=1,
            max_points_per_centroid=len(narrow_ND),
        )  # fmt: skip
        found.train(narrow_ND)
        centres_KD: np.ndarray = found.centroids
        return centres_KD

    return {f"faiss {faiss.__version__}, {n} iterations": lambda seed, n=n: run(seed, n) for n in (25, 100)}


def _distortion(matrix_ND: np.ndarray, centres_KD: np.ndarray) -> float:
    """Return the mean squared distance to the nearest centre."""
    total = 0.0
    for part_ND in np.array_split(matrix_ND, max(1, len(matrix_ND) // 5000)):
        squares_NK = np.sum(part_ND**2, axis=1)[:, None] - 2 * part_ND @ centres_KD.T + np.sum(centres_KD**2, axis=1)
        total += float(squares_NK.min(axis=1).sum())
    return total / len(matrix_ND)


def _settings(size: Size) -> Settings:
    return resolve(size.preset, None, ["machine.threads=1"], 0)


def training_seconds(settings: Settings, work: Path) -> tuple[float, str]:
    """Return the processor seconds of a candidate's training, by a few of its steps; and say with which loss."""
    given = settings.proxy
    if large := given.clip.frames * given.clip.size**2 > 100_000:
        plain = PreprocessSettings(fps=settings.preprocess.fps, short_side=given.clip.size, flow="none", audio=False)
        settings = settings.model_copy(update={"preprocess": plain})
    make_videos(work / "videos", work / "labelled", 0, Unwatched(), number=24, examples=1)
    preprocess.run(settings=settings, source=work / "videos", out=work / "set", fresh=False, watch=Unwatched())
    material = open_material(work / "set")
    terms = served_terms(settings.objective, material.videos)[0] if not large else (Term.parse("rgb.reconstruct"),)
    few = given.model_copy(update={"batch": 2 if large else given.batch, "steps": 3})
    precision = Precision.choose(settings.machine)
    weights = LossWeights.uniform(terms)
    training = make_training(weights, few, settings.objective, material.videos, seed=0, precision=precision)
    steps, begun = [], time.process_time()
    for _ in training.run(0):
        steps.append(time.process_time() - begun)
        begun = time.process_time()
    loss = f"{len(terms)} terms" if len(terms) > 1 else f"{terms[0]} alone"
    return min(steps) * given.batch / few.batch * given.steps, loss


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.perf.fitness", description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "elo-perf", metavar="DIR",
                        help="where made videos are kept (default %(default)s)")  # fmt: skip
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES), help="all if not given")
    parser.add_argument(
        "--only", nargs="+", choices=["measures", "share", "libraries"], default=["measures", "share", "libraries"]
    )
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="rounds (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round: to see that it works")
    given = parser.parse_args()
    sizes = TINY if given.quick else {name: SIZES[name] for name in given.sizes}
    rounds = 1 if given.quick else given.repeat
    about = machine()
    print(f"{about['processor']}, one thread, scikit-learn {about['packages'].get('scikit-learn')}; elo's seconds first")
    sections: dict[str, Callable[[], list[Row]]] = {
        "measures": lambda: measures(sizes, rounds),
        "share": lambda: share(sizes, rounds, given.cache),
        "libraries": lambda: libraries(sizes, rounds),
    }
    for part in given.only:
        show(part, sections[part]())


if __name__ == "__main__":
    main()
