"""The loss that a training uses: the best of a search, a file, all terms alike, some terms alone, or weights drawn at random."""

import contextlib
import fnmatch
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elo_cli.core.errors import EloError, UsageError
from elo_cli.core.methods import METHODS, MethodName
from elo_cli.core.seeds import numpy_generator
from elo_cli.core.settings import ObjectiveSettings, Settings
from elo_cli.core.shelf import suggest
from elo_cli.core.strict_yaml import load_yaml
from elo_cli.core.weights import LossWeights, Term
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.material import read_loss

_RANDOM = re.compile(r"random(?::(?P<number>[0-9]{1,9}))?")


@dataclass(frozen=True)
class ChosenLoss:
    """A loss, and where it came from.

    Attributes:
        weights: λ of each term.
        origin: what goes into the card of the encoder: `method`, of the loss that a method has; `search`, with `strategy`,
            `measure` and `evaluations`, of one that a search found; `random`, the number of one that was drawn; else empty.
    """

    weights: LossWeights
    origin: dict[str, Any] = field(default_factory=dict)


def choose_loss(settings: Settings, loss: str | None, terms: tuple[Term, ...]) -> ChosenLoss:
    """Choose the loss to train with.

    Args:
        settings: where the workspace is, and the seed of what is drawn.
        loss: a file; `uniform`, weight 1 for every term; `random` or `random:N`, the N-th of the losses whose weights are drawn
            uniformly from [0, 1], N from 0; a pattern of terms, such as `rgb.shuffle` or `*.embed`: weight 1 for these and 0
            for the others; or None for that of the method, which for `elo` is the best loss of the newest search.
        terms: those that the preprocessed set can serve.

    Raises:
        DataError: there is no search, and none is named.
        UsageError: there is no such loss, or it does not fit the terms.
    """
    if loss is None and settings.method != "elo":
        return ChosenLoss(_of_method(settings.method, terms), {"method": settings.method})
    if loss == "uniform":
        return ChosenLoss(LossWeights.uniform(terms))
    drawn = None if loss is None else _RANDOM.fullmatch(loss)
    if drawn is not None:
        number = int(drawn["number"] or 0)
        generator = numpy_generator(settings.seed, "random-loss", number)
        return ChosenLoss(LossWeights.from_vector(terms, generator.random(len(terms)).tolist()), {"random": number})
    if loss is not None and not Path(loss).exists() and "/" not in loss and not loss.endswith((".yaml", ".yml")):
        return ChosenLoss(_alone(loss, terms))
    path = Path(loss) if loss is not None else Workspace(Path(settings.workspace)).best_loss()
    search = search_of(path)
    return ChosenLoss(read_loss(path, terms), {} if search is None else {"search": search})


def offered(settings: Settings, loss: str | None) -> ObjectiveSettings:
    """Return the form of the losses with the terms that a training chooses from.

    A method has terms of its own, whatever `objective` says of those that a search weighs; a loss that is named has the latter.
    """
    own = METHODS[settings.method].settings.get("objective") if loss is None else None
    return ObjectiveSettings.model_validate(settings.objective.model_dump() | own) if own else settings.objective


def _of_method(method: MethodName, terms: tuple[Term, ...]) -> LossWeights:
    """Weigh the terms of a method 1, and the others 0."""
    wanted, known = METHODS[method].terms, {str(term) for term in terms}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise UsageError(
            f"The method {method} needs {', '.join(missing)}, for which the preprocessed set has no flow.",
            hint="Preprocess with a preprocess.flow that is not none; or --method contrastive, which needs RGB alone.",
        )
    return LossWeights({term: float(str(term) in wanted) for term in terms})


def _alone(pattern: str, terms: tuple[Term, ...]) -> LossWeights:
    """Weigh the terms of a pattern 1, and the others 0."""
    chosen = {term for term in terms if fnmatch.fnmatchcase(str(term), pattern)}
    if not chosen:
        names = ("uniform", "random", *(str(term) for term in terms))
        raise UsageError(f"'{pattern}' is no loss file, and no term is called so.", hint=suggest(pattern, names))
    return LossWeights({term: float(term in chosen) for term in terms})


def search_of(path: Path) -> dict[str, Any] | None:
    """Say which search found a loss: `strategy`, `measure`, `evaluations`; None where its file is not that of a search."""
    run = RunDirectory(path.absolute().parent)
    if path.absolute() != run.best_loss or not run.leaderboard_json.exists():
        return None
    with contextlib.suppress(EloError, OSError, KeyError, TypeError):  # of another version: then it is a loss like any other
        stored = load_yaml(run.settings, "the settings of the search,")
        evaluations = len(Journal(run.evaluations).read())
        return {"strategy": stored["search"]["strategy"], "measure": stored["fitness"]["measure"], "evaluations": evaluations}
    return None
