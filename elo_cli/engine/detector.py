"""What persons in boxes do: an RGB encoder and a head for regions, trained by the loop of pretraining.

Boxes are shares of the whole picture, so that clips show all of it, squeezed into their square (`ClipSettings.frame`), and are
never mirrored, because the boxes are not. Where a process sends its clips through in several parts (`accumulate`), the loss is
the mean of the parts' means: a box of a part with few of them weighs more. On CUDA, RoIAlign adds its gradient up in no fixed
order, so that there two trainings of the whole network are not the same to the bit.

Shape legend: B clips of this rank, C channels, K boxes of a clip or of several, M boxes of a set, N clips of a set, L classes.
"""

import itertools
from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from elo_cli import dist
from elo_cli.core.benchmark_settings import DetectionSettings
from elo_cli.core.clip import ClipBatch, Source
from elo_cli.core.seeds import derive
from elo_cli.core.train_settings import ClipSettings
from elo_cli.data.evaluation import Views, evaluation_views
from elo_cli.data.loader import ClipReader, training_clips
from elo_cli.data.video_set import Video, VideoSet
from elo_cli.engine.classifier import labelled_settings
from elo_cli.engine.export import LoadedEncoder
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import stage_shapes
from elo_cli.engine.precision import Precision
from elo_cli.engine.trainee import LossReport, Trainee
from elo_cli.nets.norms import synchronise
from elo_cli.nets.regions import RegionHead, region_loss

WHOLE = {"frame": "whole", "flip": 0.0}  # what a clip shows
_RGB = Source("rgb")


