"""`elo pretrain`: train the encoder."""

from typing import Annotated

import typer

from elo_cli.cli.options import Common, Data, Out, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo pretrain --preset small --loss elo/evolve/best-loss.yaml"


@with_common
def command(
    common: Common,
    data: Data = None,
    loss: Annotated[
        str | None,
        typer.Option("--loss", metavar="FILE|uniform", help="A loss file, or one weight for every term; else the best found."),
    ] = None,
    out: Out = None,
) -> None:
    """Train the encoder with the best loss found, or another.

    The encoder of the RGB frames is what is kept, as a safetensors file.
    """
    run_workflow("pretrain", common, data=data, loss=loss, out=out)
