"""Feature files of any maker: what is read, and what is refused by name."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.torch import save_file

from elo_cli.core.errors import DataError, EloError, UsageError
from elo_cli.core.features import Features
from elo_cli.data.matrices import read_features

MATRIX = np.arange(12.0).reshape(4, 3) / 7


def test_what_elo_writes_comes_with_ids_and_labels(tmp_path: Path) -> None:
    written = Features(MATRIX.astype(np.float32), ("a", "b", "c", "d"), ("x", None, "y", "x"))
    written.save(tmp_path / "f.safetensors")
    read = read_features(tmp_path / "f.safetensors")
    assert (read.ids, read.labels) == (written.ids, written.labels)
    assert (read.matrix_ND == written.matrix_ND).all() and read.matrix_ND.dtype == np.float32


@settings(max_examples=40, deadline=None)
@given(
    matrix=arrays.arrays(
        st.sampled_from(["<f8", "<f4", ">f8", "<f2", "<i4", "|u1", "|b1"]), st.tuples(st.integers(1, 5), st.integers(1, 4)),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    form=st.sampled_from(["npy", "npz", "csv"]),
    fortran=st.booleans(),
)  # fmt: skip
def test_numbers_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, matrix: np.ndarray, form: str, fortran: bool
) -> None:
    path = tmp_path_factory.mktemp("m") / f"m.{form}"
    matrix = np.asfortranarray(matrix) if fortran else matrix
    if form == "npy":
        np.save(path, matrix)
    elif form == "npz":
        np.savez_compressed(path, anything=matrix)
    else:
        path.write_text("\n".join(",".join(repr(float(cell)) for cell in row) for row in matrix) + "\n")
    read = read_features(path)
    assert (read.matrix_ND == matrix).all() and read.matrix_ND.dtype.isnative
    assert read.labels == (None,) * len(matrix) and read.ids[0] == "row 1"


def test_safetensors_of_others_and_narrow_types(tmp_path: Path) -> None:
    tensor = torch.tensor(MATRIX, dtype=torch.bfloat16)
    save_file({"z": tensor}, tmp_path / "t.safetensors")
    assert (read_features(tmp_path / "t.safetensors").matrix_ND == tensor.float().numpy()).all()


def test_of_several_arrays_one_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", first=MATRIX, second=MATRIX + 1)
    save_file({"first": torch.tensor(MATRIX), "second": torch.tensor(MATRIX + 1)}, tmp_path / "m.safetensors")
    for name in ("m.npz", "m.safetensors"):
        assert (read_features(tmp_path / name, array="second").matrix_ND == MATRIX + 1).all()
        with pytest.raises(UsageError, match="2 arrays") as caught:
            read_features(tmp_path / name)
        assert "--array" in caught.value.hint and "first, second" in caught.value.hint
        with pytest.raises(UsageError, match="no array called 'secnd'") as caught:
            read_features(tmp_path / name, array="secnd")
        assert "Did you mean 'second'?" in caught.value.hint
    np.savez(tmp_path / "ours.npz", features=MATRIX, more=MATRIX[:1])
    assert (read_features(tmp_path / "ours.npz").matrix_ND == MATRIX).all()
    np.save(tmp_path / "m.npy", MATRIX)
    with pytest.raises(UsageError, match="without a name"):
        read_features(tmp_path / "m.npy", array="first")


def test_a_first_line_of_names_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("\ufeffa,b\r\n1,2\r\n\r\n3,-4e-1\r\n", newline="")
    assert read_features(tmp_path / "m.csv").matrix_ND.tolist() == [[1, 2], [3, -0.4]]


def test_labels_go_with_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", MATRIX)
    (tmp_path / "l.txt").write_text("wave\n\nsit down\r\nwave")
    assert read_features(tmp_path / "m.npy", labels=tmp_path / "l.txt").labels == ("wave", None, "sit down", "wave")
    (tmp_path / "l.txt").write_text("wave\n")
    with pytest.raises(DataError, match="has 1 labels, but there are 4 rows"):
        read_features(tmp_path / "m.npy", labels=tmp_path / "l.txt")
    with pytest.raises(DataError, match="cannot be read"):
        read_features(tmp_path / "m.npy", labels=tmp_path / "none.txt")


class Trap:
    """What a stranger's pickle could hold."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("form", ["npy", "npz"])
def test_a_pickle_is_refused_and_never_run(tmp_path: Path, form: str) -> None:
    trapped = np.array([[Trap(tmp_path / "sprung")]], dtype=object)
    (np.save if form == "npy" else np.savez)(tmp_path / f"m.{form}", trapped, allow_pickle=True)
    with pytest.raises(DataError, match="a pickle") as caught:
        read_features(tmp_path / f"m.{form}")
    assert "numpy.save" in caught.value.hint
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.npy", b"", "cannot be read"),
        ("m.npy", b"\x93NUMPY\x01\x00", "cannot be read"),
        ("m.npy", b"hello", "nothing of NumPy's"),
        ("m.npz", b"PK\x03\x04 and no more", "cannot be read"),
        ("m.safetensors", b"\xff" * 40, "cannot be read"),
        ("m.csv", b"", "no matrix of features"),
        ("m.csv", b"1,2\n3\n", "its lines have 1 to 2 cells"),
        ("m.csv", b"1,2\n3,x\n", "could not convert"),
        ("m.csv", b"\xff\xfe1,2", "no text"),
        ("m.csv", b"1,2\n3,nan\n", "1 of 2 rows of .* hold NaN or infinite features, such as row 2"),
    ],
)
def test_what_is_no_matrix_is_refused_by_name(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_features(tmp_path / name)
    assert caught.value.hint and name in caught.value.message


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), "it is 5"),
        (np.zeros((2, 3, 4)), "2×3×4"),
        (np.zeros((0, 3)), "0×3"),
        (np.array(1.0), "a single number"),
        (np.zeros((2, 2), complex), "no real numbers"),
        (np.array([["a", "b"]]), "no real numbers"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(DataError, match=message):
        read_features(tmp_path / "m.npy")


def test_no_file_and_no_known_ending(tmp_path: Path) -> None:
    for name, kind in (("none.npy", DataError), ("x.pkl", UsageError), (".", UsageError)):
        with pytest.raises(kind) as caught:
            read_features(tmp_path / name)
        assert isinstance(caught.value, EloError) and caught.value.hint


def test_a_file_beside_a_plain_matrix_names_its_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "theirs.npy", np.eye(3))
    assert read_features(tmp_path / "theirs.npy").ids == ("row 1", "row 2", "row 3")
    (tmp_path / "theirs.ids.txt").write_text("walk/a b.mp4\nrun/ü.mp4\nrun/c.mp4\n")
    assert read_features(tmp_path / "theirs.npy").ids == ("walk/a b.mp4", "run/ü.mp4", "run/c.mp4")
    for wrong in ("a\nb\n", "a\nb\nb\n", "a\nb\nc\nd\n"):
        (tmp_path / "theirs.ids.txt").write_text(wrong)
        with pytest.raises(DataError, match="different ones, for 3 rows"):
            read_features(tmp_path / "theirs.npy")
    (tmp_path / "theirs.ids.txt").write_bytes(b"\xff\n\xfe\n\xfd\n")
    with pytest.raises(DataError, match="is no text"):
        read_features(tmp_path / "theirs.npy")
