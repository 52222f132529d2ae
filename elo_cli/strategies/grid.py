"""Grid search (Table 4's baseline), in an order that covers the cube from the first points on.

The lattice levels^d is far too large to finish for more than a few coordinates, so what counts is
its order. Points come in blocks of `levels`: in a block every coordinate takes each of its levels
exactly once (a Latin hypercube), and the blocks, which share no point, come in a pseudo-random
order. So every point of the lattice comes once before any comes twice, and each coordinate is
covered evenly all the time. After the whole lattice another pass begins, in another order.
"""

import hashlib

import numpy as np

from elo_cli.core.errors import UsageError
from elo_cli.core.seeds import derive, numpy_generator
from elo_cli.strategies import Unlearned, population_size

ROUNDS = 6  # of the Feistel network; four are a strong permutation already (Luby and Rackoff 1988)


class Strategy(Unlearned):
    """The points of a lattice, each once.

    Args:
        dimensions: d, 1 to hundreds.
        seed: decides the order.
        population: points of a round; by default 4 + ⌊3 ln d⌋, as for cma-es.
        levels: values of each coordinate, evenly from 0 to 1, at least 2.

    Raises:
        UsageError: a setting is out of its range.
    """

    def __init__(self, dimensions: int, *, seed: int, population: int | None = None, levels: int = 5) -> None:
        if levels < 2:
            raise UsageError(f"A grid of {levels} levels has nothing to compare.", hint="Set levels to 2 or more.")
        super().__init__()
        self.population = population_size(dimensions, population)
        self.dimensions = dimensions
        self.levels = levels
        self._seed = seed

    def ask(self) -> np.ndarray:
        """Return the next point, (d,) in [0, 1]; scores are never needed for it."""
        self._ledger.asked += 1
        return np.array(self._point(self._ledger.asked - 1), dtype=np.float64) / (self.levels - 1)

    def state(self) -> dict[str, float]:
        """Return how many points have been scored, and what part of the lattice that is (above 1: more passes)."""
        counted = super().state()
        return counted | {"visited": counted["points"] / self.levels**self.dimensions}

    def _point(self, index: int) -> list[int]:
        """Return the levels, (d,) in 0 … levels - 1, of the point that comes at `index`."""
        turn, within = divmod(index, self.levels**self.dimensions)
        block, step = divmod(within, self.levels)
        # A block is a coset of the diagonal: a first point, whose coordinate 0 is 0, and that point
        # moved along by 1, 2, … in all coordinates at once. The shuffled names of the levels, in
        # every coordinate other ones, keep the diagonal from being seen.
        code = permute(block, self.levels ** (self.dimensions - 1), derive(self._seed, "strategy", "grid", turn))
        first = [0]
        for _ in range(self.dimensions - 1):
            code, digit = divmod(code, self.levels)
            first.append(digit)
        names = numpy_generator(self._seed, "strategy", "grid", "levels", turn).permuted(
            np.tile(np.arange(self.levels), (self.dimensions, 1)), axis=1
        )
        return [int(names[axis, (digit + step) % self.levels]) for axis, digit in enumerate(first)]


def permute(index: int, size: int, key: int) -> int:
    """Return where a keyed permutation of 0 … size - 1 takes `index`.

    A Feistel network over the next even number of bits, walked on until it falls inside (Black and
    Rogaway 2002); it takes no memory, whatever the size.
    """
    assert 0 <= index < size
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(ROUNDS):
            text = f"{key}:{turn}:{right:x}".encode()
            mixed = hashlib.shake_128(text).digest((half + 7) // 8)
            left, right = right, left ^ (int.from_bytes(mixed, "big") & mask)
        index = left << half | right
        if index < size:
            return index
