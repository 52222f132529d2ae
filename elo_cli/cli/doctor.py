"""`elo doctor`: what this machine has, what will be used, and what a step costs here."""

import functools
from typing import Annotated

import typer

from elo_cli.cli.options import Common, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo doctor --preset small"


@functools.partial(with_common, without=("seed", "resume", "dry_run"))
def command(
    common: Common,
    loss: Annotated[
        str | None,
        typer.Option("--loss", metavar="FILE|uniform", help="A loss file; equal weights of all terms if not given."),
    ] = None,
    proxy: Annotated[bool, typer.Option("--proxy", help="Try the short trainings of a search instead of elo pretrain.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Try no step: a few seconds instead of a minute or two.")] = False,
) -> None:
    """Look at this machine, and try a step of training on it.

    Says what is here, what will be used, what is wrong and how to mend it, what a step of the preset costs in time and
    memory, and the largest batch that fits. Needs no data. Leaves with 4 if a check fails.
    """
    run_workflow("doctor", common, loss=loss, proxy=proxy, quick=quick)
