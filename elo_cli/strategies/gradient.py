"""Weights learned by gradient descent while one network trains: the question that the paper's conclusion leaves open.

The learning itself is `elo_cli/workflows/weight_learning.py`'s, which sees the networks. What comes out of it is a few losses;
this entry asks for each of them once, so that they are trained anew and measured as those of every other strategy are.
"""

from collections.abc import Sequence

from elo_cli.core.errors import UsageError
from elo_cli.strategies import Listed

LEARNS_WEIGHTS = True
POINTS = 3  # the weights at the start, on average over the second half of the training, and at its end


class Strategy(Listed):
    """The learned points, each asked for once.

    Args:
        dimensions: d.
        seed: nothing is drawn.
        population: it is `POINTS`, whatever is asked for.
        points: what was learned, (`POINTS`, d) in [0, 1]; None before it is known: nothing can be asked for then.

    Raises:
        UsageError: there are no dimensions, or a point is not in [0, 1]^d.
    """

    def __init__(
        self, dimensions: int, *, seed: int, population: int | None = None, points: Sequence[Sequence[float]] | None = None
    ) -> None:
        if dimensions < 1:
            raise UsageError("There is nothing to search: no term is left.", hint="Give at least one task and one modality.")
        super().__init__(dimensions, points)
        self.population = POINTS
