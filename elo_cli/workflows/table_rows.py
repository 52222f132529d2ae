"""Rows of the paper's tables that elo trains itself: each once, by `elo pretrain`, with the loss that it names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from elo_cli import dist
from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.settings import Settings
from elo_cli.core.shelf import suggest
from elo_cli.run.directory import RunDirectory, numbered_roots
from elo_cli.run.workspace import Workspace
from elo_cli.workflows import pretrain
from elo_cli.workflows.events import Watch
from elo_cli.workflows.loss_choice import choose_loss, search_of
from elo_cli.workflows.material import dataset_root, open_material, served_terms
from elo_cli.workflows.representations import SINGLE_TASKS, Representation, named_encoder

ROWS = (*SINGLE_TASKS, "random", "elo-weak", "elo")


def check_rows(rows: Sequence[str]) -> None:
    """Make sure that all rows exist.

    Raises:
        UsageError: one does not.
    """
    for row in rows:
        if row not in ROWS:
            raise UsageError(f"There is no row called '{row}' that elo can train.", hint=suggest(row, ROWS))


def losses_of(row: str, settings: Settings) -> dict[str, str]:
    """Name the losses of a row, as `elo pretrain --loss` takes them, by what results call their encoders.

    Raises:
        DataError: it is that of a search, and there is none.
    """
    if row in SINGLE_TASKS:
        return {row: SINGLE_TASKS[row]}
    if row == "random":
        return {f"random-{number}": f"random:{number}" for number in range(settings.benchmark.random_losses)}
    weak = row == "elo-weak"
    for root in numbered_roots(Workspace(Path(settings.workspace)).root / "evolve", "best-loss.yaml"):
        found = search_of(RunDirectory(root).best_loss)
        if found is not None and (found["measure"] == "weak") == weak:
            return {row: str(RunDirectory(root).best_loss)}
    command = "elo evolve" + (" --set fitness.measure=weak --set fitness.labelled=DIR" if weak else "")
    raise DataError(
        f"The row {row} is the best loss of a search{' with the fitness weak' if weak else ''}: {settings.workspace} has none.",
        hint=f"Search first: {command} (docs/search.md); or leave the row out.",
    )


def trained_rows(settings: Settings, watch: Watch) -> list[Representation]:
    """Train the encoders of the rows that are asked for, as far as they are not trained yet, and load them.

    Raises:
        DataError: there is no preprocessed set to train on, or a row needs a search that was not made.
        UsageError: a row was trained with other settings, or of another search.
    """
    losses = {name: (row, loss) for row in settings.benchmark.rows for name, loss in losses_of(row, settings).items()}
    if losses:
        _check(settings, losses)
    found = []
    for name, (row, loss) in losses.items():
        place = Workspace(Path(settings.workspace)).root / "rows" / name
        watch.note(f"$ elo pretrain --loss {loss} --out {place}")
        try:
            pretrain.run(settings=settings, data=None, loss=loss, out=place, fresh=False, watch=watch)
        except UsageError as error:
            if not error.message.startswith(f"{place} was begun"):
                raise
            hint = f"Move {place} away, and the row is trained anew; or give the former settings."
            raise UsageError(error.message, hint=hint) from error
        dist.after_first(f"row {name}")  # rank 0 writes the encoder after the others are done
        encoder = named_encoder(f"{name}={RunDirectory(place).encoder}")
        found.append(encoder.as_row(encoder.row or row))
    return found


def _check(settings: Settings, losses: Mapping[str, tuple[str, str]]) -> None:
    """Make sure before any training that every row can be trained.

    Raises:
        DataError: there is no preprocessed set.
        UsageError: a row has no term among those that the settings and the set allow.
    """
    terms, _ = served_terms(settings.objective, open_material(dataset_root(settings, None)).videos)
    for row, loss in losses.values():
        try:
            choose_loss(settings, loss, terms)
        except UsageError as error:
            hint = f"Widen objective.terms, preprocess with what it reads, or leave the row out. {error.hint}"
            raise UsageError(f"The row {row} cannot be trained: {error.message}", hint=hint) from error
