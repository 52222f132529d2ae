"""`elo proxy-search`: try many losses once each."""

from typing import Annotated

import typer

from elo_cli.cli.options import Common, Data, Engine, Out, PerDevice, Strategy, Workers, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo proxy-search --preset small --candidates 20"


@with_common
def command(
    common: Common,
    strategy: Strategy = None,
    candidates: Annotated[int | None, typer.Option("--candidates", metavar="N", help="How many losses to try.")] = None,
    workers: Workers = None,
    workers_per_device: PerDevice = None,
    engine: Engine = None,
    data: Data = None,
    out: Out = None,
) -> None:
    """Try many losses, each once, and rank them.

    Each loss trains a small encoder of its own, whose features are scored without labels.
    """
    shorthands = {
        "proxy_search.strategy": strategy,
        "proxy_search.candidates": candidates,
        "search.workers": workers,
        "search.workers_per_device": workers_per_device,
        "search.engine": engine,
    }
    run_workflow("proxy_search", common, shorthands, data=data, out=out)
