"""A training's state on disk: put back, and saved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from elo_cli import dist
from elo_cli.core.errors import DataError
from elo_cli.engine.loop import StepRecord, Training
from elo_cli.run.checkpoint import Checkpoint, load_newest, save_checkpoint


def resume(training: Training[Any], folder: Path) -> Checkpoint | None:
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


def save(
    training: Training[Any],
    folder: Path,
    record: StepRecord,
    *,
    best: Mapping[str, float] | None = None,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Save a training after the step that this record is of; the last `keep` stay, and that of `best`.

    Args:
        best: `step` and score of the best that was seen so far, which is kept with the state.
        card: what the RGB encoder is, so that it can be taken out of the checkpoint.

    Raises:
        StorageError: the disk is full, read-only, or failed; former checkpoints are untouched.
    """
    state = {"loss": record.loss, "parts": record.parts, "best": best, **({} if card is None else {"card": card})}
    spare = None if best is None else int(best["step"])
    save_checkpoint(folder, training.done, training.tensors(), state, keep=training.settings.keep, spare=spare)
