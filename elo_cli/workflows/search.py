"""What `evolve` and `proxy-search` share: ask, evaluate, record, tell.

The journal is the checkpoint. A search that is started again rebuilds its strategy from the seed,
tells it the recorded scores, and goes on where it was; nothing else is saved.
"""

import csv
import inspect
import io
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elo_cli.core.errors import DataError, TrainingError
from elo_cli.core.files import write_atomic, write_json
from elo_cli.core.seeds import derive
from elo_cli.core.settings import Settings
from elo_cli.core.strict_yaml import dump_yaml
from elo_cli.core.weights import LossWeights, Term
from elo_cli.engine.precision import Precision
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.strategies import SHELF as STRATEGIES
from elo_cli.strategies import Strategy
from elo_cli.workflows.candidate import Evaluation, evaluate, step_seconds
from elo_cli.workflows.events import Outcome, Table, Watch
from elo_cli.workflows.judging import check_fitness, labelled_fingerprint
from elo_cli.workflows.material import (
    Material,
    Spent,
    about,
    check_clips,
    command_line,
    dataset_root,
    open_material,
    served_terms,
    spending,
)

FREE = frozenset({"machine.loader_workers", "machine.threads"})


def make_strategy(name: str, dimensions: int, seed: int, population: int | None, settings: dict[str, Any]) -> Strategy:
    """Take a strategy from its shelf; it gets those of `settings` that it knows."""
    kind = STRATEGIES.take(name).Strategy
    known = inspect.signature(kind).parameters
    strategy: Strategy = kind(
        dimensions,
        seed=derive(seed, "search"),
        population=population,
        **{key: value for key, value in settings.items() if key in known},
    )
    return strategy


def plan_search(
    settings: Settings, data: Path | None, out: Path, rounds: int, strategy_name: str, population: int | None
) -> Outcome:
    """Say what a search would do; writes nothing."""
    material = open_material(dataset_root(settings, data))
    check_fitness(settings, material)
    terms, lacking = served_terms(settings.objective, material.videos)
    strategy = make_strategy(strategy_name, len(terms), settings.seed, population, {})
    candidates = rounds * strategy.population
    each = step_seconds(LossWeights.uniform(terms), settings.proxy, settings, material)
    seconds = None if each is None else each * candidates * settings.proxy.steps
    result = {
        "terms": [str(term) for term in terms],
        "lacking": list(lacking),
        "strategy": strategy_name,
        "rounds": rounds,
        "population": strategy.population,
        "candidates": candidates,
        "steps": candidates * settings.proxy.steps,
        "videos": len(material.videos.videos),
        "estimated_seconds": seconds,
        "out": str(out),
    }
    columns = ("strategy", "terms", "rounds", "candidates", "steps each", "videos", "time here", "into")
    row = (
        strategy_name,
        str(len(terms)),
        str(rounds),
        str(candidates),
        str(settings.proxy.steps),
        str(result["videos"]),
        about(seconds),
        str(out),
    )
    return Outcome(result, (Table("The search would do", columns, (row,)),))


