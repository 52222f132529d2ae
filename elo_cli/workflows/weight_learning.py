"""`elo evolve --strategy gradient`: the weights of a loss are learned while one network trains with it.

All weights begin at 1/2. Every few steps the gradient of an objective on held-out videos (`elo_cli.engine.held_out`) by
each weight (`elo_cli.engine.hypergradient`) moves them, by Adam as in DARTS (Liu et al. 2019), within [0, 1]. What is learned is
three losses: the first weights, their mean over the second half of the training, and the last. Each is then trained
anew and measured as the candidates of every other strategy are, so that numbers can be compared.
"""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from elo_cli.core.errors import DataError, Stopped, TrainingError, UsageError
from elo_cli.core.files import write_json
from elo_cli.core.seeds import derive, numpy_generator
from elo_cli.core.settings import Settings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.data.loader import ClipReader
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.held_out import gradient
from elo_cli.engine.hypergradient import by_weights, ignores_size, preconditioned, without_size
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import Objective
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import loader_workers, make_training
from elo_cli.run.checkpoint import load_newest, save_checkpoint
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.workflows.events import Watch
from elo_cli.workflows.material import Material

_FIRST = 0.5
_BETAS = (0.5, 0.999)  # those of DARTS
_LEAST = 8  # held-out videos: of fewer no objective says anything
_MEND = (
    "Begin anew (--fresh) with a lower proxy.lr, with objective.distance=mean and objective.scale=initial, or with another"
    " search.held_out_objective, such as contrast."
)


def learn_weights(
    settings: Settings, material: Material, terms: Sequence[Term], run: RunDirectory, precision: Precision, watch: Watch
) -> list[list[float]]:
    """Train once and learn the weights on the way, or go on from the newest checkpoint; what was learned before is read back.

    Returns:
        The points that the strategy asks for.

    Raises:
        UsageError: too few videos would be held out.
        TrainingError: the features of the held-out videos collapsed, or too often something was no finite number.
    """
    if run.trajectory.exists():
        return _points(_read(run.trajectory))
    learning = WeightLearning(settings, material.videos, terms, precision)
    try:
        learning.load(run.checkpoints)
    except DataError as error:  # all of them are damaged: from the start it comes to the same
        watch.warn(f"{error.message} The weights are learned from the start.")
        shutil.rmtree(run.checkpoints)
    for damaged in learning.passed_over:
        watch.warn(f"A damaged checkpoint is passed over: {damaged}")
    given, total = settings.search, settings.proxy.steps
    Journal(run.log).append({"event": "learning", "time": time.time(), "steps": total, "done": learning.training.done})
    watch.start("learning weights", total, "step")
    try:
        for record in learning.training.run(loader_workers(settings.machine, precision)):
            done = record.step + 1
            if done % given.weights_every == 0 and done < total:
                learning.update()
            if done % settings.proxy.checkpoint_every == 0:
                learning.save(run.checkpoints)
            figures = {given.held_out_objective: learning.values[-1]} if learning.values else {}
            watch.advance("learning weights", done, {"loss": record.loss} | figures)
            watch.check()
    except Stopped:
        learning.save(run.checkpoints)
        raise
    except TrainingError as error:
        raise TrainingError(error.message, hint=_MEND) from error
    watch.finish("learning weights")
    told = {"terms": [str(term) for term in terms], "every": given.weights_every, "objective": given.held_out_objective}
    write_json(run.trajectory, {**told, "values": learning.values, "weights": [row.tolist() for row in learning.trajectory]})
    shutil.rmtree(run.checkpoints, ignore_errors=True)  # the trajectory is all that is needed of it
    return _points(learning.trajectory)


def held_out_videos(settings: Settings, videos: VideoSet) -> np.ndarray:
    """Draw the numbers of the videos that the weights are learned on and the network is not, ascending.

    Raises:
        UsageError: they are too few, or what is left is less than a batch, or no weight would ever move.
    """
    given, total = settings.search, len(videos.videos)
    number = int(given.held_out_share * total)
    least = max(_LEAST, settings.fitness.clusters if given.held_out_objective == "zipf" else 0)
    if (seen := min(number, given.held_out_batch)) < least:
        raise UsageError(
            f"Weights would be learned on {seen} held-out videos of {total}; {least} are needed.",
            hint="Raise search.held_out_share or search.held_out_batch, lower fitness.clusters, or preprocess more videos.",
        )
    if total - number < settings.proxy.batch:
        raise UsageError(
            f"With {number} videos held out, {total - number} are left to train on: less than a batch of {settings.proxy.batch}.",
            hint="Lower search.held_out_share or proxy.batch, or preprocess more videos.",
        )
    if given.weights_every >= settings.proxy.steps:
        raise UsageError(
            f"The weights would not move once: every {given.weights_every} steps of {settings.proxy.steps}.",
            hint="Lower search.weights_every, or raise proxy.steps.",
        )
    order = numpy_generator(settings.seed, "held-out").permutation(total)
    return np.sort(order[:number])


