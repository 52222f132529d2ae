"""`elo losses show`: one loss as a heat map, in words and as a picture."""

from pathlib import Path
from typing import Any

from elo_cli.core.errors import UsageError
from elo_cli.core.settings import Settings
from elo_cli.core.strict_yaml import load_yaml
from elo_cli.core.weights import LossWeights, Term
from elo_cli.figures.heat_map import Grid, grid, heat_map
from elo_cli.figures.pictures import free_target, save_picture
from elo_cli.run.workspace import Workspace
from elo_cli.tasks import SHELF as TASKS
from elo_cli.workflows.events import Outcome, Table, Watch
from elo_cli.workflows.material import naming

_SHADES = " ░▒▓█"  # a fifth of [0, 1] each
_MARK = "elo losses show"


def plan(*, settings: Settings, loss: Path | None, out: Path | None) -> Outcome:
    """Say what `run` would draw; writes nothing."""
    source = _source(settings, loss)
    weights, target = _read(source), out or source.with_suffix(".png")
    return Outcome(
        {"loss": str(source), "terms": len(weights), "out": str(target)},
        (Table("A heat map would show", ("loss", "terms", "into"), ((str(source), str(len(weights)), str(target)),)),),
    )


def run(*, settings: Settings, loss: Path | None, out: Path | None, watch: Watch) -> Outcome:
    """Draw a loss.

    Args:
        settings: they name the workspace.
        loss: a loss file; the best loss of the newest search if not given.
        out: the picture; beside the loss if not given.
        watch: is asked whether to stop.

    Raises:
        UsageError: there is no such file, it is no loss, or `out` is a file of somebody else's.
        StorageError: the picture cannot be written.
    """
    watch.check()
    source = _source(settings, loss)
    weights, target = _read(source), free_target(out or source.with_suffix(".png"), _MARK)
    unknown = sorted({term.task for term in weights} - {name.replace("-", "_") for name in TASKS.names()})
    if unknown:
        watch.warn(f"{source}: there is no task called {', '.join(unknown)}; elo pretrain would not take this loss.")
    shown = grid(weights)
    line = f"{len(weights.active())} of {len(weights)} terms have a weight · {weights.digest()}"
    save_picture(heat_map(shown, str(source), line), target, _MARK)
    result: dict[str, Any] = {"loss": str(source), "weights": weights.to_names(), "digest": weights.digest(), "out": str(target)}
    return Outcome(result, (_table(shown, line),), {"heat map": str(target)})


def _source(settings: Settings, loss: Path | None) -> Path:
    source = loss or Workspace(Path(settings.workspace)).best_loss()
    if not source.is_file():
        raise UsageError(f"There is no loss file {source}.", hint="Give a loss.yaml, as elo evolve writes it.")
    return source


def _read(source: Path) -> LossWeights:
    """Read a loss, whatever terms the settings in force offer."""
    named = load_yaml(source, "the loss")
    if not named:
        raise UsageError(f"{source} names no term.", hint="A loss is a flat mapping, such as rgb.reverse: 0.5")
    with naming(source):
        return LossWeights({Term.parse(str(name)): weight for name, weight in named.items()})


def _table(shown: Grid, line: str) -> Table:
    rows = [(name, *map(_cell, weights)) for name, weights in zip(shown.rows, shown.weights, strict=True)]
    return Table("Weights of the loss", ("", *shown.columns), rows, note=line)


def _cell(weight: float | None) -> str:
    if weight is None:
        return ""
    said = "0" if weight == 0 else f"{weight:.2f}" if weight >= 0.005 else f"{weight:.0e}"
    return f"{said} {_SHADES[min(int(weight * len(_SHADES)), len(_SHADES) - 1)]}"
