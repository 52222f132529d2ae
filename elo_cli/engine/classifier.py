"""A whole network trained on labels: an RGB encoder and one linear layer, by the training loop of pretraining.

Shape legend: B clips of this rank, D features, K classes.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from elo_cli import dist
from elo_cli.core.benchmark_settings import DetectionSettings, FinetuneSettings
from elo_cli.core.clip import ClipBatch, Source
from elo_cli.core.seeds import derive
from elo_cli.core.train_settings import StepSettings, TrainSettings
from elo_cli.data.loader import training_clips
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.export import LoadedEncoder
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import stage_shapes
from elo_cli.engine.precision import Precision
from elo_cli.engine.trainee import LossReport, Trainee
from elo_cli.nets.norms import synchronise

_RGB = Source("rgb")


class Classifier(Trainee):
    """An encoder, dropout and a linear layer; its loss is the cross-entropy of the clips' labels.

    Args:
        encoder: of RGB clips; it is trained too.
        features: D.
        class_N: the class of each video of the set by its number; -1 where it has none, and no clip is drawn from it.
        classes: K.
        dropout: share of the features that a training step does not see.
        seed: of the layer's first parameters and of the dropout.
        together: whether batch norm is over the clips of all ranks.
    """

    class_N: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        features: int,
        class_N: Sequence[int],
        classes: int,
        *,
        dropout: float,
        seed: int,
        together: bool,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({"rgb": encoder})
        if together and dist.world() > 1:
            synchronise(self.encoders)
        with torch.random.fork_rng(devices=[]):  # what it draws is replaced, and no other draw shall change by it
            self.layer = nn.Linear(features, classes)
        nn.init.normal_(self.layer.weight, std=0.01, generator=torch.Generator().manual_seed(derive(seed, "classifier")))
        nn.init.zeros_(self.layer.bias)
        self.dropout, self.seed = dropout, seed
        self.register_buffer("class_N", torch.tensor(class_N), persistent=False)

    def forward(self, batch: ClipBatch, step: int) -> LossReport:
        """Return this rank's share of the loss of a step."""
        vector_BD = self.encoders["rgb"](batch.inputs[_RGB]).vector_BD
        if self.training and self.dropout:
            vector_BD = vector_BD * self._kept(batch, step, vector_BD) / (1 - self.dropout)
        loss = functional.cross_entropy(self.layer(vector_BD).float(), self.class_N[batch.video_B])
        return LossReport({"label": loss}, {"label": dist.mean(loss.detach())})

    def _kept(self, batch: ClipBatch, step: int, vector_BD: Tensor) -> Tensor:
        """Draw the features that a step sees: a function of seed and step, for all clips of all ranks."""
        generator = torch.Generator().manual_seed(derive(self.seed, "dropout", step))
        drawn = torch.rand(batch.size, vector_BD.shape[1], generator=generator)[batch.rows]
        return (drawn >= self.dropout).to(vector_BD)


def train_settings(given: FinetuneSettings, loaded: LoadedEncoder, videos: int) -> TrainSettings:
    """Say how a fine-tuning on so many videos goes."""
    flip = 0.5 if given.flip is None else given.flip
    return labelled_settings(given, loaded, videos, {"crop_area": given.crop_area, "augment": given.augment, "flip": flip})


def labelled_settings(
    given: FinetuneSettings | DetectionSettings, loaded: LoadedEncoder, videos: int, looks: Mapping[str, Any]
) -> TrainSettings:
    """Say how a labelled training goes, on the clips and the network of an encoder.

    Args:
        given: epochs and steps.
        loaded: the encoder.
        videos: how many there are to be drawn.
        looks: what of its clips differs from the encoder's own.
    """
    steps = max(1, math.ceil(given.epochs * videos / given.batch))
    shared = {name: getattr(given, name) for name in StepSettings.model_fields}
    return TrainSettings(**shared, clip=loaded.clip.model_copy(update=looks), encoder=loaded.architecture, steps=steps)


def make_finetuning(
    loaded: LoadedEncoder,
    given: FinetuneSettings,
    videos: VideoSet,
    class_N: Sequence[int],
    classes: int,
    *,
    seed: int,
    precision: Precision,
    without: Collection[int] = (),
) -> Training[Classifier]:
    """Put a fine-tuning together: network, clips and optimiser.

    Args:
        loaded: the encoder to begin with; it is trained in place.
        given: how.
        videos: the preprocessed set.
        class_N: the class of each of its videos by its number; those without one (-1) are not drawn.
        classes: K.
        seed: of clips, layer and dropout.
        precision: where and how it is computed.
        without: numbers of further videos that are not drawn.

    Raises:
        DataError: no video is left.
        UsageError: a batch cannot be divided among the processes that train together.
    """
    left_out = {number for number, label in enumerate(class_N) if label < 0} | set(without)
    settings = train_settings(given, loaded, len(class_N) - len(left_out))
    clip = loaded.clip
    features = stage_shapes("rgb", loaded.architecture, (3, clip.frames, clip.size, clip.size))[-1][0]
    model = Classifier(
        loaded.network, features, class_N, classes, dropout=given.dropout, seed=seed, together=given.sync_batch_norm
    )
    clips = training_clips(videos, settings.clip, frozenset({_RGB}), batch=given.batch, seed=seed, without=left_out, short=True)
    return Training(model, clips, settings, precision)


@torch.no_grad()
def class_shares(model: Classifier, views_NVD: Tensor) -> Tensor:
    """Return the softmax over classes of each view, (N, V, K), of features that `extract` took with its encoder."""
    layer = model.layer
    logits_NVK = functional.linear(views_NVD.float(), layer.weight.float().cpu(), layer.bias.float().cpu())
    return logits_NVK.softmax(-1)
