"""`elo proxy-search`: the search in one shot: many losses, each trained once and scored."""

from pathlib import Path

from elo_cli.core.errors import UsageError
from elo_cli.core.settings import Settings
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Outcome, Watch
from elo_cli.workflows.search import plan_search, run_search


def plan(*, settings: Settings, data: Path | None, out: Path | None, fresh: bool) -> Outcome:
    """Say what `run` would do; writes nothing."""
    return plan_search(_one_round(settings), data, _place(settings, out, fresh))


def run(*, settings: Settings, data: Path | None, out: Path | None, fresh: bool, watch: Watch) -> Outcome:
    """Try random or gridded losses on a preprocessed set.

    Raises:
        DataError: there is no preprocessed set, or its segments are too short.
        UsageError: the strategy learns from scores, which one shot cannot use.
    """
    return run_search(_one_round(settings), data, _place(settings, out, fresh), fresh, watch)


def _one_round(settings: Settings) -> Settings:
    """Make the search one round of all candidates, each trained to its end."""
    given = settings.proxy_search
    if given.strategy not in ("random", "grid"):
        raise UsageError(
            f"proxy-search tries random or gridded losses, not '{given.strategy}'.",
            hint="For a search that learns: elo evolve --strategy cma-es",
        )
    search = {"strategy": given.strategy, "rounds": 1, "population": given.candidates, "rungs": 1, "warm_start": False}
    return settings.model_copy(update={"search": settings.search.model_copy(update=search)})


def _place(settings: Settings, out: Path | None, fresh: bool) -> Path:
    return out or Workspace(Path(settings.workspace)).place("proxy-search", fresh=fresh)
