"""`elo benchmark`: score the representation."""

from pathlib import Path
from typing import Annotated

import typer

from elo_cli.cli.launching import together
from elo_cli.cli.options import Common, Gpus, Out, Processes, complete_dataset, complete_protocol, with_common
from elo_cli.cli.work import run_workflow
from elo_cli.core.errors import UsageError

EXAMPLE = "elo benchmark hmdb51 --root datasets/hmdb51"

_Encoders = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder", metavar="[NAME=]FILE", help="An encoder of elo or torchvision; many times. Else that of elo pretrain."
    ),
]
_Protocols = Annotated[
    list[str] | None,
    typer.Option(
        "--protocol", metavar="NAME", autocompletion=complete_protocol, help="How to score; many times. Else kmeans, linear."
    ),
]


@with_common
def command(
    common: Common,
    dataset: Annotated[
        str | None,
        typer.Argument(metavar="DATASET", autocompletion=complete_dataset, help="A labelled data set, such as hmdb51 or folder."),
    ] = None,
    root: Annotated[Path | None, typer.Option("--root", metavar="DIR", help="Where it is; else under ELO_DATA.")] = None,
    encoder: _Encoders = None,
    features: Annotated[
        list[str] | None,
        typer.Option("--features", metavar="[NAME=]FILE", help="Features taken elsewhere; many times."),
    ] = None,
    protocol: _Protocols = None,
    row: Annotated[
        list[str] | None,
        typer.Option("--row", metavar="NAME", help="Train and score a row of the paper's Table 1, such as predict or random."),
    ] = None,
    table: Annotated[
        int | None,
        typer.Option("--table", metavar="N", min=1, max=4, help="Show a table of the paper, and what was measured."),
    ] = None,
    repeat: Annotated[
        Path | None, typer.Option("--repeat", metavar="FILE", help="Do again what a result.json says, and compare.")
    ] = None,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Go on where videos of the official lists are missing.")
    ] = False,
    out: Out = None,
    gpus: Gpus = None,
    processes: Processes = None,
) -> None:
    """Score encoders on a labelled data set.

    Beside them stand an untrained encoder and trivial features, unless benchmark.baselines is false.
    """
    if repeat is None and dataset is None:
        raise UsageError("No data set is named.", hint="elo benchmark hmdb51 --root DIR, or folder for one of your own.")
    if not (common.dry_run or common.print_settings) and together(common, gpus, processes):
        return
    if repeat is not None:
        typed = common.invocation.types("--set", "--seed", "--preset", "--config")
        if dataset or encoder or features or protocol or row or table or allow_incomplete or typed:
            raise UsageError(
                "--repeat takes everything from the result.", hint="Beside it give --root, --out, --fresh or --json alone."
            )
        run_workflow("repetition", common, repeat=repeat, root=root, out=out)
        return
    shorthands = {
        "benchmark.allow_incomplete": True if allow_incomplete else None,
        "benchmark.protocols": protocol or None,
        "benchmark.rows": row or None,
    }
    places = {"root": root, "encoders": encoder or (), "features": features or (), "table": table, "out": out}
    run_workflow("benchmark", common, shorthands, dataset=dataset, **places)
