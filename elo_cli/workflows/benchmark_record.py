"""What a benchmark keeps: the settings that its directory is bound to, and the result that it can be done again from."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from elo_cli import __version__, dist
from elo_cli.core.files import write_json
from elo_cli.core.settings import Settings
from elo_cli.datasets import LabelledSet
from elo_cli.engine.precision import Precision
from elo_cli.run.directory import RunDirectory
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Watch
from elo_cli.workflows.representations import Representation

# What may differ from one start to the next: it changes no line that is there.
FREE = frozenset({"benchmark.protocols", "machine.loader_workers", "machine.threads"})
_STORED = ("seed", "benchmark", "extract", "machine")


def stored_settings(
    settings: Settings, name: str, digest: str, chosen: Sequence[Representation], precision: Precision
) -> dict[str, Any]:
    """Say what the directory of a benchmark is bound to.

    Args:
        settings: those of the run.
        name: of the data set.
        digest: of what is in it.
        chosen: what is scored.
        precision: how networks are computed.
    """
    dump = settings.model_dump(mode="json")
    stored: dict[str, Any] = {key: dump[key] for key in _STORED}
    stored |= {"dataset": name, "splits": digest, "computed": precision.describe()}
    return stored | {"representations": {one.name: one.digest for one in chosen}}


def told_changes(run: RunDirectory, watch: Watch) -> None:
    """Warn of what changed in the environment since the run was last at work."""
    for change in run.environment_changes:
        watch.warn(f"The environment changed since this run began: {change}")


def with_former(
    path: Path, lines: Sequence[Mapping[str, Any]], settings: Settings, seen: Collection[str | None]
) -> tuple[list[Mapping[str, Any]], Settings]:
    """Add the lines that former starts of a run have by other protocols, and those protocols to the settings.

    Args:
        path: of the run's result, if it has one; the run is bound to the settings that both follow from.
        lines: of this start.
        settings: of this start.
        seen: fingerprints of what is looked at now: a line that looked at something else is left out.
    """
    try:
        before = json.loads(path.read_text())["results"] if path.exists() else []
    except (ValueError, KeyError, TypeError):  # of another version
        before = []
    now = settings.benchmark.protocols
    kept = [
        line for line in before if line["protocol"] not in (*now, "majority") and (line["data"] is None or line["data"] in seen)
    ]
    protocols = tuple(dict.fromkeys([*(line["protocol"] for line in kept), *now]))
    benchmark = settings.benchmark.model_copy(update={"protocols": protocols})
    return [*lines[:1], *kept, *lines[1:]], settings.model_copy(update={"benchmark": benchmark})


def place_of(settings: Settings, asked: str, name: str, *, fresh: bool, verb: str = "benchmark") -> Path:
    """Return where the benchmark of a set is kept: labelled folders and lists have one each.

    Args:
        asked: the entry of `elo_cli/datasets`.
        name: of the set that it found.
        fresh: begin a new run.
        verb: what is done.
    """
    own = "" if name == asked else "-" + re.sub(r"[^\w.-]", "_", name)
    return Workspace(Path(settings.workspace)).place(f"{verb}-{asked}{own}", fresh=fresh)


def cache_of(run: RunDirectory, settings: Settings, *, anew: bool) -> Path:
    """Return where prepared sets and features are kept: for all benchmarks of the workspace, or for this one alone."""
    return (Workspace(Path(settings.workspace)) if not anew else Workspace(run.root)).cache


def described(labelled: LabelledSet, asked: str, digest: str) -> dict[str, Any]:
    """Say which set was scored, for `write_result`: `asked` is the entry of `elo_cli/datasets`, `digest` names what is in it."""
    return {
        "asked": asked,
        "name": labelled.name,
        "source": str((labelled.source or labelled.root).absolute()),
        "root": str(labelled.root.absolute()),
        "videos": len(labelled.videos),
        "classes": len({video.label for video in labelled.videos}),
        "splits": {split.name: {"train": len(split.train), "test": len(split.test)} for split in labelled.splits},
        "missing": list(labelled.missing),
        "digest": digest,
    }


def write_result(
    path: Path,
    dataset: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    settings: Settings,
    chosen: Sequence[Representation],
    precision: Precision,
) -> None:
    """Write the result of a benchmark: lines, and all that it takes to do it again.

    Args:
        path: of the file.
        dataset: which set: `asked`, `source`, `digest` and what a person may want to know.
        lines: one for each representation and protocol.
        settings: all of them.
        chosen: what was scored.
        precision: how networks were computed, this time.
    """
    document = {"elo": __version__, "dataset": dict(dataset), "settings": settings.model_dump(mode="json")}
    document |= {"computed": {**precision.describe(), "threads": precision.threads, "processes": dist.world()}}
    write_json(path, document | {"representations": [one.record() for one in chosen], "results": list(lines)})
