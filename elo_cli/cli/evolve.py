"""`elo evolve`: search for the loss."""

import dataclasses
from typing import Annotated

import typer

from elo_cli.cli.options import Common, Data, Engine, Out, PerDevice, Strategy, Workers, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo evolve --preset small --strategy cma-es"


@with_common
def command(
    common: Common,
    strategy: Strategy = None,
    rounds: Annotated[int | None, typer.Option("--rounds", metavar="N", help="How often the strategy is asked and told.")] = None,
    workers: Workers = None,
    workers_per_device: PerDevice = None,
    engine: Engine = None,
    status: Annotated[
        bool, typer.Option("--status", help="Say how far the search is, from another terminal too, and leave.")
    ] = False,
    accept_version: Annotated[
        bool,
        typer.Option("--accept-version", help="Go on under another version of the strategy's library, if it proposes alike."),
    ] = False,
    data: Data = None,
    out: Out = None,
) -> None:
    """Search for the loss that learns the best encoder.

    Round by round, a strategy proposes losses; each trains a small encoder, whose features are scored
    without labels; the strategy learns from the scores. Candidates train side by side, and the journal is
    the same however many do. With search.rungs=3 most of them train for a ninth of the steps only.
    """
    shorthands = {
        "search.strategy": strategy,
        "search.rounds": rounds,
        "search.workers": workers,
        "search.workers_per_device": workers_per_device,
        "search.engine": engine,
        "search.accept_version": accept_version or None,
    }
    if status:
        run_workflow("search_status", dataclasses.replace(common, resume=None), shorthands, out=out)
    else:
        run_workflow("evolve", common, shorthands, data=data, out=out)
