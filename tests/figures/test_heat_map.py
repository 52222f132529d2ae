"""The heat map of a loss: what stands where, and how dark it is."""

import numpy as np

from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.weights import Term
from elo_cli.figures.heat_map import grid, heat_map
from elo_cli.tasks import all_terms


def weights(**named: float) -> dict[Term, float]:
    return {Term.parse(name.replace("__", ".").replace("_", "-")): value for name, value in named.items()}


def test_terms_stand_by_what_they_read_and_by_task() -> None:
    shown = grid(
        weights(
            flow_to_rgb__distill__4=0.2, rgb_audio__align=0.5, audio__reverse=0.0, rgb__reverse=1.0, flow_to_rgb__distill__1=0.1
        )
    )
    assert shown.rows == ("rgb", "audio", "rgb-audio", "flow-to-rgb")
    assert shown.columns == ("align", "distill.1", "distill.4", "reverse")
    assert shown.weights == (
        (None, None, None, 1.0), (None, None, None, 0.0), (0.5, None, None, None), (None, 0.1, 0.2, None)
    )  # fmt: skip


def test_all_terms_fit() -> None:
    terms = all_terms(ObjectiveSettings())
    shown = grid(dict.fromkeys(terms, 0.5))
    assert sum(weight is not None for row in shown.weights for weight in row) == len(terms)


def test_dark_is_heavy() -> None:
    picture = np.asarray(
        heat_map(grid(weights(rgb__reverse=1.0, audio__reverse=0.0, flow__shuffle=0.5)), "a loss", "a line").convert("L")
    )
    levels = np.sort([picture[row].min() for row in range(picture.shape[0])])
    assert levels[0] < 60 and picture[0].min() == 255
    half = np.asarray(heat_map(grid(weights(rgb__reverse=0.5)), "", "").convert("L")).astype(float).mean()
    full = np.asarray(heat_map(grid(weights(rgb__reverse=1.0)), "", "").convert("L")).astype(float).mean()
    none = np.asarray(heat_map(grid(weights(rgb__reverse=0.0)), "", "").convert("L")).astype(float).mean()
    assert full < half < none


def test_names_of_any_length_and_tasks_of_anybody() -> None:
    named = {Term("a" * 60, ("rgb", "thermal")): 0.3, Term("x", ("lidar",)): 0.1}
    assert grid(named).rows == ("lidar", "rgb-thermal")
    assert heat_map(grid(named), "h" * 500, "l" * 500).width < 1000
