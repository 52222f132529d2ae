"""`elo extract-features`: videos become vectors."""

from pathlib import Path
from typing import Annotated

import typer

from elo_cli.cli.options import Common, Encoder, Out, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo extract-features videos/ --out elo/features"


@with_common
def command(
    common: Common,
    source: Annotated[
        Path | None,
        typer.Argument(metavar="SOURCE", help="Videos, a list of them, or shards; those of elo preprocess if not given."),
    ] = None,
    encoder: Encoder = None,
    out: Out = None,
) -> None:
    """Take a feature vector from each video.

    The encoder is the one that elo pretrain wrote, unless --encoder names another.
    """
    run_workflow("extract", common, source=source, encoder=encoder, out=out)
