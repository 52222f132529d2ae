"""`elo benchmark --repeat RESULT`: do a benchmark again from its result alone, with nothing of it kept, and compare."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from elo_cli import dist
from elo_cli.core.errors import DataError, EloError
from elo_cli.core.settings import Settings
from elo_cli.run.directory import RunDirectory
from elo_cli.workflows import benchmark
from elo_cli.workflows.benchmark_record import place_of
from elo_cli.workflows.events import Outcome, Table, Watch
from elo_cli.workflows.representations import Representation, named_encoder, named_features

_SHOWN = 20  # differences


class DifferentResult(EloError):
    """A benchmark was done again and its numbers differ.

    Attributes:
        outcome: all that was found, as that of an equal result has it.
    """

    def __init__(self, message: str, *, hint: str, outcome: Outcome) -> None:
        super().__init__(message, hint=hint)
        self.outcome = outcome


def plan(*, settings: Settings, repeat: Path, root: Path | None, out: Path | None, fresh: bool) -> Outcome:
    """Say what `run` would do; writes nothing."""
    document = _read(repeat)
    stored, place = document["dataset"], out or _place(settings, document, fresh=fresh)
    result = {"dataset": stored["name"], "representations": document["representations"], "out": str(place)}
    row = (
        stored["name"],
        str(root or stored["source"]),
        ", ".join(one["name"] for one in document["representations"]),
        str(place),
    )
    return Outcome(result, (Table("The benchmark would be done again", ("data set", "in", "of", "into"), (row,)),))


def run(*, settings: Settings, repeat: Path, root: Path | None, out: Path | None, fresh: bool, watch: Watch) -> Outcome:
    """Do a benchmark again: every setting is the result's own, but for the workspace.

    Args:
        settings: where the workspace is.
        repeat: the `result.json` of a benchmark.
        root: where the data set lies now; None for where it was.
        out: where the new run is kept.

    Raises:
        DataError: the file is none of a benchmark, or what it names is no longer there, or another.
        DifferentResult: a number differs.
    """
    document = _read(repeat)
    again = _settings(document, settings)
    labelled = benchmark.find(again, document["dataset"]["asked"], root or Path(document["dataset"]["source"]))
    now = benchmark.digest(labelled)
    if now != document["dataset"]["digest"]:
        raise DataError(
            f"{labelled.name} in {labelled.root} has other videos, labels or splits than were scored ({now}, not"
            f" {document['dataset']['digest']}).",
            hint="Give the same data set with --root.",
        )
    chosen = [_again(told) for told in document["representations"] if told["path"] is not None]
    # What was done again before proves nothing now.
    fresh = fresh or RunDirectory(out or _place(settings, document, fresh=False)).result.exists()
    place = out or _place(settings, document, fresh=fresh)
    outcome = benchmark.score(
        chosen, labelled, again, place, asked=document["dataset"]["asked"], fresh=fresh, watch=watch, anew=True
    )
    if dist.rank():
        return outcome
    differing = differences(document["results"], outcome.result["results"])
    told = {"lines": len(document["results"]), "equal": not differing, "differences": differing}
    rows = [(name, str(old), str(new)) for name, (old, new) in list(differing.items())[:_SHOWN]]
    note = "Every number is the same, to the last digit." if not rows else f"{len(differing)} numbers differ."
    table = Table(f"Done again: {told['lines']} lines", ("number", "was", "is"), rows, note)
    found = Outcome({**outcome.result, "repeated": told}, (*outcome.tables, table), outcome.files)
    if differing:
        raise DifferentResult(
            f"{len(differing)} numbers of {repeat} are others now.",
            hint="Another processor, GPU, number of threads or version of a library changes last digits; environment.json beside"
            " both results says which. Larger differences have another cause.",
            outcome=found,
        )
    return found


def differences(before: list[Mapping[str, Any]], after: list[Mapping[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """Compare the lines of two results, field by field; None stands for what one of them lacks."""
    flat = [_flat({f"{line['representation']}, {line['protocol']}": line for line in lines}) for lines in (before, after)]
    names = sorted(flat[0].keys() | flat[1].keys())
    return {name: (flat[0].get(name), flat[1].get(name)) for name in names if flat[0].get(name) != flat[1].get(name)}


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        found: dict[str, Any] = {}
        for key, part in entries:
            found |= _flat(part, f"{name}.{key}" if name else str(key))
        return found
    return {name: value}


def _read(path: Path) -> dict[str, Any]:
    """Read a result of a benchmark.

    Raises:
        DataError: it is none.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        document["settings"]
        told = [[document["dataset"][name] for name in ("asked", "name", "source", "digest")]]
        told += [[one[name] for name in ("name", "row", "kind", "path", "sha256")] for one in document["representations"]]
        told += [[line[name] for name in ("representation", "protocol")] for line in document["results"]]
        assert all(told)
        return document
    except (OSError, AssertionError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, OSError):
            raise DataError(f"{path} cannot be read: {error.strerror}.", hint="Give the result.json of a run.") from error
        why = str(error) if isinstance(error, ValueError) else "something that each has is not there"
        raise DataError(f"{path} is no result of elo benchmark: {why}.", hint="Give the result.json of a run.") from error


def _settings(document: Mapping[str, Any], ours: Settings) -> Settings:
    """Take the settings of a result; this workspace, and no row is trained again."""
    try:
        stored = Settings.model_validate_json(json.dumps(document["settings"]))
    except ValueError as error:
        raise DataError(
            f"The settings of the result are not those of this version of elo: {error}",
            hint=f"It was made by elo {document.get('elo')}: install that version to do it again.",
        ) from error
    return stored.model_copy(update={"workspace": ours.workspace})


def _again(told: Mapping[str, Any]) -> Representation:
    """Load what was scored, from where it was.

    Raises:
        DataError: it is gone, or another by now.
    """
    load = {"encoder": named_encoder, "features": named_features}[told["kind"]]
    found = replace(load(told["path"]), name=told["name"])
    if found.digest != told["sha256"]:
        raise DataError(
            f"{told['path']} is not what was scored as {told['name']}: its SHA-256 is {found.digest}, not {told['sha256']}.",
            hint="Put the former file there.",
        )
    return found.as_row(told["row"])


def _place(settings: Settings, document: Mapping[str, Any], *, fresh: bool) -> Path:
    return place_of(settings, document["dataset"]["asked"], document["dataset"]["name"], fresh=fresh, verb="repeated")
