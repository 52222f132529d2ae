"""Put a training run together from settings, a loss and a preprocessed set."""

from elo_cli.core.clip import MODALITIES, Source, Window
from elo_cli.core.settings import ObjectiveSettings, TrainSettings
from elo_cli.core.weights import LossWeights
from elo_cli.data.loader import ClipReader, training_clips
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import Objective
from elo_cli.engine.precision import Precision

_WINDOWS: tuple[Window, ...] = ("clip", "future", "shifted")


def source_shapes(reader: ClipReader) -> dict[Source, tuple[int, ...]]:
    """The shape of every source that a term may ask for, without the batch."""
    sources = [Source(name, window) for name in MODALITIES for window in _WINDOWS]
    return {source: reader.shape(source) for source in [*sources, Source("flow", "clip", True)]}


def make_training(
    weights: LossWeights,
    settings: TrainSettings,
    objective_settings: ObjectiveSettings,
    videos: VideoSet,
    *,
    seed: int,
    precision: Precision,
) -> Training:
    """Build the networks of a loss, the clips they see and the optimiser.

    Raises:
        UsageError: no weight is positive.
        DataError: no segment is as long as a clip.
    """
    shapes = source_shapes(ClipReader(videos, settings.clip))
    objective = Objective(weights, objective_settings, settings.encoder, shapes, seed)
    clips = training_clips(videos, settings.clip, objective.sources, batch=settings.batch, seed=seed)
    return Training(objective, clips, settings, precision)
