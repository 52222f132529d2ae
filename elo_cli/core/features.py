"""Features: one row for each video, with the video's id and, where known, its label.

On disk: `NAME.safetensors` with the matrix `features`, and beside it `NAME.ids.jsonl` with a line
`{"id": …, "label": …}` for each row, in order.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elo_cli.core.errors import DataError
from elo_cli.core.files import write_atomic


@dataclass(frozen=True)
class Features:
    """A matrix of features and what its rows are.

    Attributes:
        matrix_ND: float32, N videos × D features.
        ids: the id of each row: the video's path relative to its root.
        labels: the label of each row, or None where it has none.
    """

    matrix_ND: np.ndarray
    ids: tuple[str, ...]
    labels: tuple[str | None, ...]

    def __post_init__(self) -> None:
        assert self.matrix_ND.ndim == 2, self.matrix_ND.shape
        assert len(self.matrix_ND) == len(self.ids) == len(self.labels)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Sequence[str]) -> "Features":
        """Return the rows of `ids`, in that order.

        Raises:
            KeyError: an id is not among the rows.
        """
        index = {video: row for row, video in enumerate(self.ids)}
        chosen = [index[video] for video in ids]
        return Features(self.matrix_ND[chosen], tuple(ids), tuple(self.labels[row] for row in chosen))

    def save(self, path: Path) -> None:
        """Write the matrix to `path` and the ids beside it, each whole or not at all."""
        from safetensors.numpy import save

        lines = [json.dumps({"id": name, "label": label}) for name, label in zip(self.ids, self.labels, strict=True)]
        write_atomic(ids_path(path), "".join(line + "\n" for line in lines).encode())
        write_atomic(path, save({"features": np.ascontiguousarray(self.matrix_ND, dtype=np.float32)}))

    @classmethod
    def load(cls, path: Path) -> "Features":
        """Read features back.

        Raises:
            DataError: a file is missing or damaged, or the two files do not fit each other.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            matrix_ND = load_file(path)["features"]
            rows = [json.loads(line) for line in ids_path(path).read_text().splitlines()]
            return cls(matrix_ND, tuple(row["id"] for row in rows), tuple(row["label"] for row in rows))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, AssertionError) as error:
            raise DataError(
                f"{path} cannot be read as features: {error}", hint="Extract them again with elo extract-features."
            ) from error


def ids_path(path: Path) -> Path:
    """Return the path of the ids that belong to a feature file."""
    return path.with_suffix(".ids.jsonl")
