"""Put a training run together from settings, a loss and a preprocessed set."""

from collections.abc import Collection

from elo_cli.core.settings import MachineSettings, ObjectiveSettings
from elo_cli.core.train_settings import TrainSettings
from elo_cli.core.weights import LossWeights
from elo_cli.data.loader import source_shapes, training_clips
from elo_cli.data.sampling import drawable
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import Objective
from elo_cli.engine.precision import Precision
from elo_cli.run.environment import processors


def make_training(
    weights: LossWeights,
    settings: TrainSettings,
    objective_settings: ObjectiveSettings,
    videos: VideoSet,
    *,
    seed: int,
    precision: Precision,
    without: Collection[int] = (),
) -> Training[Objective]:
    """Build the networks of a loss, the clips they see and the optimiser.

    Args:
        without: numbers of videos that are held out: no clip is drawn from them.

    Raises:
        UsageError: no weight is positive, or a batch cannot be divided among the processes that train together.
        DataError: no segment is as long as a clip.
    """
    shapes = source_shapes(settings.clip, videos.rates)
    drawn = len(drawable(videos, settings.clip, without))
    objective = Objective(
        weights,
        objective_settings,
        settings.encoder,
        shapes,
        len(videos.videos),
        seed,
        drawn,
        together=settings.sync_batch_norm,
    )
    clips = training_clips(videos, settings.clip, objective.sources, batch=settings.batch, seed=seed, without=without)
    return Training(objective, clips, settings, precision)


def loader_workers(settings: MachineSettings, precision: Precision) -> int:
    """Processes that load clips: none where they would only take turns with training on few processors."""
    if settings.loader_workers != "auto":
        return settings.loader_workers
    if precision.device.type == "cpu" and processors() <= 4:
        return 0
    return max(1, min(8, processors() // 2))
