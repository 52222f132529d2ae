"""What a search says of its candidates once it is over."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

from elo_cli.workflows.leaderboard import what_rungs_told


def row(number: int, steps: int, score: float | None, repeat: int = 0) -> dict[str, Any]:
    return {"number": number, "steps": steps, "score": score, "repeat": repeat}


def test_rungs_are_told_apart_from_luck() -> None:
    short = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    long = [2.0, 7.0, 1.0, 8.0, 2.8, 1.8]
    rows = [row(number, 10, score) for number, score in enumerate(short)]
    rows += [row(number, 40, score) for number, score in enumerate(long)]
    rows += [row(6, 10, 99.0), row(7, 10, None), row(7, 40, 0.0), row(0, 40, -50.0, repeat=1)]  # none of these was measured twice
    rows += [row(number, 160, 1.0) for number in range(2)]
    expected = np.corrcoef(rankdata(short), rankdata(long))[0, 1]
    assert what_rungs_told(rows) == [
        {"steps": 10, "later_steps": 40, "candidates": 6, "rho": pytest.approx(expected)},
        {"steps": 40, "later_steps": 160, "candidates": 2, "rho": None},
    ]


def test_equal_scores_and_one_rung_say_nothing() -> None:
    rows = [row(number, steps, 1.0) for number in range(5) for steps in (1, 2)]
    assert [one["rho"] for one in what_rungs_told(rows)] == [None]
    assert what_rungs_told(rows[::2]) == []
