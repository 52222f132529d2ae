"""Shelf of self-supervised tasks (section 3.3): the file name is the task's name in a term.

Each file has two functions:
    `terms(modalities, sites) -> list[Term]`   the terms that the task offers on these modalities;
    `build(term, parts) -> TermLoss`           the module of one term.
Of the modality `motion`, edges of flow at a pace of their own, only a file is told that says `SEES_MOTION = True`: it is no
modality of the paper, and nothing can be decoded into it or is reversed with it.
To add a task, add a file; other packages add theirs through the entry-point group `elo_cli.tasks`.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Protocol

from elo_cli.core.clip import MODALITIES
from elo_cli.core.errors import EloError, UsageError
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
        UsageError: a pattern of `objective.terms` fits no term, or a task of another package offers impossible ones.
    """
    modalities = [name for name in MODALITIES if name in settings.modalities]
    offered = [term for name in SHELF.names() for term in _offered(name, modalities, settings.distill_sites)]
    for pattern in settings.terms:
        if not any(fnmatchcase(str(term), pattern) for term in offered):
            raise UsageError(
                f"objective.terms: no term fits '{pattern}'.", hint="Terms are: " + ", ".join(str(term) for term in offered)
            )
    return tuple(term for term in offered if any(fnmatchcase(str(term), pattern) for pattern in settings.terms))


def _offered(name: str, modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Return the terms of one task, which a stranger may have written.

    Raises:
        UsageError: it offers none, or some that could not be searched for, trained or written into a loss.
    """
    listed: list[Term] = []
    try:
        task = SHELF.take(name)
        told = modalities if getattr(task, "SEES_MOTION", False) else [each for each in modalities if each != "motion"]
        listed += [*task.terms(told, sites)]
        wrong = [_fault(term, name, modalities) for term in listed]
    except EloError:
        raise
    except Exception as error:  # whatever a stranger's code raises
        wrong = [f"its terms cannot be listed: {type(error).__name__}: {error}"]
    if len(set(listed)) < len(listed):
        wrong.append("it offers a term twice")
    for fault in filter(None, wrong):
        raise UsageError(f"The task '{name}' cannot be used: {fault}.", hint="docs/house.md says how to write a task.")
    return listed


def _fault(term: Term, name: str, modalities: Sequence[str]) -> str:
    """Say what is wrong with a term; empty if nothing is."""
    if set(term.modalities) - set(modalities):
        return f"{term} reads what is not among {', '.join(modalities)}"
    if term.task != name.replace("-", "_"):
        return f"the task of {term} must be {name.replace('-', '_')}"
    return "" if Term.parse(str(term)) == term else f"{term} is read back as another term"


def build_term(term: Term, parts: Parts) -> TermLoss:
    """Build the module of one term."""
    module: TermLoss = SHELF.take(term.task).build(term, parts)
    return module