class BoxesToLearn:
    """The boxes of each video of a set by its number, and what the persons in them do.

    Args:
        boxes: of each video (K, 4), as shares of the picture; a video may have none.
        targets: of each video (K, L): 1 for the classes that a box has, and 0.
    """

    def __init__(self, boxes: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> None:
        assert [len(each) for each in boxes] == [len(each) for each in targets]
        # Of millions of boxes there is one tensor, and of their targets one of bytes.
        self._first = np.concatenate([[0], np.cumsum([len(each) for each in boxes], dtype=np.int64)])
        self._box_M4 = torch.from_numpy(np.concatenate(boxes).astype(np.float32))
        self._target_ML = torch.from_numpy(np.concatenate(targets) > 0)

    @property
    def classes(self) -> int:
        """L."""
        return self._target_ML.shape[1]

    def of(self, video_B: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the boxes of each of these videos, (K, 4), and the targets of all of them, (K, L) float32."""
        rows = [slice(self._first[video], self._first[video + 1]) for video in video_B.tolist()]
        return [self._box_M4[row] for row in rows], torch.cat([self._target_ML[row] for row in rows]).float()


class _StepDropout(nn.Dropout):
    """Dropout that is told which values a step sees, so that they follow from the step and not from what was drawn before."""

    kept_KC: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:
        return input if self.kept_KC is None or not self.training else input * self.kept_KC.to(input) / (1 - self.p)


class Detector(Trainee):
    """An encoder and a head for regions on its last stage; its loss is `region_loss` over the boxes of a step's clips.

    Args:
        encoder: of RGB clips.
        channels: of its last stage, C.
        boxes: of each video of the set by its number.
        frozen: train the head alone; the encoder's norms keep their statistics.
        dropout: share of the features that a training step does not see.
        seed: of the head's first parameters and of the dropout.
        together: whether batch norm is over the clips of all ranks.
    """

    def __init__(
        self, encoder: nn.Module, channels: int, boxes: BoxesToLearn, *, frozen: bool, dropout: float, seed: int, together: bool
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({"rgb": encoder})
        self.boxes, self.channels, self.frozen, self.seed = boxes, channels, frozen, seed
        if frozen:
            encoder.requires_grad_(False)
        elif together and dist.world() > 1:
            synchronise(self.encoders)
        with torch.random.fork_rng(devices=[]):  # what it draws is replaced, and no other draw shall change by it
            self.head = RegionHead(channels, boxes.classes)
        self._dropout = self.head.dropout = _StepDropout(dropout)
        generator = torch.Generator().manual_seed(derive(seed, "regions"))
        nn.init.normal_(self.head.linear.weight, std=0.01, generator=generator)

    def train(self, mode: bool = True) -> "Detector":
        """Train, or cease to; a frozen encoder never does."""
        super().train(mode)
        if self.frozen:
            self.encoders.eval()
        return self

    def forward(self, batch: ClipBatch, step: int) -> LossReport:
        """Return this rank's share of the loss of a step: the mean over ranks is that over the boxes of all."""
        region_BK4, target_KL = self.boxes.of(batch.video_B)
        self._dropout.kept_KC = self._kept(batch, step, region_BK4)
        logit_KL = self.logits(batch.inputs[_RGB], region_BK4)
        loss = region_loss(logit_KL, target_KL.to(logit_KL.device))
        return LossReport({"regions": loss}, {"regions": dist.mean(loss.detach())})

    def logits(self, clip_BCTHW: Tensor, region_BK4: Sequence[Tensor]) -> Tensor:
        """Return a logit for each class of each box, (K, L), the boxes of one clip after those of another."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            stage_BCTHW = self.encoders["rgb"](clip_BCTHW).stages[-1]
        logit_KL: Tensor = self.head(stage_BCTHW, region_BK4)
        return logit_KL

    def _kept(self, batch: ClipBatch, step: int, region_BK4: Sequence[Tensor]) -> Tensor | None:
        """Draw the features that a step sees, (K, C) bool: a function of seed, step and the clip's place in the whole batch."""
        share = self._dropout.p
        if not share:
            return None
        kept = []
        for number, boxes_K4 in enumerate(region_BK4, start=batch.first):
            generator = torch.Generator().manual_seed(derive(self.seed, "dropout", step, number))
            kept.append(torch.rand(len(boxes_K4), self.channels, generator=generator) >= share)
        return torch.cat(kept)


def make_detection(
    loaded: LoadedEncoder,
    given: DetectionSettings,
    videos: VideoSet,
    boxes: BoxesToLearn,
    *,
    seed: int,
    precision: Precision,
    without: Collection[int] = (),
) -> Training[Detector]:
    """Put the training of a detector together: network, clips and optimiser.

    Args:
        loaded: the encoder to begin with; unless it is frozen, it is trained in place.
        given: how.
        videos: the preprocessed set, a clip of each keyframe.
        boxes: of each of its videos by its number.
        seed: of the order of clips, of head and dropout.
        precision: where and how it is computed.
        without: numbers of videos that are not drawn.

    Raises:
        DataError: no video is left.
        UsageError: a batch cannot be divided among the processes that train together.
    """
    settings = labelled_settings(given, loaded, len(videos.videos) - len(set(without)), WHOLE)
    clip = settings.clip
    channels = stage_shapes("rgb", loaded.architecture, (3, clip.frames, clip.size, clip.size))[-1][0]
    model = Detector(
        loaded.network,
        channels,
        boxes,
        frozen=given.frozen,
        dropout=given.dropout,
        seed=seed,
        together=given.sync_batch_norm,
    )
    clips = training_clips(videos, clip, frozenset({_RGB}), batch=given.batch, seed=seed, without=without, short=True)
    return Training(model, clips, settings, precision)


def tell(
    model: Detector,
    clip: ClipSettings,
    videos: VideoSet,
    chosen: Sequence[Video],
    boxes: Sequence[np.ndarray],
    *,
    batch: int,
    precision: Precision,
    progress: Callable[[int], None],
    workers: int = 0,
) -> list[np.ndarray]:
    """Tell how probable each class is of each person in a box.

    Args:
        model: trained; it is put into evaluation mode.
        clip: the clips that it was trained on.
        videos: the preprocessed set.
        chosen: those of its videos that are looked at, one clip of each.
        boxes: of each of these (K, 4), as shares of the picture.
        batch: clips of one forward pass.
        precision: where and how it is computed.
        progress: is told how many videos are done.
        workers: processes that read ahead.

    Returns:
        For each video the sigmoids (K, L), float64.
    """
    assert clip.frame == "whole" and len(chosen) == len(boxes)
    precision.place(model).eval()
    scores: list[np.ndarray] = []
    views = evaluation_views(ClipReader(videos, clip), chosen, _RGB, Views(), workers)
    while chunk := list(itertools.islice(views, batch)):
        region_BK4 = [torch.from_numpy(each.astype(np.float32)) for each in boxes[len(scores) : len(scores) + len(chunk)]]
        with torch.inference_mode(), precision.autocast():
            score_KL = model.logits(precision.send(torch.cat(chunk)), region_BK4).double().sigmoid().cpu()
        scores += [each.numpy() for each in torch.split(score_KL, [len(each_K4) for each_K4 in region_BK4])]
        progress(len(scores))
    return scores
