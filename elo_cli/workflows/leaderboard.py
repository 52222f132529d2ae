"""What a search leaves: its candidates, best first, and the best loss."""

import csv
import io
import itertools
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from scipy.stats import spearmanr

from elo_cli.core.errors import TrainingError
from elo_cli.core.files import write_atomic, write_json
from elo_cli.core.strict_yaml import dump_yaml
from elo_cli.core.weights import Term
from elo_cli.run.directory import RunDirectory
from elo_cli.workflows.course import Row, score_of
from elo_cli.workflows.events import Outcome, Table
from elo_cli.workflows.material import Spent

_SHOWN = 10  # places
_ENOUGH = 5  # candidates from which on a correlation of 0 or less is worth a word


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Return the last row of each candidate, best first.

    Finalists come first, by the mean of their scores under all seeds, and have `again`, the values of the others. Then
    whoever trained longer comes before whoever did not.
    """
    last = {row["number"]: row for row in sorted(rows, key=lambda row: int(row["rung"])) if not row["repeat"]}
    again: dict[int, list[Row]] = {}
    for row in rows:
        if row["repeat"]:
            again.setdefault(row["number"], []).append(row)
    board = [{**row, "again": [other["value"] for other in again.get(row["number"], ())]} for row in last.values()]
    mean = {number: fmean(map(score_of, [last[number], *others])) for number, others in again.items()}
    return sorted(
        board,
        key=lambda row: (
            row["score"] is None,
            -row["rung"],
            row["number"] not in mean,
            -mean.get(row["number"], score_of(row)),
            row["number"],
        ),
    )


def write_results(run: RunDirectory, rows: Sequence[Row], terms: Sequence[Term], strategy: str) -> Row:
    """Write the leaderboard and the best loss.

    Returns:
        The row of the best candidate.

    Raises:
        TrainingError: every candidate failed.
    """
    board = ranked(rows)
    best = board[0]
    if best["score"] is None:
        raise TrainingError(
            f"All {len(board)} candidates failed; the last one {board[-1]['collapsed']}.",
            hint="Lower proxy.lr, train longer (proxy.steps), or try another fitness.scaling; then --fresh.",
        )
    write_json(run.leaderboard_json, board)
    write_atomic(run.leaderboard_csv, _as_csv(board, terms))
    head = f"# {best['measure']} {best['value']} by {strategy}, round {best['round']}, candidate {best['number']}\n"
    write_atomic(run.best_loss, (head + dump_yaml(best["weights"])).encode())
    return best


def outcome(run: RunDirectory, rows: Sequence[Row], best: Row, spent: Spent, following: str) -> Outcome:
    """Say what came out, and which command uses it."""
    board = ranked(rows)
    lines = [
        (
            str(place),
            "collapsed" if row["value"] is None else f"{row['value']:.4f}",
            ", ".join("collapsed" if value is None else f"{value:.4f}" for value in row["again"]) or "-",
            str(row["round"]),
            str(row["steps"]),
            _heaviest(row),
        )
        for place, row in enumerate(board[:_SHOWN], start=1)
    ]
    shown = Table(f"Leaderboard ({best['measure']})", ("place", "fitness", "again", "round", "steps", "heaviest terms"), lines)
    weights = [(name, f"{weight:.3f}", "█" * round(20 * weight)) for name, weight in best["weights"].items()]
    files = {"best loss": str(run.best_loss), "leaderboard": str(run.leaderboard_csv), "evaluations": str(run.evaluations)}
    files["pictures"] = str(run.pictures)
    told = what_rungs_told(rows)
    result: dict[str, Any] = {"candidates": len(board), "best": best, "out": str(run.root), "rungs_told": told, **spent.record()}
    tables = (shown, Table("Best loss", ("term", "weight", ""), weights), *_rungs_table(told), spent.table())
    return Outcome(result, tables, files, following)


def what_rungs_told(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Say how well short trainings foretold longer ones, rung by rung, over the candidates that were measured after both.

    Returns:
        For each rung but the last `steps`, `later_steps`, `candidates`, and `rho`, Spearman's rank correlation of the scores:
        null for fewer than three candidates, or where all are equal. Only those that went on are counted, which are alike in
        their short training: over all candidates it would be somewhat larger.
    """
    scores: dict[int, dict[int, float]] = {}
    for row in rows:
        if not row["repeat"] and row["score"] is not None:
            scores.setdefault(row["steps"], {})[row["number"]] = score_of(row)
    found = []
    for steps, later in itertools.pairwise(sorted(scores)):
        both = sorted(scores[steps].keys() & scores[later].keys())
        short, long = ([scores[each][number] for number in both] for each in (steps, later))
        differ = len(both) > 2 and len(set(short)) > 1 and len(set(long)) > 1
        rho = float(spearmanr(short, long)[0]) if differ else None
        found.append({"steps": steps, "later_steps": later, "candidates": len(both), "rho": rho})
    return found


def _rungs_table(told: Sequence[dict[str, Any]]) -> list[Table]:
    lines = [
        (str(one["steps"]), str(one["later_steps"]), str(one["candidates"]), "-" if one["rho"] is None else f"{one['rho']:.2f}")
        for one in told
    ]
    blind = any(one["rho"] is not None and one["rho"] <= 0 and one["candidates"] >= _ENOUGH for one in told)
    note = "near 0 or below: choose fewer rungs, a smaller search.reduction, or more proxy.steps" if blind else ""
    columns = ("after steps", "and after", "candidates", "rank correlation")
    return [Table("Did short trainings foretell longer ones?", columns, lines, note)] if lines else []


def _heaviest(row: Row) -> str:
    named = sorted(row["weights"].items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} {weight:.2f}" for name, weight in named)


def _as_csv(board: Sequence[Row], terms: Sequence[Term]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream)
    columns = ("number", "round", "steps", "digest", "value", "again", "collapsed")
    writer.writerow(["place", *columns, *map(str, terms)])
    for place, row in enumerate(board, start=1):
        said = {**row, "again": " ".join(str(value) for value in row["again"])}
        writer.writerow([place, *(said[name] for name in columns), *(row["weights"][str(term)] for term in terms)])
    return stream.getvalue().encode()
