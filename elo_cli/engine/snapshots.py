"""A training's state on disk: put back, and saved."""

from pathlib import Path

import torch

from elo_cli import dist
from elo_cli.core.errors import DataError
from elo_cli.engine.loop import StepRecord, Training
from elo_cli.run.checkpoint import Checkpoint, load_newest, save_checkpoint


def resume(training: Training, folder: Path) -> Checkpoint | None:
    """Put a training back to its newest checkpoint that is whole; None if there is none at all.

    Raises:
        DataError: there are checkpoints, but all are damaged; or the processes that train together do not see the same one.
    """
    checkpoint = load_newest(folder)
    step = torch.tensor(-1 if checkpoint is None else checkpoint.step, device=training.precision.device)
    if dist.agreed(bool(step != dist.first(step)), training.precision.device):
        raise DataError(
            f"Rank {dist.rank()} finds the checkpoint of step {int(step)} in {folder}, and not all ranks find the same.",
            hint="All machines must see one folder: put the run on storage that they share, with --out.",
        )
    if checkpoint is not None:
        training.load(checkpoint.step, checkpoint.tensors)
    return checkpoint


def save(training: Training, folder: Path, record: StepRecord) -> None:
    """Save a training after the step that this record is of.

    Raises:
        StorageError: the disk is full, read-only, or failed; former checkpoints are untouched.
    """
    save_checkpoint(folder, training.done, training.tensors(), {"loss": record.loss, "parts": record.parts})
