"""What a search does before its first round: learn weights by gradient descent, or find out what each term is worth alone."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from elo_cli.core.errors import UsageError
from elo_cli.core.settings import Settings
from elo_cli.core.weights import Term
from elo_cli.engine.precision import Precision
from elo_cli.run.directory import RunDirectory
from elo_cli.strategies import SHELF as STRATEGIES
from elo_cli.workflows.events import Watch
from elo_cli.workflows.material import Material
from elo_cli.workflows.places import Places
from elo_cli.workflows.rungs import Rungs
from elo_cli.workflows.warm_start import recorded_weights, starting_weights
from elo_cli.workflows.weight_learning import held_out_videos, learn_weights


def learns_weights(settings: Settings) -> bool:
    """Say whether the strategy asks for weights that are learned while one network trains."""
    return bool(getattr(STRATEGIES.take(settings.search.strategy), "LEARNS_WEIGHTS", False))


def check_beginning(settings: Settings, material: Material) -> None:
    """Make sure that what comes before the first round can be done.

    Raises:
        UsageError: the strategy begins from no point, or too few videos would be held out.
    """
    given = settings.search
    if given.warm_start and "start" not in inspect.signature(STRATEGIES.take(given.strategy).Strategy).parameters:
        raise UsageError(
            f"The strategy {given.strategy} begins from no point: a warm start would change nothing.",
            hint="Take cma-es or tournament, or --set search.warm_start=false.",
        )
    if learns_weights(settings):
        held_out_videos(settings, material.videos)


def steps_before(settings: Settings, rungs: Rungs, terms: int) -> int:
    """Return the steps that are trained before the first round."""
    if learns_weights(settings):
        return settings.proxy.steps
    return terms * rungs.steps[0] if settings.search.warm_start else 0


def begin(
    settings: Settings,
    worker: Settings,
    material: Material,
    run: RunDirectory,
    terms: Sequence[Term],
    rungs: Rungs,
    places: Places,
    watch: Watch,
) -> dict[str, Any]:
    """Do it, or go on with it; what was done before is read back.

    Args:
        worker: the settings of one worker.
        rungs: of the search.
        places: where single terms are trained; weights are learned by this process.

    Returns:
        What the strategy is given besides its settings: `points`, `start` or nothing.
    """
    if learns_weights(settings):
        watch.note("Weights are learned while one network trains; search.rounds, population and rungs mean nothing here.")
        precision = Precision.choose(settings.machine)
        points = learn_weights(settings, material, terms, run, precision, watch)
        if precision.device.type == "cuda":
            torch.cuda.empty_cache()  # the workers need it
        return {"points": points}
    if settings.search.warm_start:
        return {"start": starting_weights(worker, material.videos.root.absolute(), run, terms, rungs, watch, places)}
    return {}


def begun(settings: Settings, root: Path, terms: Sequence[Term]) -> dict[str, Any]:
    """Read back what `begin` found in a run's directory; nothing where it is not complete."""
    found = recorded_weights(RunDirectory(root), len(terms)) if settings.search.warm_start else None
    return {} if found is None else {"start": found}