class WeightLearning:
    """A training whose weights move; its state is that of the training, the weights, and Adam's.

    Args:
        settings: all settings.
        videos: the preprocessed set.
        terms: of the loss.
        precision: where and how it is computed.

    Attributes:
        trajectory: the weights at the start and after each update, (T,) each.
        values: of the objective at each update.
        passed_over: newer checkpoints that were damaged, each with the reason.
    """

    def __init__(self, settings: Settings, videos: VideoSet, terms: Sequence[Term], precision: Precision) -> None:
        self.settings = settings
        self.trajectory: list[np.ndarray] = [np.full(len(terms), _FIRST)]
        self.values: list[float] = []
        self.passed_over: list[str] = []
        numbers = held_out_videos(settings, videos)
        self.training: Training[Objective] = make_training(
            LossWeights.uniform(terms, _FIRST),
            settings.proxy,
            settings.objective,
            videos,
            seed=settings.seed,
            precision=precision,
            without=numbers,
        )
        self._videos, self._numbers = videos, numbers
        self._reader = ClipReader(videos, settings.proxy.clip)
        self._weights_T = torch.full((len(terms),), _FIRST, dtype=torch.float64, requires_grad=True)
        self._adam = torch.optim.Adam([self._weights_T], lr=settings.search.weights_lr, betas=_BETAS)

    def update(self) -> None:
        """Move the weights once.

        Raises:
            TrainingError: the features of the held-out videos are collapsed.
        """
        settings, training = self.settings, self.training
        encoder = training.objective.encoders["rgb"]
        count = len(self.values)
        chosen = numpy_generator(settings.seed, "held-out", count).permutation(self._numbers)[: settings.search.held_out_batch]
        value, found = gradient(
            settings.search.held_out_objective,
            encoder,
            self._reader,
            [self._videos.videos[int(number)] for number in np.sort(chosen)],
            settings.fitness,
            batch=settings.extract.batch,
            seed=derive(settings.seed, "held-out", count),
            precision=training.precision,
        )
        direction = preconditioned(found, list(encoder.parameters()), training.optimizer)
        batch = training.send(training.clips[training.done])  # the next one
        slope_T = by_weights(training.objective, batch, training.done, direction)
        if ignores_size(training.optimizer, training.settings):
            slope_T = without_size(slope_T, self._weights_T.detach())
        self._weights_T.grad = slope_T
        self._adam.step()
        with torch.no_grad():
            self._weights_T.clamp_(0.0, 1.0)
        self.values.append(value)
        self._set(self._weights_T.detach().numpy().copy())

    def save(self, folder: Path) -> None:
        """Save all of it."""
        tensors = {"learning:trajectory": torch.from_numpy(np.stack(self.trajectory))}
        state = self._adam.state.get(self._weights_T, {})
        tensors |= {f"learning:{name}": value for name, value in state.items()}
        save_checkpoint(folder, self.training.done, self.training.tensors() | tensors, {"values": self.values})

    def load(self, folder: Path) -> None:
        """Put back the newest state that was saved, if there is one."""
        checkpoint = load_newest(folder)
        if checkpoint is None:
            return
        self.passed_over = checkpoint.skipped
        own: dict[str, Tensor] = {}
        for key in [key for key in checkpoint.tensors if key.startswith("learning:")]:
            own[key.removeprefix("learning:")] = checkpoint.tensors.pop(key)
        self.training.load(checkpoint.step, checkpoint.tensors)
        trajectory = list(own.pop("trajectory").numpy())
        self.values = checkpoint.state["values"]
        self.trajectory = trajectory[:-1]
        self._set(trajectory[-1])
        with torch.no_grad():
            self._weights_T.copy_(torch.from_numpy(trajectory[-1]))
        if own:
            self._adam.state[self._weights_T] = own

    def _set(self, weights_T: np.ndarray) -> None:
        self.trajectory.append(weights_T)
        objective = self.training.objective
        objective.weights = {str(term): float(weight) for term, weight in zip(objective.terms, weights_T, strict=True)}


def _points(trajectory: Sequence[np.ndarray]) -> list[list[float]]:
    """Return the weights at the start, their mean over the second half of the training, and the last."""
    late = trajectory[len(trajectory) // 2 :]
    return [trajectory[0].tolist(), np.mean(late, axis=0).tolist(), trajectory[-1].tolist()]


def _read(path: Path) -> list[np.ndarray]:
    return [np.array(row) for row in json.loads(path.read_text())["weights"]]
