"""`elo fitness`: measures of a file of features."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from elo_cli.cli.options import Common, complete_measure, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo fitness features.npy --set fitness.clusters=20"


@functools.partial(with_common, without=("resume",))
def command(
    common: Common,
    features: Annotated[
        Path | None,
        typer.Argument(
            metavar="FEATURES", help="A .safetensors, .npy, .npz or .csv file; that of elo extract-features if not given."
        ),
    ] = None,
    measures: Annotated[
        list[str] | None,
        typer.Option(
            "--measure",
            metavar="NAME",
            autocompletion=complete_measure,
            help="A measure, such as zipf; may be given many times. All that need no labels if not given.",
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", help="A label for each row, one a line, for the measure weak.")
    ] = None,
    array: Annotated[
        str | None, typer.Option("--array", metavar="NAME", help="Which array, where the file holds several.")
    ] = None,
) -> None:
    """Measure features without training anything.

    The numbers are those that a search would get of them; elo extract-features or any other program may
    have made the file.
    """
    run_workflow("fitness", common, features=features, measures=measures or None, labels=labels, array=array)
