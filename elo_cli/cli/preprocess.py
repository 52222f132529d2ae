"""`elo preprocess`: videos become shards."""

from pathlib import Path
from typing import Annotated

import typer

from elo_cli.cli.options import Common, Out, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo preprocess ~/videos --preset small"


@with_common
def command(
    common: Common,
    videos: Annotated[Path, typer.Argument(metavar="VIDEOS", help="A folder of videos, or a list of them (.csv or .jsonl).")],
    out: Out = None,
) -> None:
    """Turn videos into shards that training reads.

    A shard holds frames, optical flow and the spectrogram of the sound. A video that cannot be used
    is left out and recorded with the reason.
    """
    run_workflow("preprocess", common, source=videos, out=out)
