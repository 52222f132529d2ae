"""The nearest vectors by the cosine, beside scikit-learn's."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from elo_cli.core.seeds import numpy_generator
from elo_cli.vectors import neighbours


def test_against_scikit_learn_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = numpy_generator(0, "vectors")
    vectors_ND, queries_MD = draw.standard_normal((50, 6)), draw.standard_normal((23, 6))
    distance_MK, index_MK = NearestNeighbors(n_neighbors=9, metric="cosine").fit(vectors_ND).kneighbors(queries_MD)
    for pairs in (1, 7 * 50, 10**6):
        monkeypatch.setattr(neighbours, "PAIRS", pairs)
        found_MK, cosine_MK = neighbours.nearest(queries_MD, vectors_ND, 9)
        assert np.array_equal(found_MK, index_MK)
        assert cosine_MK == pytest.approx(1 - distance_MK)
    assert np.array_equal(np.sort(neighbours.nearest(queries_MD, vectors_ND, 50)[0], axis=1), np.tile(np.arange(50), (23, 1)))


def test_a_vector_of_zeros_is_near_to_none() -> None:
    index_MK, cosine_MK = neighbours.nearest(
        np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [2.0, 0.0], [-1.0, 0.0]]), 3
    )
    assert index_MK[0].tolist() == [1, 0, 2]
    assert cosine_MK.tolist() == [[1, 0, -1], [0, 0, 0]]
