"""A training on labels, from its newest checkpoint to its end: the same for every protocol that trains a network."""

import json
import time
from pathlib import Path
from typing import Any

from elo_cli import dist
from elo_cli.core.errors import UsageError
from elo_cli.core.files import storage_errors, write_json
from elo_cli.core.settings import Settings
from elo_cli.engine.loop import StepRecord, Training
from elo_cli.engine.snapshots import resume, save
from elo_cli.run.journal import Journal
from elo_cli.workflows.events import Watch
from elo_cli.workflows.stepping import step_through
from elo_cli.workflows.training_notes import LOG_EVERY_S, step_line


def bind(folder: Path, **made_of: Any) -> None:
    """Bind a folder to what its training follows from, or find that it was begun with the same; all ranks call it.

    Args:
        folder: of checkpoints and results.
        made_of: plain JSON: fingerprints of what is seen, and the like.

    Raises:
        UsageError: it was begun with others.
    """
    path = folder / "made-of.json"
    if path.exists():
        before = json.loads(path.read_text())
        differing = [f"{name}: {before.get(name)} → {value}" for name, value in made_of.items() if before.get(name) != value]
        if differing:
            raise UsageError(
                f"{folder} was begun with something else: {'; '.join(differing)}.",
                hint="--fresh starts a new run beside it; or bring back what it was begun with.",
            )
    elif not dist.rank():
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_json(path, made_of)


def train_on(training: Training[Any], folder: Path, settings: Settings, stage: str, watch: Watch) -> None:
    """Bring a training to its end; all ranks call it.

    Args:
        training: as it begins; its newest checkpoint, if there is one, is put back.
        folder: of its log and checkpoints.
        settings: of the machine.
        stage: what it is called.
        watch: is told of the progress, and asked whether to stop.

    Raises:
        TrainingError: too often something was no finite number; the state is saved.
        Stopped: somebody asked for it; the state is saved.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    log, checkpoints, logged = Journal(folder / "log.jsonl"), folder / "checkpoints", 0.0
    checkpoint = resume(training, checkpoints)
    if checkpoint is not None and training.done < training.settings.steps:
        watch.note(f"{stage}: going on from step {training.done}.")

    def keep(record: StepRecord) -> None:
        if not dist.rank():
            save(training, checkpoints, record)

    def note(record: StepRecord) -> dict[str, float]:
        nonlocal logged
        last = training.done == training.settings.steps
        if not dist.rank() and (last or record.skipped or time.monotonic() - logged > LOG_EVERY_S):
            logged = time.monotonic()
            log.append(step_line(record))
        if last or training.done % training.settings.checkpoint_every == 0:
            keep(record)
        return {}

    step_through(training, settings, stage, watch, note=note, save=keep)
