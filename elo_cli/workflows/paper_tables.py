"""The paper's Tables 1 to 4 with the result lines of benchmarks beside its figures.

A result line is what `elo benchmark` writes of one representation under one protocol. Read of it are `representation`, `row` (the
row of the paper that it is compared with, or None), `dataset`, `protocol`, `accuracy` and `deviation` (shares), `encoder`,
`details` and `search`. Records hold shares in [0, 1]; tables show percent.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from elo_cli.core.errors import UsageError
from elo_cli.workflows import paper_figures as paper
from elo_cli.workflows.events import Table

Line = Mapping[str, Any]
Record = dict[str, Any]

_COUNTS_A_BLOCK = 10  # numbers of labels side by side: so many has the paper
_ABSENT, _RANDOM = "-", "random"
_PAPER = f"paper: as printed there, of a {paper.ENCODER}; its unsupervised rows were trained on {paper.TRAINED_ON}."
_FOUND = (("elo-without-distillation",), ("elo", None))  # rows of the best loss of a search, the last before the first
_STRATEGIES = ("finetune", "linear")  # protocols that strategies are compared by, the paper's first


def paper_table(number: int, lines: Sequence[Line]) -> Table:
    """Show a table of the paper, its figures and what was measured side by side.

    Args:
        number: 1 to 4.
        lines: results of one data set; for Table 2 of several. Of several results of one row and protocol the last counts, but of
            the row `random` the mean over encoders is shown.

    Raises:
        UsageError: there is no such table, or the results are of several data sets.
    """
    record = table_record(number, lines)
    show = (_show_hmdb51, _show_state_of_the_art, _show_by_labels, _show_by_strategy)[number - 1]
    return show(record)


def table_record(number: int, lines: Sequence[Line]) -> Record:
    """Return the same as plain JSON: the paper's figures and the measured ones apart, None for what is absent.

    Args:
        number, lines: as for `paper_table`.

    Raises:
        UsageError: there is no such table, or the results are of several data sets.
    """
    makers: tuple[Callable[[Sequence[Line]], Record], ...] = (_hmdb51, _state_of_the_art, _by_labels, _by_strategy)
    if not 1 <= number <= len(makers):
        raise UsageError(f"No Table {number} of the paper is drawn beside results.", hint="Choose 1, 2, 3 or 4.")
    if number != 2 and len(sets := sorted({line["dataset"] for line in lines})) > 1:
        raise UsageError(
            f"Table {number} compares results of one data set, and these are of {', '.join(sets)}.",
            hint="Give those of one of them; Table 2 is of several.",
        )
    about = {"encoder": paper.ENCODER, "trained_on": paper.TRAINED_ON}
    return {"table": number, "paper": about, **makers[number - 1](lines)}


def paper_curves() -> dict[str, list[dict[str, float | None]]]:
    """Return the paper's Table 3 in the form of measured curves: of each method `labels`, and `accuracy`, a share."""
    return {method.name: paper.curve(method) for method in paper.BY_LABELS}


def _hmdb51(lines: Sequence[Line]) -> Record:
    protocols = paper.HMDB51_PROTOCOLS
    by_protocol = {name: [line for line in lines if line["protocol"] == name] for name in protocols}
    rows, used = _rows(paper.HMDB51, protocols, by_protocol), [line for line in lines if line["protocol"] in protocols]
    return {"dataset": _dataset(lines), "paper_dataset": "hmdb51", "rows": rows, "in_no_row": _left_over(used, rows)}


def _state_of_the_art(lines: Sequence[Line]) -> Record:
    lines = [line for line in lines if line["protocol"] == "finetune"]
    sets = dict.fromkeys((*paper.STATE_OF_THE_ART_SETS, *(line["dataset"] for line in lines)))
    of_set = {name: [line for line in lines if line["dataset"] == name] for name in sets}
    rows = _rows(paper.STATE_OF_THE_ART, paper.STATE_OF_THE_ART_SETS, of_set)
    return {"datasets": list(sets), "protocol": "finetune", "rows": rows, "in_no_row": _left_over(lines, rows)}


def _rows(groups: Sequence[paper.Group], columns: Sequence[str], measured: Mapping[str, Sequence[Line]]) -> list[Record]:
    """Make the rows of Tables 1 and 2; `columns` are the paper's, `measured` holds the lines of each measured column."""
    return [
        {
            "group": group.name,
            "method": method.name,
            "row": method.row,
            "paper": dict(zip(columns, method.shares(), strict=True)),
            "measured": {name: _measured(method.row, lines) for name, lines in measured.items()},
        }
        for group in groups
        for method in group.methods
    ]


