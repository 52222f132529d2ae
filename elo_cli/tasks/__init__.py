"""Shelf of self-supervised tasks (section 3.3): the file name is the task's name in a term.

Each file has two functions:
    `terms(modalities, sites) -> list[Term]`   the terms that the task offers on these modalities;
    `build(term, parts) -> TermLoss`           the module of one term.
To add a task, add a file; other packages add theirs through the entry-point group `elo_cli.tasks`.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Protocol

from elo_cli.core.errors import UsageError
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.shelf import Shelf
from elo_cli.core.weights import Term
from elo_cli.nets.term import Parts, TermLoss

SHELF = Shelf("elo_cli.tasks", "task")


class Task(Protocol):
    """What a file of this shelf offers."""

    def terms(self, modalities: Sequence[str], sites: Sequence[int]) -> list[Term]: ...

    def build(self, term: Term, parts: Parts) -> TermLoss: ...


def all_terms(settings: ObjectiveSettings) -> tuple[Term, ...]:
    """List the terms that exist under these settings, in the fixed order of every search vector.

    Raises:
        UsageError: a pattern of `objective.terms` fits no term.
    """
    modalities = [name for name in ("rgb", "grey", "flow", "audio") if name in settings.modalities]
    offered = [term for name in SHELF.names() for term in SHELF.take(name).terms(modalities, settings.distill_sites)]
    for pattern in settings.terms:
        if not any(fnmatchcase(str(term), pattern) for term in offered):
            raise UsageError(
                f"objective.terms: no term fits '{pattern}'.", hint="Terms are: " + ", ".join(str(term) for term in offered)
            )
    return tuple(term for term in offered if any(fnmatchcase(str(term), pattern) for pattern in settings.terms))


def build_term(term: Term, parts: Parts) -> TermLoss:
    """Build the module of one term."""
    module: TermLoss = SHELF.take(term.task).build(term, parts)
    return module
