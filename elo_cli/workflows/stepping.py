"""The steps of a training, told to whoever watches; its state is saved where it is stopped."""

from collections.abc import Callable, Mapping
from typing import Any

from elo_cli.core.errors import Stopped, TrainingError
from elo_cli.core.settings import Settings
from elo_cli.engine.loop import StepRecord, Training
from elo_cli.engine.setup import loader_workers
from elo_cli.workflows.events import Watch
from elo_cli.workflows.ranks import check


def step_through(
    training: Training[Any],
    settings: Settings,
    stage: str,
    watch: Watch,
    *,
    note: Callable[[StepRecord], Mapping[str, float]],
    save: Callable[[StepRecord], None],
) -> None:
    """Bring a training to its end from where it is; all ranks call it.

    Args:
        training: put back to where it goes on from.
        settings: of the machine.
        stage: what it is called.
        watch: is told of the progress, and asked whether to stop.
        note: writes down what is due after a step, and returns figures to be shown beside its loss.
        save: saves the state after a step.

    Raises:
        TrainingError: too often something was no finite number; the state is saved.
        Stopped: somebody asked for it; the state is saved.
    """
    record: StepRecord | None = None
    watch.start(stage, training.settings.steps, "step")
    try:
        for record in training.run(loader_workers(settings.machine, training.precision)):
            watch.advance(stage, training.done, {"loss": record.loss, **note(record)})
            if record.skipped:
                clips = f", on clips of {', '.join(record.clips)}" if record.clips else ""
                watch.warn(f"{stage}: step {training.done} went without {', '.join(record.skipped)}: no finite number{clips}.")
            check(watch, training.precision)
    except (Stopped, TrainingError):
        if record is not None:
            save(record)
        raise
    watch.finish(stage)
