"""`elo demo`: the whole pipeline on videos that elo makes itself."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from elo_cli.cli.options import Common, Out, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo demo --out elo-demo"


@with_common
def command(
    common: Common,
    videos: Annotated[
        Path | None, typer.Option("--videos", metavar="DIR", help="Videos to use instead of those that elo makes.")
    ] = None,
    out: Out = None,
) -> None:
    """Walk the whole pipeline, small; no data, no GPU needed.

    The preset demo is used unless --preset names another.
    """
    run_workflow("demo", dataclasses.replace(common, preset=common.preset or "demo"), videos=videos, out=out)
