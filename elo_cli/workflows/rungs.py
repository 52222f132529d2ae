"""Rungs: how long candidates train before they are compared, and which of them train on (successive halving).

With one rung every candidate trains to the end, as in the paper. With R of them all candidates of a round train for
1/η^(R-1) of the steps; the best η-th goes on from its checkpoint to η times as many, and so on (Jamieson and
Talwalkar 2016). So a round of n costs about R·n/η^(R-1) whole trainings instead of n.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import expit


@dataclass(frozen=True)
class Rungs:
    """The lengths of training of one search.

    Attributes:
        steps: after which a candidate is measured, ascending; the last are those of a whole proxy.
        reduction: η; of n candidates the best ⌈n/η⌉ go on.
    """

    steps: tuple[int, ...]
    reduction: int

    @classmethod
    def of(cls, steps: int, rungs: int, reduction: int) -> "Rungs":
        """Divide a proxy's steps; lengths that would be equal count once."""
        lengths = {max(1, math.ceil(steps / reduction**above)) for above in range(rungs)}
        return cls(tuple(sorted(lengths)), reduction)

    def survivors(self, scores: Sequence[float]) -> list[int]:
        """Return the places of those that go on, in order; of equals the first do, and what failed never does."""
        ranked = sorted(range(len(scores)), key=lambda place: (-scores[place], place))
        best = ranked[: math.ceil(len(scores) / self.reduction)]
        return sorted(place for place in best if scores[place] > -math.inf)

    def before(self, rung: int, repeat: int) -> int:
        """Return how many steps were trained before a measurement; one under another seed begins from the start."""
        return self.steps[rung - 1] if rung and not repeat else 0

    def cost(self, candidates: int) -> int:
        """Return the steps that a round of so many candidates trains, if none fails."""
        total, before = 0, 0
        for steps in self.steps:
            total += candidates * (steps - before)
            candidates, before = math.ceil(candidates / self.reduction), steps
        return total

    def told(self, rung: int, score: float) -> float:
        """Return the score that a strategy is told of a candidate that got to this rung and no further.

        With one rung it is the score itself. With several, whoever got further is better: a short training's score
        is not to be compared with a long one's.
        """
        return score if len(self.steps) == 1 or score == -math.inf else rung + float(expit(score))
