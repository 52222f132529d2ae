"""Features on disk: the matrix, the ids, and what happens when they do not fit each other."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.core.errors import DataError
from elo_cli.core.features import Features, ids_path

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(TEXT, st.none() | TEXT), max_size=5), st.integers(1, 4), st.integers(0, 1000))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str | None]], width: int, seed: int) -> None:
    path = tmp_path_factory.mktemp("features") / "a.safetensors"
    matrix = np.random.default_rng(seed).normal(size=(len(rows), width)).astype(np.float32)
    features = Features(matrix, tuple(name for name, _ in rows), tuple(label for _, label in rows))
    features.save(path)
    loaded = Features.load(path)
    assert np.array_equal(loaded.matrix_ND, matrix) and loaded.matrix_ND.dtype == np.float32
    assert (loaded.ids, loaded.labels) == (features.ids, features.labels)


def make(path: Path) -> Features:
    features = Features(np.arange(6, dtype=np.float32).reshape(3, 2), ("a", "b", "c"), ("x", None, "y"))
    features.save(path)
    return features


def test_rows_come_in_the_order_asked_for(tmp_path: Path) -> None:
    chosen = make(tmp_path / "f.safetensors").rows(["c", "a"])
    assert chosen.ids == ("c", "a") and chosen.labels == ("y", "x")
    assert chosen.matrix_ND.tolist() == [[4, 5], [0, 1]]
    with pytest.raises(KeyError):
        chosen.rows(["b"])


@pytest.mark.parametrize("content", [b"", b"no json\n", b"[1]\n", b'{"id": "a"}\n', b'{"id": "a", "label": null}\n', b"\xff\n"])
def test_damaged_ids_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f.safetensors"
    make(path)
    ids_path(path).write_bytes(content)
    with pytest.raises(DataError, match=r"f\.safetensors"):
        Features.load(path)


def test_a_damaged_or_missing_matrix_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    make(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"f\.safetensors"):
        Features.load(path)
    path.unlink()
    with pytest.raises(DataError, match=r"f\.safetensors"):
        Features.load(path)
