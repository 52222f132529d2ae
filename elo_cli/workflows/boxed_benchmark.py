"""`elo benchmark` on keyframes with boxes: what it may be asked for, and its run from the data set to the result."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elo_cli import dist
from elo_cli.core.boxes import BoxedSet, Keyframe
from elo_cli.core.errors import UsageError
from elo_cli.core.settings import Settings
from elo_cli.engine.precision import Precision
from elo_cli.protocols import SHELF as PROTOCOLS
from elo_cli.workflows.benchmark_record import FREE, cache_of, stored_settings, told_changes, write_result
from elo_cli.workflows.detecting import PROTOCOL, detect
from elo_cli.workflows.events import Outcome, Watch
from elo_cli.workflows.material import spending
from elo_cli.workflows.prepared_sets import PreparedSets
from elo_cli.workflows.ranks import open_directory
from elo_cli.workflows.representations import Representation, check_names, untrained
from elo_cli.workflows.score_tables import precision_table

_NEEDS = "boxes"


def check_fitting(name: str, *, boxes: bool, settings: Settings) -> None:
    """Make sure that the protocols and the splits that were asked for are some of the set's.

    Args:
        name: of the set.
        boxes: whether it has persons in boxes, and not classes of videos.
        settings: what was asked for.

    Raises:
        UsageError: they are not.
    """
    wanted, chosen = settings.benchmark, settings.benchmark.protocols
    of_boxes = [name for name in chosen if getattr(PROTOCOLS.take(name), "NEEDS", None) == _NEEDS]
    others = [name for name in chosen if name not in of_boxes]
    if not boxes and of_boxes:
        raise UsageError(
            f"The protocol {of_boxes[0]} needs persons in boxes, and {name} has none.",
            hint=f"Score {name} by others, such as --protocol linear; elo benchmark ava has boxes.",
        )
    if boxes and others and "protocols" in wanted.model_fields_set:
        raise UsageError(
            f"{name} cannot be scored by {', '.join(others)}: it has persons in boxes, and no classes of videos.",
            hint=f"Leave --protocol and benchmark.protocols out, or name {PROTOCOL} alone.",
        )
    if boxes and wanted.splits:
        raise UsageError(f"{name} has no split '{wanted.splits[0]}'.", hint="Its one split is official: leave splits out.")


def check_asked(boxed: BoxedSet, features: Sequence[str], table: int | None) -> None:
    """Make sure that nothing was asked for that only sets of labelled videos have.

    Raises:
        UsageError: something was.
    """
    if features:
        raise UsageError(
            f"--features {features[0]}: features of a file know nothing of the boxes of {boxed.name}.",
            hint="Give encoders alone: --encoder [NAME=]FILE.",
        )
    if table is not None:
        raise UsageError(f"No table of the paper has numbers of {boxed.name}.", hint="Leave --table out.")


def score_boxed(
    chosen: Sequence[Representation],
    boxed: BoxedSet,
    settings: Settings,
    place: Path,
    *,
    fresh: bool,
    watch: Watch,
    asked: str,
    anew: bool,
) -> Outcome:
    """Train and score encoders, with an untrained one beside them, and write the results.

    Args:
        asked: the entry of `elo_cli/datasets` that found the set.
        anew: nothing that others made is taken: what can be made again is kept in the run's own directory.

    Raises:
        UsageError: there is no encoder to be scored, or two have one name.
    """
    like = next((one.encoder for one in chosen if one.encoder is not None), None)
    if like is None:
        raise UsageError("There is no encoder to be scored.", hint="Give one with --encoder [NAME=]FILE.")
    if settings.benchmark.baselines:
        chosen = [untrained(like, settings.seed), *chosen]
    check_names(chosen)
    # The result says by what it was scored, so that it can be done again from it alone.
    settings = settings.model_copy(update={"benchmark": settings.benchmark.model_copy(update={"protocols": (PROTOCOL,)})})
    precision = Precision.choose(settings.machine)
    stored = stored_settings(settings, boxed.name, digest(boxed), chosen, precision)
    with dist.joined(precision.device):
        opened = open_directory(place, stored, precision, fresh=fresh, free=FREE)
        with spending() as spent, opened as directory:
            told_changes(directory, watch)
            sets = PreparedSets(cache_of(directory, settings, anew=anew), watch)
            found = [detect(one, boxed, sets, settings, directory, watch) for one in chosen]
            if dist.rank():
                return Outcome({})
            lines = [line for line in found if line is not None]
            write_result(directory.result, _found(boxed, asked), lines, settings, chosen, precision)
    result = {"results": lines, **spent.record(), "out": str(directory.root)}
    return Outcome(result, (precision_table(lines), spent.table()), {"results": str(directory.result)})


def digest(boxed: BoxedSet) -> str:
    """Name the keyframes, boxes and labels of both sides, so that a run never goes on with others."""
    told = hashlib.sha256(json.dumps([list(boxed.classes.items()), boxed.given]).encode())
    for side in (boxed.train, boxed.test):
        for keyframe in side:
            told.update(_content(keyframe))
        told.update(b"\n")
    return told.hexdigest()[:16]


def _content(keyframe: Keyframe) -> bytes:
    boxes = keyframe.box_K4, keyframe.given_G4, keyframe.confidence_G
    text = json.dumps([keyframe.id, keyframe.at_s, keyframe.labels, *(numbers.tolist() for numbers in boxes)])
    return text.encode()


def _found(boxed: BoxedSet, asked: str) -> dict[str, Any]:
    return {
        "asked": asked,
        "name": boxed.name,
        "source": str(boxed.root),
        "root": str(boxed.root),
        "videos": len({keyframe.video for keyframe in boxed.train + boxed.test}),
        "classes": len(boxed.classes),
        "keyframes": {"train": len(boxed.train), "test": len(boxed.test)},
        "boxes": boxed.given,
        "missing": list(boxed.missing),
        "digest": digest(boxed),
    }
