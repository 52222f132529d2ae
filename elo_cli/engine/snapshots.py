"""A training's state on disk: put back, and saved."""

from pathlib import Path

from elo_cli.engine.loop import StepRecord, Training
from elo_cli.run.checkpoint import Checkpoint, load_newest, save_checkpoint


def resume(training: Training, folder: Path) -> Checkpoint | None:
    """Put a training back to its newest checkpoint that is whole; None if there is none at all.

    Raises:
        DataError: there are checkpoints, but all are damaged.
    """
    checkpoint = load_newest(folder)
    if checkpoint is not None:
        training.load(checkpoint.step, checkpoint.tensors)
    return checkpoint


def save(training: Training, folder: Path, record: StepRecord) -> None:
    """Save a training after the step that this record is of.

    Raises:
        StorageError: the disk is full, read-only, or failed; former checkpoints are untouched.
    """
    save_checkpoint(folder, training.done, training.tensors(), {"loss": record.loss, "parts": record.parts})
