"""`elo evolve`: search for the loss whose proxies have the best fitness."""

from pathlib import Path

from elo_cli.core.settings import Settings
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Outcome, Watch
from elo_cli.workflows.search import plan_search, run_search


def plan(*, settings: Settings, data: Path | None, out: Path | None, fresh: bool) -> Outcome:
    """Say what `run` would do; writes nothing."""
    return plan_search(settings, data, _place(settings, out, fresh))


def run(*, settings: Settings, data: Path | None, out: Path | None, fresh: bool, watch: Watch) -> Outcome:
    """Evolve a loss on a preprocessed set.

    Raises:
        DataError: there is no preprocessed set, or its segments are too short.
        TrainingError: every candidate failed.
    """
    return run_search(settings, data, _place(settings, out, fresh), fresh, watch)


def _place(settings: Settings, out: Path | None, fresh: bool) -> Path:
    return out or Workspace(Path(settings.workspace)).place("evolve", fresh=fresh)