def _by_labels(lines: Sequence[Line]) -> Record:
    chosen = [line for line in lines if line["protocol"] == "low-label"]
    names = paper.names_of_rows() | {str(method.row): method.name for method in paper.BY_LABELS}
    printed = {str(method.row): paper.curve(method) for method in paper.BY_LABELS}
    rows = [
        {"method": names[row], "row": row, "paper": printed.get(row), "measured": _curve([x for x in chosen if x["row"] == row])}
        for row in (*printed, *(row for row in names if row not in printed))
    ]
    unnamed: dict[str, list[Line]] = {}  # what stands in no row of the paper is compared with it all the same
    for line in chosen:
        if line["row"] not in names:
            unnamed.setdefault(str(line["representation"]), []).append(line)
    rows += [{"method": name, "row": None, "paper": None, "measured": _curve(found)} for name, found in unnamed.items()]
    rows = [row for row in rows if row["paper"] or row["measured"]]
    by = sorted({paper.WAYS[line["details"].get("by", "linear")] for line in chosen})
    return {"dataset": _dataset(lines), "paper_dataset": "kinetics400", "protocol": "low-label", "by": by, "rows": rows}


def _by_strategy(lines: Sequence[Line]) -> Record:
    # A loss without distillation may be all that a search of few modalities can find, or what was left of one for comparison:
    # it stands here where there is no other.
    found = [line for rows in _FOUND for line in lines if line.get("search") and line["row"] in rows]
    methods = {str(method.row): method.name for method in paper.BY_STRATEGY}
    for line in found:  # elo has strategies that the paper has not
        methods.setdefault(line["search"]["strategy"], line["search"]["strategy"])
    printed = {str(method.row): method.shares()[0] for method in paper.BY_STRATEGY}
    rows = []
    for strategy, name in methods.items():
        own = [line for line in found if line["search"]["strategy"] == strategy]
        measured = {protocol: _last(line for line in own if line["protocol"] == protocol) for protocol in _STRATEGIES}
        figures = {"iterations": paper.ITERATIONS[strategy], "accuracy": printed[strategy]} if strategy in printed else None
        rows.append({"method": name, "strategy": strategy, "paper": figures, "measured": measured})
    return {"dataset": _dataset(lines), "paper_dataset": "hmdb51", "rows": rows}


def _dataset(lines: Sequence[Line]) -> str | None:
    return str(lines[0]["dataset"]) if lines else None


def _left_over(lines: Sequence[Line], rows: Sequence[Record]) -> int:
    """Count the representations that stand in no row."""
    named = {row["row"] for row in rows} - {None}
    return len({line["representation"] for line in lines if line["row"] not in named})


def _measured(row: str | None, lines: Sequence[Line]) -> Record | None:
    """Return what was measured of a row; of random losses the mean over encoders and their standard deviation."""
    chosen = [line for line in lines if row is not None and line["row"] == row]
    if row != _RANDOM or not chosen:
        return _last(chosen)
    accuracies = [line["accuracy"] for line in _newest_of_each(chosen)]
    return {**_spread(accuracies), "encoders": len(accuracies)}


def _newest_of_each(lines: Iterable[Line]) -> list[Line]:
    return list({line["representation"]: line for line in lines}.values())  # what is trained anew is another encoder


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    return {"accuracy": statistics.fmean(values), "deviation": statistics.stdev(values) if len(values) > 1 else None}


def _last(lines: Iterable[Line]) -> Record | None:
    found = list(lines)
    if not found:
        return None
    line = found[-1]
    record = {name: line[name] for name in ("representation", "accuracy", "deviation", "encoder")}
    return record | ({"evaluations": line["search"]["evaluations"]} if line.get("search") else {})


def _curve(lines: Sequence[Line]) -> list[Record] | None:
    """Return accuracy by number of labels; of random losses the mean over those encoders that have the number."""
    if not lines:
        return None
    if lines[-1]["row"] != _RANDOM:
        return [
            {name: point[name] for name in ("labels", "accuracy", "deviation")} for point in lines[-1]["details"].get("curve", ())
        ]
    by_count: dict[int, list[float]] = {}
    for line in _newest_of_each(lines):
        for point in line["details"].get("curve", ()):
            by_count.setdefault(point["labels"], []).append(point["accuracy"])
    return [{"labels": labels, **_spread(values), "encoders": len(values)} for labels, values in sorted(by_count.items())]


def _show_hmdb51(record: Record) -> Table:
    measured_on = record["dataset"] or record["paper_dataset"]
    theirs = "paper" if measured_on == record["paper_dataset"] else f"paper {record['paper_dataset']}"
    columns = ["method"]
    for protocol in paper.HMDB51_PROTOCOLS:
        columns += [f"{protocol} {measured_on}", theirs]
    said = "kmeans, linear, finetune: there k-means, 1-layer, fine-tune."
    rows = _grouped(record["rows"], paper.HMDB51_PROTOCOLS)
    return Table("Table 1, HMDB51: accuracy (%), measured and as the paper has it", columns, rows, _note(record, said))


def _show_state_of_the_art(record: Record) -> Table:
    columns = ["method"]
    for name in record["datasets"]:
        columns += [f"finetune {name}", *(["paper"] if name in paper.STATE_OF_THE_ART_SETS else [])]
    said = "Shuffle to AVTS: quoted there of earlier systems, with networks and data of their own."
    rows = _grouped(record["rows"], record["datasets"])
    return Table("Table 2: accuracy (%), fine-tuned, measured and as the paper has it", columns, rows, _note(record, said))