class Search:
    """One search in its run directory.

    Args:
        settings: all settings; `proxy`, `objective` and `fitness` say what a candidate is.
        name: of the strategy.
        rounds: ask/tell rounds.
        population: candidates of a round, or None for the strategy's own.
    """

    def __init__(self, settings: Settings, name: str, rounds: int, population: int | None) -> None:
        self.settings, self.name, self.rounds, self.population = settings, name, rounds, population

    def stored(self, material: Material, precision: Precision) -> dict[str, Any]:
        """What must be the same when the search goes on."""
        dump = self.settings.model_dump(mode="json")
        kept = {key: dump[key] for key in ("seed", "objective", "proxy", "fitness", "machine")}
        search = {
            "strategy": self.name,
            "rounds": self.rounds,
            "population": self.population,
            "sigma": self.settings.search.sigma,
        }
        data = {"data": material.fingerprint, **labelled_fingerprint(self.settings)}
        return {**kept, "search": search, **data, "computed": precision.describe()}

    def run(self, data: Path | None, out: Path, fresh: bool, watch: Watch) -> Outcome:
        """Search to the end, or go on where an earlier run stopped.

        Raises:
            TrainingError: every candidate collapsed or diverged.
        """
        root = dataset_root(self.settings, data)
        material = open_material(root)
        precision = Precision.choose(self.settings.machine)
        check_fitness(self.settings, material)
        terms, lacking = served_terms(self.settings.objective, material.videos)
        if lacking:
            watch.note(f"The preprocessed set has no {' and no '.join(lacking)}: the terms that read it are left out.")
        check_clips(material, self.settings.proxy.clip)  # before the directory is made, which binds to these settings
        opened = RunDirectory.open(
            out, self.stored(material, precision), command=command_line(), fresh=fresh, free=FREE, threads=precision.threads
        )
        with spending() as spent, opened as run:
            for change in run.environment_changes:
                watch.warn(f"The environment changed since this run began: {change}")
            rows = self._rounds(run, terms, material, precision, watch)
            best = self._finish(run, rows, terms)
        return self._outcome(run, rows, best, spent)

    def _rounds(
        self, run: RunDirectory, terms: Sequence[Term], material: Material, precision: Precision, watch: Watch
    ) -> list[dict[str, Any]]:
        journal, log = Journal(run.evaluations), Journal(run.log)
        recorded = {(row["round"], row["index"]): row for row in journal.read()}
        settings = {"sigma": self.settings.search.sigma}
        strategy = make_strategy(self.name, len(terms), self.settings.seed, self.population, settings)
        total = self.rounds * strategy.population
        if recorded:
            watch.note(f"{len(recorded)} of {total} candidates are recorded in {run.root}; the search goes on from there.")
        steps = self.settings.proxy.steps
        watch.start("searching", total * steps, "step")
        rows: list[dict[str, Any]] = []
        for number in range(self.rounds):
            points = strategy.ask()
            scores = []
            for index, point in enumerate(points):
                weights = LossWeights.from_vector(terms, point)
                row = recorded.get((number, index))
                if row is None:
                    begun, before = time.monotonic(), len(rows)

                    def progress(done: int, before: int = before) -> None:
                        watch.advance("searching", before * steps + done, _figures(rows))
                        watch.check()

                    evaluation = evaluate(weights, self.settings, material, precision, progress)
                    row = _row(number, index, weights, self.settings.fitness.measure, evaluation)
                    journal.append(row)
                    log.append({"round": number, "index": index, "seconds": round(time.monotonic() - begun, 2)})
                elif row["weights"] != weights.to_names():
                    raise DataError(
                        f"{run.evaluations} holds other weights for round {number} than this search proposes.",
                        hint="Other versions of the libraries propose other losses; --fresh starts a new search.",
                    )
                rows.append(row)
                scores.append(_score(row))
                watch.advance("searching", len(rows) * steps, _figures(rows))
            strategy.tell(points, np.array(scores))
        watch.finish("searching")
        return rows

    def _finish(self, run: RunDirectory, rows: Sequence[dict[str, Any]], terms: Sequence[Term]) -> dict[str, Any]:
        ranked = sorted(rows, key=_score, reverse=True)
        if not math.isfinite(_score(ranked[0])):
            raise TrainingError(
                f"All {len(rows)} candidates failed; the last one {ranked[-1]['collapsed']}.",
                hint="Lower proxy.lr, train longer (proxy.steps), or try another fitness.scaling; then --fresh.",
            )
        write_json(run.leaderboard_json, ranked)
        write_atomic(run.leaderboard_csv, _as_csv(ranked, terms))
        best = ranked[0]
        head = f"# {best['measure']} {best['value']} by {self.name}, round {best['round']}, candidate {best['index']}\n"
        write_atomic(run.best_loss, (head + dump_yaml(best["weights"])).encode())
        write_json(run.result, {"candidates": len(rows), "best": best})
        return best

    def _outcome(self, run: RunDirectory, rows: Sequence[dict[str, Any]], best: dict[str, Any], spent: Spent) -> Outcome:
        ranked = sorted(rows, key=_score, reverse=True)[:10]
        lines = [
            (str(place + 1), "collapsed" if row["value"] is None else f"{row['value']:.4f}", str(row["round"]), _heaviest(row))
            for place, row in enumerate(ranked)
        ]
        board = Table(f"Leaderboard ({best['measure']})", ("place", "fitness", "round", "heaviest terms"), lines)
        weights = [(name, f"{weight:.3f}", "█" * round(20 * weight)) for name, weight in best["weights"].items()]
        files = {"best loss": str(run.best_loss), "leaderboard": str(run.leaderboard_csv), "evaluations": str(run.evaluations)}
        result = {"candidates": len(rows), "best": best, "out": str(run.root), **spent.record()}
        tables = (board, Table("Best loss", ("term", "weight", ""), weights), spent.table())
        return Outcome(result, tables, files, "elo pretrain")


def _row(number: int, index: int, weights: LossWeights, measure: str, evaluation: Evaluation) -> dict[str, Any]:
    return {
        "round": number,
        "index": index,
        "digest": weights.digest(),
        "measure": measure,
        "value": evaluation.value,
        "score": evaluation.score if math.isfinite(evaluation.score) else None,
        "collapsed": evaluation.collapsed,
        "weights": weights.to_names(),
        "details": evaluation.details,
    }


def _score(row: dict[str, Any]) -> float:
    return -math.inf if row["score"] is None else float(row["score"])


def _figures(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    values = [row["value"] for row in rows if row["value"] is not None]
    if not values:
        return {}
    best = max((row for row in rows if row["value"] is not None), key=_score)
    return {"best": best["value"], "mean": sum(values) / len(values)}


def _heaviest(row: dict[str, Any]) -> str:
    named = sorted(row["weights"].items(), key=lambda item: -item[1])[:3]
    return ", ".join(f"{name} {weight:.2f}" for name, weight in named)


def _as_csv(ranked: Sequence[dict[str, Any]], terms: Sequence[Term]) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["place", "round", "index", "digest", "value", "collapsed", *map(str, terms)])
    for place, row in enumerate(ranked):
        weights = [row["weights"][str(term)] for term in terms]
        writer.writerow([place + 1, row["round"], row["index"], row["digest"], row["value"], row["collapsed"], *weights])
    return stream.getvalue().encode()
