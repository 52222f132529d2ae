"""`elo evolve --status`: how far a search is, read from its directory while another process searches, or after."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from elo_cli.core.errors import DataError
from elo_cli.core.settings import Settings
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Outcome, Table, Watch
from elo_cli.workflows.leaderboard import ranked
from elo_cli.workflows.material import about
from elo_cli.workflows.rungs import Rungs
from elo_cli.workflows.standing import Round, candidates_an_hour, last_of, rounds_table, sum_up
from elo_cli.workflows.warm_start import single_terms


def plan(*, settings: Settings, out: Path | None) -> Outcome:
    """Say which search `run` would look at."""
    root = _root(settings, out)
    return Outcome({"out": str(root)}, (Table("The status would be that of", ("search",), ((str(root),),)),))


def run(*, settings: Settings, out: Path | None, watch: Watch) -> Outcome:
    """Look at a search, or at what it does before its first round; nothing is written, and nothing is locked.

    Raises:
        DataError: there is none, or its journal is damaged.
    """
    watch.check()
    run = RunDirectory(_root(settings, out))
    log = Journal(run.log).read()
    state = "done" if run.result.exists() else "under way" if _is_owned(log) else "stopped"
    for directory in (run, single_terms(run)):
        lines = Journal(directory.log).read()
        if begun := [line for line in lines if line.get("event") == "search"]:
            return _standing(directory, state, lines, begun[-1])
    learning = [line for line in log if line.get("event") == "learning"]
    if not learning:
        raise DataError(f"No search has begun in {run.root}.", hint="Begin one: elo evolve")
    steps = learning[-1]["steps"]
    result = {"out": str(run.root), "state": state, "learning_weights": True, "of_steps": steps}
    row = (state, f"learning weights, {steps} steps")
    return Outcome(result, (Table(f"The search in {run.root}", ("state", "at"), (row,)),))


def _standing(directory: RunDirectory, state: str, log: Sequence[Mapping[str, Any]], search: Mapping[str, Any]) -> Outcome:
    """Sum up what the journals of a search say; `search` is the line of its newest start."""
    rows = Journal(directory.evaluations).read()
    done = _steps_done(rows, search["steps"])
    rate = _steps_a_second([line for line in log if line["time"] >= search["time"]], search)
    left = None if not rate else max(0, search["total"] - done) / rate
    hourly = None if not rate else candidates_an_hour(rate, search["total"], search["candidates"])
    rounds = sum_up(rows)
    board = [row for row in ranked(rows) if row["score"] is not None]
    result: dict[str, Any] = {
        "out": str(directory.root),
        "state": state,
        "candidates": len({row["number"] for row in rows}),
        "of": search["candidates"],
        "workers": search["workers"],
        "steps": done,
        "of_steps": search["total"],
        "candidates_per_hour": hourly,
        "seconds_left": 0.0 if state == "done" else left,
        "best": board[0] if board else None,
        "rounds": [asdict(one) for one in rounds],
    }
    return Outcome(result, _tables(result, rounds), {}, "elo pretrain" if state == "done" else "")


def _root(settings: Settings, out: Path | None) -> Path:
    return out or Workspace(Path(settings.workspace)).place("evolve", fresh=False)


def _is_owned(log: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether the last start has no end yet; one that was killed has none either, until somebody goes on."""
    return [line["event"] for line in log if line.get("event") in ("start", "end")][-1:] == ["start"]


def _steps_done(rows: Sequence[Mapping[str, Any]], steps: Sequence[int]) -> int:
    rungs = Rungs(tuple(steps), reduction=1)  # nobody is compared here
    return sum(rungs.steps[row["rung"]] - rungs.before(row["rung"], row["repeat"]) for row in rows)


def _steps_a_second(lines: Sequence[Mapping[str, Any]], search: Mapping[str, Any]) -> float | None:
    """Return how fast the newest start is; None before it has measured anything."""
    measured = [line for line in lines if "seconds" in line and "rung" in line]
    if not measured:
        return None
    return float(_steps_done(measured, search["steps"]) / max(1e-9, measured[-1]["time"] - search["time"]))


def _tables(result: Mapping[str, Any], rounds: Sequence[Round]) -> tuple[Table, ...]:
    best, hourly = result["best"], result["candidates_per_hour"]
    line = (
        result["state"],
        f"{result['candidates']} of {result['of']}",
        f"{100 * result['steps'] / result['of_steps']:.0f}%",
        str(result["workers"]),
        "-" if hourly is None else f"{hourly:.1f}",
        "-" if result["state"] == "done" else about(result["seconds_left"]),
        "-" if best is None else f"{best['value']:.4f} ({best['measure']})",
    )
    columns = ("state", "candidates", "steps", "workers", "candidates an hour", "time left", "best")
    heading = f"The search in {result['out']}"
    return (Table(heading, columns, (line,)), rounds_table("Rounds", rounds, last_of(rounds)))
