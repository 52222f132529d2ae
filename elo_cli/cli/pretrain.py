"""`elo pretrain`: train the encoder."""

from typing import Annotated

import typer

from elo_cli.cli.launching import together
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
    gpus: Annotated[
        int | None, typer.Option("--gpus", metavar="N", min=1, help="Train on so many GPUs of this machine together.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option("--processes", metavar="N", min=1, help="Train in so many processes together; they share the processors."),
    ] = None,
) -> None:
    """Train the encoder with the best loss found, or another.

    The encoder of the RGB frames is what is kept, as a safetensors file. On many machines: torchrun ... -m elo_cli pretrain ...
    """
    many = not (common.dry_run or common.print_settings) and together(common, gpus, processes)
    if not many:
        run_workflow("pretrain", common, data=data, loss=loss, out=out)
