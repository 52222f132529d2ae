"""Feature files of any maker: elo's own, and plain matrices of numbers, read as `Features`.

    NAME.safetensors   with NAME.ids.jsonl beside it, as elo extract-features writes them; or any safetensors file
    NAME.npy, .npz     as NumPy saves them; never a pickle inside
    NAME.csv           numbers between commas, a line for each row; a first line of names is passed over

A plain matrix has N rows (videos) × D columns (features); a file of several arrays is asked for one by name. Beside it
may lie NAME.ids.txt, which names the video of each row, one a line.
"""

import csv
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features, ids_path
from elo_cli.core.shelf import suggest

ENDINGS = (".safetensors", ".npy", ".npz", ".csv")
OURS = "features"  # what elo calls the matrix in its own files


def read_features(path: Path, *, array: str | None = None, labels: Path | None = None) -> Features:
    """Read a feature file.

    Args:
        path: a file with one of `ENDINGS`.
        array: the name of the matrix, where the file has several.
        labels: a text file with the label of each row, one a line, in order; an empty line is a row without. They
            stand in for labels of the file's own.

    Returns:
        N × D features, in the file's own precision. Where nothing names them, rows are called `row 1`, `row 2`, ….

    Raises:
        UsageError: the ending is unknown, or the file has several arrays and none is named, or not that one.
        DataError: the file is missing, damaged, a pickle, no matrix of real numbers, empty, or holds NaN or infinite
            numbers; or labels do not fit the rows.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise UsageError(
            f"{path} has no ending that elo knows features by.", hint=f"Give {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}."
        )
    if not path.is_file():
        raise DataError(f"There is no file {path}.", hint="Make features with elo extract-features, or name another file.")
    if ending == ".safetensors" and ids_path(path).is_file() and array is None:
        features = Features.load(path)
    else:
        matrix_ND = _matrix(path, ending, array)
        features = Features(matrix_ND, _ids(path, len(matrix_ND)), (None,) * len(matrix_ND))
    _check_finite(features, path)
    if labels is None:
        return features
    return replace(features, labels=_labels(labels, len(features)))


def _matrix(path: Path, ending: str, array: str | None) -> np.ndarray:
    """Read the matrix alone, and make sure that it is one."""
    with _damage(path):
        if ending == ".csv":
            found: Any = _csv(path)
        elif ending == ".safetensors":
            found = _safetensors(path, array)
        else:
            found = _numpy(path, array)
    if array is not None and ending in (".npy", ".csv"):
        raise UsageError(f"{path} holds one matrix without a name.", hint="Leave --array out.")
    if found.dtype.kind not in "fiub":
        raise DataError(f"{path} holds {found.dtype}, which are no real numbers.", hint="Save the matrix as float32.")
    if found.ndim != 2 or not found.size:
        shape = "×".join(map(str, found.shape)) or "a single number"
        raise DataError(f"{path} is no matrix of features: it is {shape}.", hint="Give N rows × D features, neither of them 0.")
    native = found.dtype.newbyteorder("=") if found.dtype.kind == "f" else np.dtype(np.float64)
    matrix_ND: np.ndarray = found.astype(native)
    return matrix_ND


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what readers raise at a file that is none of theirs into an error that names it."""
    from safetensors import SafetensorError

    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text: {error.reason}.", hint="Save it as UTF-8.") from error
    except (OSError, EOFError, ValueError, KeyError, SyntaxError, zipfile.BadZipFile, SafetensorError) as error:
        if "allow_pickle" in str(error) or "pickled" in str(error):
            raise DataError(
                f"{path} holds Python objects (a pickle) or nothing of NumPy's. Reading a pickle can run a stranger's code.",
                hint="Save the matrix itself: numpy.save(FILE, numpy.asarray(matrix, dtype=numpy.float32))",
            ) from error
        raise DataError(
            f"{path} cannot be read: {error}", hint="It may be damaged or of another format; save it again."
        ) from error


def _numpy(path: Path, array: str | None) -> np.ndarray:
    with path.open("rb") as file:  # NumPy itself forgets to close a file that it cannot read
        loaded = np.load(file, allow_pickle=False)
        found: np.ndarray = loaded if isinstance(loaded, np.ndarray) else loaded[_named(path, loaded, array)]
        return found


def _safetensors(path: Path, array: str | None) -> np.ndarray:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as opened:  # NumPy lacks the narrow types
        tensor = opened.get_tensor(_named(path, dict.fromkeys(opened.keys()), array))
    matrix: np.ndarray = (tensor.float() if tensor.is_floating_point() and tensor.itemsize < 4 else tensor).numpy()
    return matrix


def _named(path: Path, arrays: Mapping[str, object], array: str | None) -> str:
    """Return the name of the array to take."""
    names = list(arrays)
    if array is None and OURS in names:
        return OURS
    if array is None and len(names) == 1:
        return names[0]
    if array is None or array not in names:
        what = f"{len(names)} arrays" if array is None else f"no array called '{array}'"
        raise UsageError(f"{path} holds {what}.", hint=f"Name one with --array NAME. {suggest(array or '', names)}")
    return array


def _csv(path: Path) -> np.ndarray:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    if rows and not any(_is_number(cell) for cell in rows[0]):
        rows = rows[1:]
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise ValueError(f"its lines have {min(widths)} to {max(widths)} cells")
    return np.array([[float(cell) for cell in row] for row in rows], np.float64)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _check_finite(features: Features, path: Path) -> None:
    broken = np.flatnonzero(~np.isfinite(features.matrix_ND).all(axis=1))
    if len(broken):
        raise DataError(
            f"{len(broken)} of {len(features)} rows of {path} hold NaN or infinite features, such as {features.ids[broken[0]]}.",
            hint="The encoder diverged or a video is damaged; extract the features again from a sound checkpoint.",
        )


def _ids(path: Path, rows: int) -> tuple[str, ...]:
    """Read what names the rows of a plain matrix, or number them."""
    names = path.with_suffix(".ids.txt")
    if not names.is_file():
        return tuple(f"row {row + 1}" for row in range(rows))
    with _damage(names):
        lines = tuple(names.read_text(encoding="utf-8").splitlines())
    if len(lines) != rows or len(set(lines)) != rows:
        raise DataError(
            f"{names} has {len(lines)} lines, {len(set(lines))} different ones, for {rows} rows of {path}.",
            hint="Name the video of each row, one a line, in the order of the rows.",
        )
    return lines


def _labels(path: Path, rows: int) -> tuple[str | None, ...]:
    """Read the labels, one a line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The labels {path} cannot be read: {error}", hint="Give a text file with one label a line.") from error
    lines = text.split("\n")[: -1 if text.endswith("\n") else None]  # never at another character of a label's own
    if len(lines) != rows:
        raise DataError(
            f"{path} has {len(lines)} labels, but there are {rows} rows.", hint="Give one line a row; an empty one is no label."
        )
    return tuple(line.strip() or None for line in lines)
