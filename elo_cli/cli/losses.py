"""`elo losses`: the terms of the loss, and losses as pictures."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from elo_cli.cli.group import QuickGroup
from elo_cli.cli.options import Common, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo losses show elo/evolve/best-loss.yaml"


@functools.partial(with_common, without=("seed", "resume"))
def overview(common: Common) -> None:
    """List the terms of the loss, or show a loss.

    The list says what each term reads and what it costs.
    """
    run_workflow("losses", common)


@functools.partial(with_common, without=("seed", "resume"))
def show(
    common: Common,
    loss: Annotated[
        Path | None, typer.Argument(metavar="LOSS.yaml", help="A loss; the best one of the newest search if not given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.png", help="The picture; beside the loss if not given.")
    ] = None,
) -> None:
    """Draw a loss as a heat map: what is read downwards, tasks across."""
    run_workflow("loss_show", common, loss=loss, out=out)


def build() -> typer.Typer:
    """Return the commands as one group."""
    example = f"Example: {EXAMPLE}"
    group = typer.Typer(name="losses", cls=QuickGroup, invoke_without_command=True, callback=overview, epilog=example)
    group.command("show", epilog=example)(show)
    return group
