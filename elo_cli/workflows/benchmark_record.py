"""What a benchmark keeps: the settings that its directory is bound to, and the result that it can be done again from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elo_cli import __version__
from elo_cli.core.files import write_json
from elo_cli.core.settings import Settings
from elo_cli.run.directory import RunDirectory
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.representations import Representation

# What may differ from one start to the next: it changes no line that is there.
FREE = frozenset({"benchmark.protocols", "machine.loader_workers", "machine.threads"})
_STORED = ("seed", "benchmark", "extract", "machine")


def stored_settings(settings: Settings, name: str, digest: str, chosen: Sequence[Representation]) -> dict[str, Any]:
    """Say what the directory of a benchmark is bound to.

    Args:
        settings: those of the run.
        name: of the data set.
        digest: of what is in it.
        chosen: what is scored.
    """
    dump = settings.model_dump(mode="json")
    stored: dict[str, Any] = {key: dump[key] for key in _STORED}
    stored |= {"dataset": name, "splits": digest}
    return stored | {"representations": {one.name: one.digest for one in chosen}}


def cache_of(run: RunDirectory, settings: Settings, *, anew: bool) -> Path:
    """Return where prepared sets and features are kept: for all benchmarks of the workspace, or for this one alone."""
    return (Workspace(Path(settings.workspace)) if not anew else Workspace(run.root)).cache


def write_result(
    path: Path,
    dataset: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    settings: Settings,
    chosen: Sequence[Representation],
) -> None:
    """Write the result of a benchmark: lines, and all that it takes to do it again.

    Args:
        path: of the file.
        dataset: which set: `asked`, `source`, `digest` and what a person may want to know.
        lines: one for each representation and protocol.
        settings: all of them.
        chosen: what was scored.
    """
    document = {"elo": __version__, "dataset": dict(dataset), "settings": settings.model_dump(mode="json")}
    write_json(path, document | {"representations": [one.record() for one in chosen], "results": list(lines)})
