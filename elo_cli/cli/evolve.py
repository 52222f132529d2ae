"""`elo evolve`: search for the loss."""

from elo_cli.cli.options import Common, Data, Out, Strategy, with_common
from elo_cli.cli.work import run_workflow

EXAMPLE = "elo evolve --preset small --strategy cma-es"


@with_common
def command(common: Common, strategy: Strategy = None, data: Data = None, out: Out = None) -> None:
    """Search for the loss that learns the best encoder.

    Round by round, a strategy proposes losses; each trains a small encoder, whose features are scored
    without labels; the strategy learns from the scores.
    """
    run_workflow("evolve", common, {"search.strategy": strategy}, data=data, out=out)
