"""Features: one row for each video, with the video's id and, where known, its label.

On disk: `NAME.safetensors` with the matrix `features` and, where they are kept, the features of the `views` that its rows
are the means of; beside it `NAME.ids.jsonl` with a line `{"id": …, "label": …}` for each row, in order.

Shape legend: N videos, V views (clips × crops) of each, D features.
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
        groups: what each row's video was cut from, or None where that is not known; None: of no row. Not saved.
        views_NVD: float32, the features of each view, whose means are the rows; None where only these are known.
    """

    matrix_ND: np.ndarray
    ids: tuple[str, ...]
    labels: tuple[str | None, ...]
    groups: tuple[str | None, ...] | None = None
    views_NVD: np.ndarray | None = None

    def __post_init__(self) -> None:
        assert self.matrix_ND.ndim == 2, self.matrix_ND.shape
        assert len(self.matrix_ND) == len(self.ids) == len(self.labels)
        assert self.groups is None or len(self.groups) == len(self.ids)
        assert self.views_NVD is None or self.views_NVD.shape[::2] == self.matrix_ND.shape

    @classmethod
    def of_views(cls, views_NVD: np.ndarray, ids: tuple[str, ...], labels: tuple[str | None, ...]) -> "Features":
        """Make features of those of views, of which each video has as many."""
        views_NVD = np.asarray(views_NVD, dtype=np.float32)
        return cls(views_NVD.mean(axis=1), ids, labels, views_NVD=views_NVD)

    @property
    def views(self) -> np.ndarray:
        """The features of each view, (N, V, D); of one view where only means are known."""
        return self.matrix_ND[:, None] if self.views_NVD is None else self.views_NVD

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Sequence[str]) -> "Features":
        """Return the rows of `ids`, in that order.

        Raises:
            KeyError: an id is not among the rows.
        """
        index = {video: row for row, video in enumerate(self.ids)}
        chosen = [index[video] for video in ids]
        return Features(
            self.matrix_ND[chosen],
            tuple(ids),
            tuple(self.labels[row] for row in chosen),
            None if self.groups is None else tuple(self.groups[row] for row in chosen),
            None if self.views_NVD is None else self.views_NVD[chosen],
        )

    def save(self, path: Path) -> None:
        """Write the matrix to `path` and the ids beside it, each whole or not at all."""
        from safetensors.numpy import save

        lines = [json.dumps({"id": name, "label": label}) for name, label in zip(self.ids, self.labels, strict=True)]
        write_atomic(ids_path(path), "".join(line + "\n" for line in lines).encode())
        arrays = {"features": self.matrix_ND} | ({} if self.views_NVD is None else {"views": self.views_NVD})
        write_atomic(path, save({name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}))

    @classmethod
    def load(cls, path: Path) -> "Features":
        """Read features back.

        Raises:
            DataError: a file is missing or damaged, or the two files do not fit each other.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(path)
            rows = [json.loads(line) for line in ids_path(path).read_text().splitlines()]
            ids, labels = tuple(row["id"] for row in rows), tuple(row["label"] for row in rows)
            return cls(arrays["features"], ids, labels, views_NVD=arrays.get("views"))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, AssertionError) as error:
            raise DataError(
                f"{path} cannot be read as features: {error}", hint="Extract them again with elo extract-features."
            ) from error


def ids_path(path: Path) -> Path:
    """Return the path of the ids that belong to a feature file."""
    return path.with_suffix(".ids.jsonl")
