"""Measure what a benchmark costs: `python -m tests.perf.benchmarks`; or: nox -s "perf(benchmarks)".

    extraction   features of preprocessed videos by r2plus1d of depth 18, with everything around the network, against the
                 network alone on one batch that is there; aim: 0.9 of its speed
    scoring      kmeans and linear on features as large as HMDB51's, 3 splits of 3,570 + 1,530 rows × 512, on one thread; aim: a
                 minute

The features are made: clusters behind a layer of random weights and a ReLU, of which a linear layer tells about half apart.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from elo_cli.config import resolve
from elo_cli.core.features import Features
from elo_cli.core.seeds import numpy_generator
from elo_cli.core.train_settings import ClipSettings, EncoderSettings
from elo_cli.data.evaluation import Views
from elo_cli.data.loader import ClipReader
from elo_cli.data.video_set import Video
from elo_cli.engine.extract import extract
from elo_cli.engine.objective import build_encoder
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import loader_workers
from elo_cli.protocols import SHELF as PROTOCOLS
from tests.perf.alive import videos_of
from tests.perf.report import Row, machine, show

CLASSES, TRAIN, TEST, DIMENSIONS, SPLITS = 51, 3570, 1530, 512, 3
MINUTE = 60.0
BATCH = 32


@dataclass(frozen=True)
class Contest:
    """A network that encodes videos, and the same network alone."""

    encoder: nn.Module
    reader: ClipReader
    videos: Sequence[Video]
    precision: Precision
    workers: int
    noise: Tensor

    def ours(self) -> float:
        """Take the features of the videos, and return the seconds."""
        begun = time.perf_counter()
        extract(
            self.encoder,
            self.reader,
            self.videos,
            views=Views(),
            batch=BATCH,
            precision=self.precision,
            progress=lambda done: None,
            workers=self.workers,
        )
        return time.perf_counter() - begun

    def bare(self) -> float:
        """Encode as many clips of noise in batches of the same size, and return the seconds."""
        begun = time.perf_counter()
        with torch.inference_mode(), self.precision.autocast():
            for first in range(0, len(self.videos), BATCH):
                self.encoder(self.noise[: len(self.videos) - first])
        if self.precision.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun


def extraction(given: argparse.Namespace) -> list[Row]:
    """Compare `extract` with the bare network, by turns."""
    settings = resolve("small", None, [], 0)
    videos = videos_of((given.cache / "training-small").absolute(), settings)[0]
    precision = Precision.choose(settings.machine)
    rows = []
    for frames, size, width in ((8, 56, 24), (16, 112, 64)):
        clip = ClipSettings.model_validate({"frames": frames, "size": size})
        encoder = build_encoder("rgb", EncoderSettings.model_validate({"depth": 18, "width": width}), 0)
        noise = precision.send(torch.randn(BATCH, 3, frames, size, size))
        chosen, workers = videos.videos[: given.videos], loader_workers(settings.machine, precision)
        contest = Contest(encoder, ClipReader(videos, clip), chosen, precision, workers, noise)
        contest.ours(), contest.bare()  # places the network and warms the caches
        rounds = [(contest.ours(), contest.bare()) for _ in range(given.repeat)]
        ratios = tuple(theirs / mine for mine, theirs in rounds)
        what = f"{len(chosen)} clips of {frames}×{size}², width {width}"
        seconds = [mine for mine, _ in rounds], [theirs for _, theirs in rounds]
        rows.append(Row(what, "the network alone", ratios, seconds=seconds, aim=0.9))
    return rows


def made(rows: int, seed: int) -> Features:
    """Make features of classes."""
    shared, draw = numpy_generator(0, "classes"), numpy_generator(seed, "rows")
    hidden, label_N = 64, draw.integers(CLASSES, size=rows)
    centre_CH, weight_HD = shared.standard_normal((CLASSES, hidden)) * 0.55, shared.standard_normal((hidden, DIMENSIONS))
    hidden_NH = centre_CH[label_N] + draw.standard_normal((rows, hidden))
    matrix_ND = np.maximum(hidden_NH @ weight_HD / 8 + 0.3 * draw.standard_normal((rows, DIMENSIONS)), 0).astype(np.float32)
    return Features(matrix_ND, tuple(f"{number}.avi" for number in range(rows)), tuple(f"class {label}" for label in label_N))


def scoring(given: argparse.Namespace) -> list[Row]:
    """Time both protocols over all splits."""
    rows = []
    total = []
    for name in ("kmeans", "linear"):
        seconds, accuracies = 0.0, []
        for split in range(SPLITS):
            train, test = made(TRAIN, 2 * split), made(TEST, 2 * split + 1)
            begun = time.perf_counter()
            accuracies.append(PROTOCOLS.take(name).evaluate(train, test, seed=split).metrics["accuracy"])
            seconds += time.perf_counter() - begun
        total.append(seconds)
        what = f"{name}, {SPLITS} splits, accuracy {100 * statistics.mean(accuracies):.0f}%"
        rows.append(Row(what, "a minute", (MINUTE / seconds,), seconds=((seconds,), (MINUTE,))))
    rows.append(Row("both", "a minute", (MINUTE / sum(total),), seconds=((sum(total),), (MINUTE,)), aim=1.0))
    return rows


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.perf.benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "elo-perf", metavar="DIR",
                        help="where made videos are kept (default %(default)s)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="one round of 32 videos: to see that it works")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="rounds (default %(default)s)")
    parser.add_argument("--videos", type=int, default=128, metavar="N", help="whose features are taken (default %(default)s)")
    parser.add_argument("--only", nargs="+", default=("extraction", "scoring"), choices=("extraction", "scoring"))
    given = parser.parse_args()
    if given.quick:
        given.repeat, given.videos = 1, 32
    print(f"{machine()['processor']}, torch {torch.__version__}")
    for part in given.only:
        show(part, {"extraction": extraction, "scoring": scoring}[part](given))


if __name__ == "__main__":
    main()
