"""What a benchmark shows: its plan, its scores, and the paper's tables with what was measured beside."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from elo_cli.core.boxes import BoxedSet
from elo_cli.core.settings import Settings
from elo_cli.datasets import LabelledSet
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Outcome, Table
from elo_cli.workflows.paper_tables import paper_table, table_record
from elo_cli.workflows.representations import Representation

Line = Mapping[str, Any]
_ALIKE = ("seed", "clips", "crops", "average", "missing_videos")  # what must be the same of numbers that are compared
_OF_EPISODES = ("fewshot",)  # whose classes are few and drawn anew: guessing the commonest class of all is no comparison


def planned(
    labelled: LabelledSet, chosen: Sequence[Representation], rows: Sequence[str], settings: Settings, place: Path
) -> Outcome:
    """Say what a benchmark would do."""
    names = [one.name for one in chosen] + list(rows)
    result = {
        "dataset": labelled.name,
        "videos": len(labelled.videos),
        "splits": [split.name for split in labelled.splits],
        "missing": len(labelled.missing),
        "protocols": list(settings.benchmark.protocols),
        "representations": [one.record() for one in chosen],
        "rows": list(rows),
        "out": str(place),
    }
    columns = ("data set", "videos", "splits", "protocols", "of", "into")
    counts = str(len(labelled.videos)), str(len(labelled.splits))
    row = (labelled.name, *counts, ", ".join(settings.benchmark.protocols), ", ".join(names), str(place))
    return Outcome(result, (Table("The benchmark would do", columns, (row,)),))


def planned_on_boxes(
    boxed: BoxedSet, chosen: Sequence[Representation], rows: Sequence[str], protocols: Sequence[str], place: Path
) -> Outcome:
    """Say what a benchmark on keyframes with boxes would do."""
    names = [one.name for one in chosen] + list(rows)
    result = {
        "dataset": boxed.name,
        "keyframes": {"train": len(boxed.train), "test": len(boxed.test)},
        "classes": len(boxed.classes),
        "boxes": boxed.given,
        "missing": len(boxed.missing),
        "protocols": list(protocols),
        "representations": [one.record() for one in chosen],
        "rows": list(rows),
        "out": str(place),
    }
    columns = ("data set", "keyframes", "boxes", "protocols", "of", "into")
    counts = f"{len(boxed.train)} + {len(boxed.test)}", boxed.given
    row = (boxed.name, *counts, ", ".join(protocols), ", ".join(names), str(place))
    return Outcome(result, (Table("The benchmark would do", columns, (row,)),))


def precision_table(lines: Sequence[Line]) -> Table:
    """Show mAP, a row for each representation."""
    one = lines[-1]
    rows = [(line["representation"], f"{100 * line['mean_average_precision']:.1f}") for line in lines]
    annotated = sum(value is not None for value in one["per_class"].values())
    keyframes = one["keyframes"]
    bound = "all" if one["most"] is None else f"at most {one['most']}"
    note = (
        f"mean over {annotated} classes of the average precision at an IoU of 0.5; boxes: {one['boxes']}, {bound} detections of a"
        f" keyframe; {keyframes['trained']} keyframes trained and {keyframes['test']} tested,"
        f" {keyframes['unread_train']} and {keyframes['unreadable']} of them unreadable; {one['missing_videos']} missing videos;"
        f" {one['frames']}×{one['stride']} frames at {one['size']}², {one['view']};"
        f" {'the head alone is trained' if one['frozen'] else 'the whole network is trained'}; seed {one['seed']}"
    )
    return Table(f"{one['dataset']}: mAP in %", ("representation", one["protocol"]), rows, note)


def score_table(lines: Sequence[Line], labelled: LabelledSet, settings: Settings) -> Table:
    """Show accuracies, a row for each representation and a column for each protocol."""
    protocols = list(settings.benchmark.protocols)
    cells: dict[str, dict[str, str]] = {}
    for line in lines:
        deviation = "" if line["deviation"] is None else f" ± {100 * line['deviation']:.1f}"
        cell = "-" if line["accuracy"] is None else f"{100 * line['accuracy']:.1f}{deviation}"
        cells.setdefault(line["representation"], {})[line["protocol"]] = cell
    guessed = {p: "" if p in _OF_EPISODES else "majority" for p in protocols}
    rows = [(name, *(scores.get(p, scores.get(guessed[p], "")) for p in protocols)) for name, scores in cells.items()]
    one = lines[-1]
    views = {_seen(line) for line in lines if line["frames"] is not None}
    seen = " or ".join(sorted(views)) if len(views) < 3 else "clips as each encoder knows them"
    seen = seen or "features of a file"
    averages: dict[str, list[str]] = {}
    for line in lines:
        known = averages.setdefault(line["average"] or "", [])
        known += [line["protocol"]] if line["protocol"] in protocols and line["protocol"] not in known else []
    averaged = "; ".join(f"{what} averaged ({', '.join(by)})" for what, by in averages.items() if by)
    note = (
        f"{len(labelled.videos)} videos, {len(labelled.splits)} split(s), mean ± deviation over them; {seen}; {averaged};"
        f" seed {one['seed']}; {_lacking(lines, labelled)}; {one['missing_videos']} videos of the lists missing"
    )
    return Table(f"{labelled.name}: accuracy in %", ("representation", *protocols), rows, note)


def _seen(line: Line) -> str:
    return f"{line['clips']} clip(s) × {line['crops']} crop(s) of {line['frames']}×{line['stride']} frames at {line['size']}²"


def _lacking(lines: Sequence[Line], labelled: LabelledSet) -> str:
    """How many videos of each side could not be read, or have no features in a file, of the representation that lacks most."""
    sides = {"test": "unreadable_test_videos", "training": "unreadable_train_videos"}
    asked = {"test": sum(len(s.test) for s in labelled.splits), "training": sum(len(s.train) for s in labelled.splits)}
    scored = [line for line in lines if line["protocol"] != "majority" and line["accuracy"] is not None]
    counts = {side: {line[name] for line in scored} or {0} for side, name in sides.items()}
    told = [f"{'up to ' if len(found) > 1 else ''}{max(found)} of {asked[side]} {side}" for side, found in counts.items()]
    return f"{' and '.join(told)} videos unreadable or without features"


def tables_of_the_paper(number: int, lines: Sequence[Line], digest: str, workspace: Workspace) -> tuple[Table, Mapping[str, Any]]:
    """Show a table of the paper, filled with these lines and with what other benchmarks of the workspace measured.

    Only results of the same videos, labels and splits stand beside one another: how many others were left out is said, and in
    what those that are shown differ.

    Args:
        number: 1 to 4.
        lines: of this benchmark; where others say something of the same encoder, these count.
        digest: of the set that they are of; of another set, in Table 2, its newest result says what counts.
        workspace: whose other results are read.
    """
    sets = {line["dataset"] for line in lines}
    wanted = sets | ({"hmdb51", "ucf101"} if number == 2 else set())
    before = [(told, line) for told, line in _measured(workspace) if line["dataset"] in wanted and line["accuracy"] is not None]
    counts = {line["dataset"]: told for told, line in before} | dict.fromkeys(sets, digest)
    same = [line for told, line in before if told == counts[line["dataset"]]]
    together = [*same, *(line for line in lines if line["accuracy"] is not None)]
    shown_ones = {
        (line["row"], line["protocol"], line["representation"] if line["row"] == "random" else None): line for line in together
    }
    differing = _differing([line for line in shown_ones.values() if line["row"] is not None])
    shown, record = paper_table(number, together), table_record(number, together)
    notes = [shown.note]
    if len(same) < len(before):
        notes.append(f"{len(before) - len(same)} results of other videos, labels or splits of a set of this name are left out.")
    if differing:
        said = "; ".join(f"{name} {' or '.join(values)}" for name, values in differing.items())
        notes.append(f"Not all of these were measured alike: {said}.")
    return replace(shown, note="\n".join(notes)), {**record, "left_out": len(before) - len(same), "differing": differing}


def _differing(lines: Sequence[Line]) -> dict[str, list[str]]:
    """Return in what results of one protocol differ though they are compared, and the values."""
    found: dict[str, set[str]] = {}
    for protocol in {line["protocol"] for line in lines}:
        for name in _ALIKE:
            values = {str(line[name]) for line in lines if line["protocol"] == protocol and line[name] is not None}
            if len(values) > 1:
                found.setdefault(name.replace("_", " "), set()).update(values)
        told = [line["settings"] for line in lines if line["protocol"] == protocol]
        for name in sorted({name for one in told for name in one}):
            values = {json.dumps(one.get(name)) for one in told}
            if len(values) > 1:
                found[f"{protocol}.{name}"] = values
    return {name: sorted(values) for name, values in found.items()}


def _measured(workspace: Workspace) -> list[tuple[str, Line]]:
    """Read the results of all benchmarks of a workspace, the oldest first, each with the digest of its set; others are none."""
    found: list[tuple[float, list[tuple[str, Line]]]] = []
    for path in workspace.root.glob("benchmark-*/result.json"):
        try:
            document = json.loads(path.read_text())
            told = str(document["dataset"]["digest"])
            lines = [line for line in document["results"] if line["protocol"] != "majority"]
            rows = [(told, line) for line in lines if {"row", "accuracy", "details", "settings", *_ALIKE} <= set(line)]
            found.append((path.stat().st_mtime, rows))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return [each for _, rows in sorted(found, key=lambda each: each[0]) for each in rows]
