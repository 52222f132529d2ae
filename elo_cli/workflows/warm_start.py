"""A search's first weights, from what each term is worth alone: `search.warm_start`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from elo_cli.core.settings import Settings
from elo_cli.core.weights import Term
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.strategies import Listed
from elo_cli.workflows.course import Course, Row, score_of
from elo_cli.workflows.evaluating import Evaluating
from elo_cli.workflows.events import Watch
from elo_cli.workflows.places import Places
from elo_cli.workflows.rungs import Rungs

LEAST, MOST = 0.2, 0.8  # the first weights of the worst term and of the best: a search can still leave them behind


def single_term_course(terms: Sequence[Term], rungs: Rungs) -> Course:
    """Lay out the trainings with one term each, as long as the first rung."""
    points = np.eye(len(terms)).tolist()
    return Course(Listed(len(terms), points), len(terms), Rungs(rungs.steps[:1], rungs.reduction))


def starting_weights(
    settings: Settings, data: Path, run: RunDirectory, terms: Sequence[Term], rungs: Rungs, watch: Watch, places: Places
) -> list[float]:
    """Train every term alone, or read back what was found before; return weights that rise with the terms' scores.

    The journal of these trainings is in a folder of its own below the search's. Weights are spaced evenly by rank, as CMA-ES uses
    ranks alone; terms of equal score have equal weights, and those that failed the least.
    """
    if (found := recorded_weights(run, len(terms))) is not None:
        return found
    home = single_terms(run)
    home.root.mkdir(exist_ok=True)
    course = single_term_course(terms, rungs)
    return _weights(Evaluating(settings, data, home, terms, course, watch, stage="single terms").run(places))


def recorded_weights(run: RunDirectory, terms: int) -> list[float] | None:
    """Read back the weights of a run; None where not all terms were trained."""
    rows = Journal(single_terms(run).evaluations).read()
    return _weights(rows) if len(rows) == terms else None


def single_terms(run: RunDirectory) -> RunDirectory:
    """Return the directory of the trainings with one term each, within the search's."""
    return RunDirectory(run.root / "single-terms")


def _weights(rows: Sequence[Row]) -> list[float]:
    scores = [score_of(row) for row in sorted(rows, key=lambda row: int(row["number"]))]
    rank_T = (rankdata(scores) - 1) / max(1, len(scores) - 1)
    return [float(LEAST + (MOST - LEAST) * rank) for rank in rank_T]
