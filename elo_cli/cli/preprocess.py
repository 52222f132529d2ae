"""`elo preprocess`: videos become shards."""

from pathlib import Path
from typing import Annotated

import typer

from elo_cli.cli.options import Common, Engine, Out, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo preprocess ~/videos --preset small"


@with_common
def command(
    common: Common,
    videos: Annotated[
        Path | None, typer.Argument(metavar="VIDEOS", help="A folder of videos, or a list of them (.csv, .jsonl or .txt).")
    ] = None,
    out: Out = None,
    root: Annotated[
        Path | None, typer.Option("--root", metavar="DIR", help="Where the paths of a list begin; else its own folder.")
    ] = None,
    on_error: Annotated[
        str | None, typer.Option("--on-error", metavar="skip|stop", help="What a video that cannot be used does to the run.")
    ] = None,
    max_failures: Annotated[
        int | None, typer.Option("--max-failures", metavar="N", help="Stop when more videos than this cannot be used.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try the videos that failed before once more.")] = False,
    part: Annotated[
        str | None, typer.Option("--part", metavar="I/N", help="Do the I-th of N parts; the others write into the same folder.")
    ] = None,
    engine: Engine = None,
    verify: Annotated[bool, typer.Option("--verify", help="Check a set that is there, and name what is damaged.")] = False,
) -> None:
    """Turn videos into shards that training reads.

    A shard holds frames, optical flow and the spectrogram of the sound. A video that cannot be used
    is left out and recorded with the reason. The same command goes on after any stop.
    """
    shorthands = {"preprocess.on_error": on_error, "preprocess.max_failures": max_failures, "preprocess.engine": engine}
    places = {"source": videos, "out": out, "root": root, "part": part, "retry": retry_failed, "check": verify}
    run_workflow("preprocess", common, shorthands, **places)
