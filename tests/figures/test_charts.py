"""Charts of a search: drawn whatever the numbers are, and what is in them can be seen."""

import numpy as np
import pytest
from PIL import Image

from elo_cli.figures.charts import fitness_against_fitness, fitness_by_round, weights_by_round


def inked(picture: Image.Image) -> float:
    """The share of pixels that are not white."""
    return float((np.asarray(picture.convert("L")) < 250).mean())


@pytest.mark.parametrize("rounds", [[[0.5]], [[0.1, 0.2], [], [0.3]], [[1e-9, 1e9]] * 3, [[0.2, 0.2]] * 300])
@pytest.mark.parametrize("larger", [True, False])
def test_fitness_by_round(rounds: list[list[float]], larger: bool) -> None:
    assert 0.005 < inked(fitness_by_round(rounds, measure="zipf", larger_is_better=larger)) < 0.9


def test_weights_that_grow_are_darker() -> None:
    picture = weights_by_round({"rgb.reverse": [0.0, 0.0], "flow.embed": [1.0, 1.0]})
    grey = np.asarray(picture.convert("L"))
    upper, lower = grey[grey.shape[0] // 4, grey.shape[1] // 2], grey[grey.shape[0] // 2, grey.shape[1] // 2]
    assert upper > 240 and lower < 100
    assert weights_by_round({f"term.{number}": [0.5] for number in range(59)}).height > 3 * picture.height


def test_one_fitness_against_another() -> None:
    first = np.linspace(0, 1, 9).tolist()
    assert inked(fitness_against_fitness(first, first, ("zipf", "rankme"))) > 0.005
    assert inked(fitness_against_fitness([0.1, 0.1], [1.0, 2.0], ("zipf", "rankme"))) > 0.005, "no correlation, and no warning"
    nearly = [0.1, 0.1 + 1e-16, 0.1 + 1e-15]
    assert inked(fitness_against_fitness(nearly, [1.0, 2.0, 3.0], ("zipf", "rankme"))) > 0.005
