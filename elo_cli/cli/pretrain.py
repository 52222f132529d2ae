"""`elo pretrain`: train the encoder."""

from typing import Annotated

import typer

from elo_cli.cli.launching import together
from elo_cli.cli.options import Common, Data, Gpus, Out, Processes, complete_method, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo pretrain --preset small --loss elo/evolve/best-loss.yaml"


@with_common
def command(
    common: Common,
    data: Data = None,
    loss: Annotated[
        str | None,
        typer.Option(
            "--loss",
            metavar="FILE|NAME",
            help="A loss file, uniform, random:N or terms such as rgb.shuffle; else the best found.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="NAME",
            autocompletion=complete_method,
            help="elo: a loss found or named; modist: contrast of RGB and motion; contrastive: its RGB part alone.",
        ),
    ] = None,
    out: Out = None,
    gpus: Gpus = None,
    processes: Processes = None,
) -> None:
    """Train the encoder with the best loss found, or another.

    The encoder of the RGB frames is what is kept, as a safetensors file. On many machines: torchrun ... -m elo_cli pretrain ...
    """
    many = not (common.dry_run or common.print_settings) and together(common, gpus, processes)
    if not many:
        run_workflow("pretrain", common, {"method": method}, data=data, loss=loss, out=out)
