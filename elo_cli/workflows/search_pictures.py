"""The pictures of a search: fitness and weights by round, the best loss, and the guide against what was recorded beside it."""

import json
from collections.abc import Sequence

import numpy as np
from PIL import Image

from elo_cli.core.files import storage_errors
from elo_cli.core.weights import LossWeights, Term
from elo_cli.figures.charts import fitness_against_fitness, fitness_by_round, weights_by_round, weights_by_update
from elo_cli.figures.heat_map import grid, heat_map
from elo_cli.figures.pictures import save_picture
from elo_cli.run.directory import RunDirectory
from elo_cli.workflows.course import Row

_MARK = "elo evolve"


def draw_pictures(run: RunDirectory, rows: Sequence[Row], best: Row, terms: Sequence[Term]) -> None:
    """Draw what a search found, into `run.pictures`; pictures that are there are drawn anew.

    Args:
        run: the search's directory.
        rows: of the journal, in order.
        best: the row of the best candidate.
        terms: coordinates of the search.

    Raises:
        StorageError: they cannot be written.
    """
    line = f"{best['measure']} {best['value']:.4g}, round {best['round']}, candidate {best['number']}"
    weights = LossWeights.from_names(best["weights"], terms)
    rows = [row for row in rows if not row["repeat"]]
    pictures = {"best-loss": heat_map(grid(weights), "best loss", line)}
    # Candidates are compared with those that trained as long.
    whole = [row for row in rows if row["rung"] == best["rung"] and row["value"] is not None]
    pictures |= _by_round(rows, whole, best, terms) | _against(whole, best) | _learned(run)
    with storage_errors(run.pictures):
        run.pictures.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        save_picture(picture, run.pictures / f"{name}.png", _MARK)


def _by_round(rows: Sequence[Row], whole: Sequence[Row], best: Row, terms: Sequence[Term]) -> dict[str, Image.Image]:
    """Draw how fitness and weights went, if there was more than one round."""
    turns = 1 + max(row["round"] for row in rows)
    if turns == 1:
        return {}
    values = [[row["value"] for row in whole if row["round"] == turn] for turn in range(turns)]
    first = [[row for row in rows if row["round"] == turn and row["rung"] == 0] for turn in range(turns)]
    means = {str(term): [float(np.mean([row["weights"][str(term)] for row in turn])) for turn in first] for term in terms}
    larger = best["score"] == best["value"]
    return {
        "fitness-by-round": fitness_by_round(values, measure=best["measure"], larger_is_better=larger),
        "weights-by-round": weights_by_round(means),
    }


def _learned(run: RunDirectory) -> dict[str, Image.Image]:
    """Draw how weights moved that were learned by gradient descent."""
    if not run.trajectory.exists():
        return {}
    told = json.loads(run.trajectory.read_text())
    return {"weights-by-update": weights_by_update(dict(zip(told["terms"], zip(*told["weights"], strict=True), strict=True)))}


def _against(whole: Sequence[Row], best: Row) -> dict[str, Image.Image]:
    """Draw the guide against each other measure that was recorded of two candidates or more."""
    drawn = {}
    for name in best["details"].get("recorded", {}):
        pairs = [(row["value"], other) for row in whole if (other := row["details"]["recorded"].get(name)) is not None]
        if len(pairs) > 1 and name != best["measure"]:
            guide, recorded = zip(*pairs, strict=True)
            drawn[f"{best['measure']}-against-{name}"] = fitness_against_fitness(guide, recorded, (best["measure"], name))
    return drawn