def _grouped(rows: Sequence[Record], columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Lay rows out under the paper's headings, the paper's figure, where it has that column, behind each measured one."""
    shown: list[tuple[str, ...]] = []
    for number, row in enumerate(rows):
        cells = []
        for name in columns:
            cells += [_cell(row["measured"][name]), *([_printed(row["paper"][name])] if name in row["paper"] else [])]
        if not number or rows[number - 1]["group"] != row["group"]:
            shown.append((row["group"].split(" using")[0].rstrip(","), *[""] * len(cells)))
        shown.append((f" {row['method']}", *cells))
    return shown


def _show_by_labels(record: Record) -> Table:
    measured = [row for row in record["rows"] if row["measured"]]
    counts = sorted({point["labels"] for row in measured for point in row["measured"]})
    blocks = [counts[begin : begin + _COUNTS_A_BLOCK] for begin in range(0, len(counts), _COUNTS_A_BLOCK)]
    rows = [(row["method"], *(_printed(point["accuracy"]) for point in row["paper"])) for row in record["rows"] if row["paper"]]
    for block in blocks:
        rows += [("",), (f"measured, {record['dataset']}", *map(str, block))]
        for row in measured:
            at = {point["labels"]: point for point in row["measured"]}
            rows.append((row["method"], *(_percent(at[count]["accuracy"]) if count in at else _ABSENT for count in block)))
            if any(count in at and at[count]["deviation"] is not None for count in block):
                rows.append((" ± deviation", *(_percent(at[count]["deviation"]) if count in at else _ABSENT for count in block)))
    heads = [f"{labels // 1000}k" if labels >= 1000 else str(labels) for labels in paper.LABELS]
    columns = ("paper, kinetics400", *heads[:-1], f"{heads[-1]} (all)")
    padded = [(*row, *[""] * (len(columns) - len(row))) for row in rows]
    note = f"Above, the paper: a {paper.ENCODER} fine-tuned on so many labels; ELO's trained before on {paper.TRAINED_ON}."
    if measured:
        note += f"\nBelow, measured by low-label, {' or '.join(record['by'])} trained on them: mean ± standard deviation."
    else:
        note += "\nNothing was measured: it needs the protocol low-label."
    return Table("Table 3: accuracy (%) by number of labelled training videos", columns, padded, note)


def _show_by_strategy(record: Record) -> Table:
    measured_on = record["dataset"] or record["paper_dataset"]
    there = [name for name in _STRATEGIES if any(row["measured"][name] for row in record["rows"])] or list(_STRATEGIES[:1])
    rows = []
    for row in record["rows"]:
        ours, theirs = row["measured"], row["paper"]
        tried = {found["evaluations"] for found in ours.values() if found}
        rows.append(
            (
                row["method"],
                _ABSENT if theirs is None else str(theirs["iterations"]),
                _ABSENT if theirs is None else _printed(theirs["accuracy"]),
                ", ".join(map(str, sorted(tried))) or _ABSENT,
                *(_cell(ours[name]) for name in there),
            )
        )
    columns = ("method", "paper: iterations", f"paper: {record['paper_dataset']}", "losses tried")
    note = (
        f"{_PAPER}\nIts 250 iterations of CMA-ES are rounds of many losses each; its 67.4 is that of fine-tuning in Table 1.\n"
        f"The rest: measured, of the best loss that each search found, by {' and '.join(there)}; mean ± standard deviation over\n"
        "splits; a strategy's last result counts. -: not there."
    )
    return Table(
        "Table 4: accuracy (%) by search strategy, measured and as the paper has it",
        (*columns, *(f"{name} {measured_on}" for name in there)),
        rows,
        note,
    )


def _percent(share: float | None) -> str:
    return _ABSENT if share is None else f"{100 * share:4.1f}"


def _printed(share: float | None) -> str:
    """Write a figure of the paper with the decimals that it has there: one, in one place two."""
    exact = share is None or round(100 * share, 1) == round(100 * share, 2)
    return _percent(share) if exact else f"{100 * (share or 0):.2f}"


def _cell(found: Record | None) -> str:
    if found is None:
        return _ABSENT
    deviation = "" if found["deviation"] is None else f" ± {100 * found['deviation']:.1f}"
    return f"{_percent(found['accuracy'])}{deviation}" + (f" of {found['encoders']}" if "encoders" in found else "")


def _note(record: Record, said: str) -> str:
    """Say which figures are the paper's, and what stands beside them."""
    told = [
        _PAPER,
        said,
        "The rest: measured, mean ± standard deviation over splits; a row's last result counts. -: not there.",
    ]
    if any(found and "encoders" in found for row in record["rows"] for found in row["measured"].values()):
        told.append(
            f"Random Loss: mean ± standard deviation over encoders, 'of' how many; the paper's: of {paper.RANDOM_LOSSES}."
        )
    if record["in_no_row"]:
        told.append(f"Measured, but in no row of this table: {record['in_no_row']} of the representations.")
    return "\n".join(told)
