"""What is looked at while a network trains: videos that it never sees, without their labels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from elo_cli.core.clip import Source
from elo_cli.core.seeds import numpy_generator
from elo_cli.core.settings import Settings
from elo_cli.data.evaluation import Views
from elo_cli.data.loader import ClipReader, TrainingClips
from elo_cli.data.sampling import ClipSampler, drawable
from elo_cli.data.transforms import seen_grey, seen_rgb
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.extract import extract
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import Objective
from elo_cli.figures.decoded import Decoded, decoded_block
from elo_cli.workflows.judging import measure, needs_labels

_GUIDE = "zipf"
JUDGING = ("clusters", "exponent", "runs", "two_sigma_squared", "bandwidth", "scaling")  # settings of fitness that it looks at
FEWEST = 32  # videos, in 8 clusters: of fewer no measure says anything


@dataclass(frozen=True)
class Look:
    """What was seen after a step.

    Attributes:
        values: of `zipf`, and of the measures of `fitness.record` that need no labels; None where one has none.
        score: of `zipf`, larger is better; minus infinity if the features are collapsed.
        blocks: a picture for each term that decodes, by its name.
    """

    values: Mapping[str, float | None]
    score: float
    blocks: Mapping[str, Image.Image]


def held_out(settings: Settings, videos: VideoSet) -> np.ndarray:
    """Draw the numbers of the videos that training does not see, ascending; none where so few would say nothing."""
    usable = drawable(videos, settings.pretrain.clip)
    number = min(int(settings.monitor.held_out * len(usable)), settings.fitness.videos)
    if number < FEWEST:
        return usable[:0]
    return np.sort(numpy_generator(settings.seed, "monitor").permutation(usable)[:number])


class Monitor:
    """Looks at a training through held-out videos; asks no other rank, and leaves the training as it is.

    Args:
        training: that is looked at.
        settings: what is looked at, and how features are judged.
        videos: the whole set.
        numbers: of the held-out videos.
    """

    def __init__(self, training: Training[Objective], settings: Settings, videos: VideoSet, numbers: np.ndarray) -> None:
        self._training, self._settings, self.videos = training, settings, [videos.videos[int(number)] for number in numbers]
        self._reader = ClipReader(videos, settings.pretrain.clip)
        names = [name for name in settings.fitness.record if not needs_labels(name)]
        self._names = list(dict.fromkeys([_GUIDE, *names]))
        # Of few videos no cluster would have more than one.
        self.clusters = min(settings.fitness.clusters, len(numbers) // 4)
        decoding = training.objective.decoding
        self._sources: frozenset[Source] = frozenset().union(*(loss.sources for loss in decoding.values()))
        if decoding and settings.monitor.pictures:
            windows = frozenset(source.window for source in self._sources)
            without = np.setdiff1d(np.arange(len(videos.videos)), numbers)
            sampler = ClipSampler(
                videos, settings.pretrain.clip, windows, settings.monitor.pictures, settings.seed, without=without.tolist()
            )
            self._clips: TrainingClips | None = TrainingClips(self._reader, sampler, self._sources)
        else:
            self._clips = None

    def look(self) -> Look:
        """Judge the RGB encoder as it is now, and draw what decoders make."""
        objective = self._training.objective
        objective.eval()
        try:
            values, score = self._judge()
            return Look(values, score, self._draw())
        finally:
            objective.train()

    def _judge(self) -> tuple[dict[str, float | None], float]:
        given, precision = self._settings, self._training.precision
        features = extract(
            self._training.objective.encoders["rgb"],
            self._reader,
            self.videos,
            views=Views(),
            batch=given.extract.batch,
            precision=precision,
            progress=lambda done: None,
        )
        fitness = given.fitness.model_copy(update={"clusters": self.clusters})
        reports = {name: measure(name, features, fitness, given.seed) for name in self._names}
        values = {
            name: report.value if report.collapsed is None and math.isfinite(report.value) else None
            for name, report in reports.items()
        }
        return values, reports[_GUIDE].score

    def _draw(self) -> dict[str, Image.Image]:
        if self._clips is None:
            return {}
        batch = self._training.send(self._clips[0])
        with self._training.precision.autocast():
            decoded = self._training.objective.decoded(batch)
        blocks = {}
        for term, loss in self._training.objective.decoding.items():
            valid_B, target = loss.valid(batch).tolist(), batch.inputs[loss.target]
            pairs = [
                (_seen(loss.target, target[row]), _seen(loss.target, decoded[term][row])) if valid else None
                for row, valid in enumerate(valid_B)
            ]
            blocks[str(term)] = decoded_block(Decoded(str(term), pairs))
        return blocks


@torch.no_grad()
def _seen(source: Source, tensor: Tensor) -> np.ndarray:
    """Return a clip (C, T, H, W) or a spectrogram (1, F, T) as a picture wants it."""
    plain = tensor.detach().float().cpu()
    if source.modality == "rgb":
        return seen_rgb(plain)
    if source.modality == "grey":
        return seen_grey(plain)
    shown: np.ndarray = (plain[0] if source.modality == "audio" else plain.permute(1, 2, 3, 0)).nan_to_num().numpy()
    return shown
