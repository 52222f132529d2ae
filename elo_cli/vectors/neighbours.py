"""The nearest of many vectors by the cosine, in blocks, so that not all pairs are in memory at once.

Features are brought to unit length and not centred. Whoever wants the same numbers for every thread count limits the threads
to one around these.

Shape legend: N vectors to search in, M queries, B queries of a block, D features, K neighbours.
"""

from collections.abc import Iterator

import numpy as np

from elo_cli.vectors.scaling import scale

PAIRS = 2**24  # of one block: 128 MiB of float64


def cosines(queries_MD: np.ndarray, vectors_ND: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield which queries a block is of, and their cosines with all vectors, (B, N); those of a vector of zeros are 0.

    Args:
        queries_MD: float64, finite.
        vectors_ND: float64, finite, at least one.
    """
    queries_MD, vectors_ND = scale(queries_MD, "unit"), scale(vectors_ND, "unit")
    size = max(1, PAIRS // len(vectors_ND))
    for start in range(0, len(queries_MD), size):
        block = slice(start, min(start + size, len(queries_MD)))
        yield block, queries_MD[block] @ vectors_ND.T


def nearest(queries_MD: np.ndarray, vectors_ND: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the `count` nearest vectors of each query, nearest first, and their cosines: (M, K) both."""
    index_MK = np.empty((len(queries_MD), count), dtype=np.int64)
    cosine_MK = np.empty((len(queries_MD), count))
    for block, cosine_BN in cosines(queries_MD, vectors_ND):
        found_BK = np.sort(np.argpartition(-cosine_BN, count - 1, axis=1)[:, :count], axis=1)
        found_cosine_BK = np.take_along_axis(cosine_BN, found_BK, axis=1)
        order_BK = np.argsort(-found_cosine_BK, axis=1, kind="stable")
        index_MK[block] = np.take_along_axis(found_BK, order_BK, axis=1)
        cosine_MK[block] = np.take_along_axis(found_cosine_BK, order_BK, axis=1)
    return index_MK, cosine_MK
