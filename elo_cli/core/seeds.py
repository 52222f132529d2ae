"""Randomness as a function of (seed, step, rank, purpose), so that nothing random needs saving.

Every random draw of elo comes from a generator made here for one purpose. Two runs with the same
seed draw the same numbers whatever else happened in the process, and a resumed run needs nothing
but its step number.
"""

import hashlib
import json

import numpy as np

Part = str | int


def derive(seed: int, *parts: Part) -> int:
    """Derive an independent 63-bit seed from a seed and what it is for.

    Args:
        seed: the run's seed, any integer.
        parts: the purpose and its coordinates, e.g. `("clips", step, rank)`.

    Returns:
        An integer in [0, 2**63).
    """
    text = json.dumps([seed, *parts]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def numpy_generator(seed: int, *parts: Part) -> np.random.Generator:
    """Make NumPy's generator for one purpose; see `derive`."""
    return np.random.Generator(np.random.PCG64(derive(seed, *parts)))
