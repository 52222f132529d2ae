"""`elo losses`: which terms there are, with what each reads and costs."""

from typing import Any

from elo_cli.core.clip import Source, View
from elo_cli.core.settings import Settings
from elo_cli.core.weights import Term
from elo_cli.data.loader import source_shapes
from elo_cli.data.video_set import StoredRates
from elo_cli.engine.cost import TermCost, term_costs
from elo_cli.tasks import all_terms
from elo_cli.workflows.events import Outcome, Table, Watch

_VIDEOS = 1000  # what the banks of pseudo-labels are sized for: the cost of aggregate grows with them, which the note says


def plan(*, settings: Settings) -> Outcome:
    """Say which terms `run` would look at; writes nothing, as `run` does not either."""
    names = [str(term) for term in all_terms(settings.objective)]
    return Outcome({"terms": names}, (Table("Terms", ("term",), [(name,) for name in names]),))


def run(*, settings: Settings, watch: Watch) -> Outcome:
    """List the terms that exist under these settings, and what each would cost in `elo pretrain`.

    Args:
        settings: objective, encoders and clips of the pretraining.
        watch: is asked whether to stop.
    """
    watch.check()
    given, stored = settings.pretrain, settings.preprocess
    shapes = source_shapes(given.clip, StoredRates(stored.fps, stored.hop_seconds, stored.mels))
    costs = term_costs(all_terms(settings.objective), settings.objective, given.encoder, shapes, _VIDEOS)
    rows = [_row(term, cost) for term, cost in costs.items()]
    views = {view for cost in costs.values() for view in cost.views}
    note = (
        f"GFLOP: forward, one clip of {given.clip.frames}×{given.clip.size}². Terms share passes: all {len(costs)} together need"
        f" {len(views)} of them, each once. aggregate: for {_VIDEOS} videos; it grows with their number."
    )
    columns = ("term", "encoders see", "also reads", "passes' GFLOP", "own GFLOP", "own parameters")
    result = {"terms": {str(term): _told(cost) for term, cost in costs.items()}, "passes": len(views)}
    return Outcome(result, (Table("Terms", columns, rows, note=note),))


def _row(term: Term, cost: TermCost) -> tuple[str, ...]:
    return (
        str(term),
        ", ".join(_view(view) for view in cost.views),
        ", ".join(_source(source) for source in cost.targets if source not in {view.source for view in cost.views}) or "-",
        f"{cost.encoder_flop / 1e9:.2f}",
        f"{cost.own_flop / 1e9:.3f}",
        f"{cost.parameters:,}",
    )


def _view(view: View) -> str:
    return view.modality if view.form == "clean" else f"{view.form} {view.modality}"


def _source(source: Source) -> str:
    return source.modality if source.window == "clip" else f"{source.window} {source.modality}"


def _told(cost: TermCost) -> dict[str, Any]:
    return {
        "views": [_view(view) for view in cost.views],
        "targets": [_source(source) for source in cost.targets],
        "encoder_flop": cost.encoder_flop,
        "own_flop": cost.own_flop,
        "parameters": cost.parameters,
    }
