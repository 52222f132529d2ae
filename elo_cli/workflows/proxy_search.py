"""`elo proxy-search`: the search in one shot: many losses, each trained once and scored."""

from pathlib import Path

from elo_cli.core.errors import UsageError
from elo_cli.core.settings import Settings
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Outcome, Watch
from elo_cli.workflows.search import Search, plan_search


def plan(*, settings: Settings, data: Path | None, out: Path | None, fresh: bool) -> Outcome:
    """Say what `run` would do; writes nothing."""
    return plan_search(settings, data, _place(settings, out, fresh), 1, _strategy(settings), settings.proxy_search.candidates)


def run(*, settings: Settings, data: Path | None, out: Path | None, fresh: bool, watch: Watch) -> Outcome:
    """Try random or gridded losses on a preprocessed set.

    Raises:
        DataError: there is no preprocessed set, or its segments are too short.
        UsageError: the strategy learns from scores, which one shot cannot use.
    """
    return Search(settings, _strategy(settings), 1, settings.proxy_search.candidates).run(
        data, _place(settings, out, fresh), fresh, watch
    )


def _strategy(settings: Settings) -> str:
    name = settings.proxy_search.strategy
    if name not in ("random", "grid"):
        raise UsageError(
            f"proxy-search tries random or gridded losses, not '{name}'.",
            hint="For a search that learns: elo evolve --strategy cma-es",
        )
    return name


def _place(settings: Settings, out: Path | None, fresh: bool) -> Path:
    return out or Workspace(Path(settings.workspace)).place("proxy-search", fresh=fresh)
