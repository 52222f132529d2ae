"""`elo dataset`: look into a preprocessed set: what it holds, whether it is whole, what it looks like."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from elo_cli.cli.group import QuickGroup
from elo_cli.cli.options import Common, with_common
from elo_cli.cli.terminal import say
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo dataset info"

Folder = Annotated[
    Path | None,
    typer.Argument(metavar="DIR", envvar="ELO_SHARDS", help="The set, as elo preprocess wrote it; the newest one if not given."),
]


def overview(context: typer.Context) -> None:
    """Look into a preprocessed set."""
    if context.invoked_subcommand is None:
        text = context.get_help()  # empty where Rich has printed it
        if text:
            say(text)
        raise typer.Exit(2)


@functools.partial(with_common, without=("seed", "resume"))
def info(common: Common, data: Folder = None) -> None:
    """Say what a set holds.

    Counts, bytes, sizes, labels with the Zipf exponent that fits them, sound, flow, failures.
    """
    run_workflow("dataset_info", common, data=data)


@functools.partial(with_common, without=("seed", "resume"))
def verify(common: Common, data: Folder = None) -> None:
    """Check a set, and name what is damaged.

    Every byte is compared with its checksum. Leaves with 0 if the set is whole, with 3 if anything is
    damaged. A set that is not finished is not damaged; it is said.
    """
    run_workflow("dataset_verify", common, data=data)


@functools.partial(with_common, without=("resume",))
def sample(
    common: Common,
    data: Folder = None,
    clips: Annotated[int, typer.Option("--clips", metavar="N", min=1, max=24, help="How many clips, 1 to 24.")] = 8,
    motion: Annotated[
        bool, typer.Option("--motion", help="Draw the edges of the flow too: what MoDist's motion pathway sees.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.png", help="The picture; contact-sheet.png in the set if not given."),
    ] = None,
) -> None:
    """Draw random clips: frames, flow in colour, spectrogram.

    One PNG file. Another --seed draws other clips.
    """
    run_workflow("dataset_sample", common, data=data, clips=clips, motion=motion, out=out)


def build() -> typer.Typer:
    """Return the commands as one group."""
    example = f"Example: {EXAMPLE}"
    group = typer.Typer(name="dataset", cls=QuickGroup, invoke_without_command=True, callback=overview, epilog=example)
    group.command("info", epilog=example)(info)
    group.command("verify", epilog="Example: elo dataset verify elo/dataset")(verify)
    group.command("sample", epilog="Example: elo dataset sample --clips 12 --seed 3")(sample)
    return group
