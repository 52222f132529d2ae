"""`elo export`: the encoder for other programs."""

import functools
from pathlib import Path
from typing import Annotated, Literal

import typer

from elo_cli.cli.options import Common, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo export --format onnx"


@functools.partial(with_common, without=("seed", "resume"))
def command(
    common: Common,
    encoder: Annotated[
        Path | None,
        typer.Argument(metavar="ENCODER", help="A trained encoder, or its run; that of elo pretrain if not given."),
    ] = None,
    kind: Annotated[
        Literal["torchvision", "onnx", "torch-export"] | None,
        typer.Option("--format", help="torchvision's keys, ONNX (an extra), or a program of torch.export."),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option("--step", metavar="N|best|newest", help="Out of a checkpoint of the run, which may still be at work."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Where it is written; beside the encoder if not given.")
    ] = None,
) -> None:
    """Write the encoder in a format for other programs.

    A file for other programs is read back, and kept only if it gives the same features as the encoder.
    """
    run_workflow("export", common, encoder=encoder, step=step, kind=kind, out=out)
