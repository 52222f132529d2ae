"""`elo benchmark`: score the representation."""

from pathlib import Path
from typing import Annotated

import typer

from elo_cli.cli.options import Common, Encoder, Out, complete_dataset, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo benchmark hmdb51 --root datasets/hmdb51"


@with_common
def command(
    common: Common,
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", autocompletion=complete_dataset, help="A labelled data set, such as hmdb51.")
    ],
    root: Annotated[Path | None, typer.Option("--root", metavar="DIR", help="Where the data set is.")] = None,
    encoder: Encoder = None,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Go on where videos of the official lists are missing.")
    ] = False,
    out: Out = None,
) -> None:
    """Score an encoder on a labelled data set.

    Beside it stand an untrained encoder and trivial features, unless benchmark.baselines is false.
    """
    shorthands = {"benchmark.allow_incomplete": True if allow_incomplete else None}
    run_workflow("benchmark", common, shorthands, dataset=dataset, root=root, encoder=encoder, out=out)
