"""Numbers and pictures of a search or a training for TensorBoard; where that is not installed, nothing is written."""

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from elo_cli.core.files import storage_errors
from elo_cli.core.weights import Term
from elo_cli.strategies import Strategy
from elo_cli.workflows.course import Row
from elo_cli.workflows.events import Watch
from elo_cli.workflows.standing import Round

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch.utils.tensorboard import SummaryWriter

_FLUSH_SECONDS = 5  # TensorBoard looks for news about as often


class Scalars:
    """A file of events that TensorBoard reads; opened with `open_scalars`.

    Args:
        folder: where the file is, for messages.
        writer: None writes nothing.
    """

    def __init__(self, folder: Path, writer: "SummaryWriter | None") -> None:
        self._folder, self._writer = folder, writer

    def add(self, step: int, values: Mapping[str, float | None], when: float | None = None) -> None:
        """Write numbers by their names; None is left out.

        Args:
            step: their place on the axis.
            values: `group/name` → number.
            when: seconds since 1970; now if not given.

        Raises:
            StorageError: they cannot be written; of what was given before, either.
        """
        if self._writer is None:
            return
        with storage_errors(self._folder):
            for name, value in values.items():
                if value is not None:
                    self._writer.add_scalar(name, value, step, walltime=when)

    def add_picture(self, step: int, name: str, picture: "Image") -> None:
        """Write an RGB picture by its name.

        Raises:
            StorageError: it cannot be written.
        """
        if self._writer is not None:
            with storage_errors(self._folder):
                self._writer.add_image(name, np.asarray(picture), step, dataformats="HWC")

    def flush(self) -> None:
        """Bring to the disk what was given.

        Raises:
            StorageError: it cannot be written.
        """
        if self._writer is not None:
            with storage_errors(self._folder):
                self._writer.flush()


@contextlib.contextmanager
def open_scalars(folder: Path, watch: Watch, *, first: int | None = None) -> Iterator[Scalars]:
    """Write scalars into a folder for the length of a `with` block.

    Args:
        folder: is made if TensorBoard is installed.
        watch: is warned if TensorBoard is installed but fails; the work goes on without it.
        first: the step that will be written first; TensorBoard then passes over what stands there from that step on.
            None takes away what stands there: all is written anew.

    Raises:
        StorageError: the folder cannot be written.
    """
    writer = _writer(folder, watch, first)
    try:
        yield Scalars(folder, writer)
    finally:
        if writer is not None:
            with storage_errors(folder):
                writer.close()


def _writer(folder: Path, watch: Watch, first: int | None) -> "SummaryWriter | None":
    # A folder called tensorboard on the path, such as that of a run, is found too, but has no file of its own.
    found = importlib.util.find_spec("tensorboard")
    if found is None or found.origin is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except Exception as error:  # whatever versions that do not fit together raise
        watch.warn(
            f"TensorBoard is installed but cannot be used, so nothing is written into {folder}: {type(error).__name__}: {error}."
            "\nTo mend it: pip install --upgrade 'elo-cli[tensorboard]'; or pip uninstall tensorboard"
        )
        return None
    with storage_errors(folder):
        if first is None:
            for former in folder.glob("events.out.tfevents.*"):
                former.unlink()
        return SummaryWriter(str(folder), purge_step=first or 0, flush_secs=_FLUSH_SECONDS)


def of_row(row: Row) -> dict[str, float | None]:
    """Name the number of one measurement, by how long the candidate trained or under which further seed."""
    how = f"again-{row['repeat']}" if row["repeat"] else f"after-{row['steps']}-steps"
    return {f"candidate/{how}": row["value"]}


def of_round(one: Round, strategy: Strategy, terms: Sequence[Term]) -> dict[str, float | None]:
    """Name the numbers of a round that is over: its figures, where the strategy stands, and the mean that it draws around."""
    figures = {"best": one.best, "mean": one.mean, "spread": one.spread, "failed": float(one.failed)}
    named: dict[str, float | None] = {f"round/{name}": value for name, value in figures.items()}
    named |= {f"strategy/{name}": value for name, value in strategy.state().items()}
    mean_D = strategy.mean()
    if mean_D is not None:
        named |= {f"mean/{term}": float(weight) for term, weight in zip(terms, mean_D, strict=True)}
    return named
