"""Whether a search still proposes what its journal holds, under the version of the library that is installed now.

A strategy may rest on a library, of which another version may propose other losses from the same scores. So a search is
bound to the version that it began with, as it is to its settings.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from elo_cli.core.errors import UsageError
from elo_cli.core.search_settings import SearchSettings
from elo_cli.core.strict_yaml import load_yaml
from elo_cli.core.weights import LossWeights, Term
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.strategies import SHELF as STRATEGIES
from elo_cli.workflows.course import Course, Measurement, Row
from elo_cli.workflows.events import Watch

STORED = "strategy_library"  # among the settings of the run


def library_of(strategy: str) -> dict[str, str]:
    """Return the distribution that a strategy says it rests on (`LIBRARY` of its module), with its version; empty without one."""
    name = getattr(STRATEGIES.take(strategy), "LIBRARY", None)
    return {} if name is None else {name: version(name)}


def check_library(
    root: Path, given: SearchSettings, make_course: Callable[[], Course], terms: Sequence[Term], watch: Watch
) -> None:
    """Refuse to go on with a search under another version of its strategy's library.

    Where `accept_version` is set it goes on, if the version proposes all recorded losses to the bit.

    Args:
        root: the directory of the search; it need not exist.
        given: the settings of the search.
        make_course: makes a fresh course of it, to be used up.
        terms: coordinates of the search.
        watch: is warned of a version that is accepted.

    Raises:
        UsageError: the version is another one, and is not accepted or proposes other losses.
    """
    run = RunDirectory(root)
    if not run.settings.exists():
        return
    stored = load_yaml(run.settings, "the settings of the run,")
    if stored.get("search", {}).get("strategy") != given.strategy:
        return  # it is refused for that
    for name, now in library_of(given.strategy).items():
        before = stored.get(STORED, {}).get(name)
        if before == now:
            continue
        was = f"{name} {before}" if before else f"an unknown version of {name}"
        back = (
            f"Install it again (pip install {name}=={before})" if before else f"Install the version of {name} that it began with"
        )
        if not given.accept_version:
            raise UsageError(
                f"The search in {root} began under {was}; installed is {now}, which may propose other losses.",
                hint=f"{back}; or go on with --accept-version, which checks that {now} proposes the recorded ones; or begin"
                " another search beside it with --fresh.",
            )
        rows = Journal(run.evaluations).read()
        other = first_difference(make_course(), rows, terms)
        if other is not None:
            raise UsageError(
                f"The search in {root} began under {was}; {name} {now} cannot go on with it: of candidate {other} it proposes"
                f" other weights than {run.evaluations} holds.",
                hint=f"{back}; or begin another search beside it with --fresh.",
            )
        known = len({row["number"] for row in rows})
        watch.warn(f"The search began under {was} and goes on under {now}, which proposes the {known} recorded candidates alike.")


def first_difference(course: Course, rows: Sequence[Row], terms: Sequence[Term]) -> int | None:
    """Return the number of the first candidate whose recorded weights are not those that the course proposes; None for none.

    Args:
        course: fresh; it is walked along the recorded rows as far as they go.
        rows: of the journal.
        terms: coordinates of the search.
    """
    recorded = {Measurement.of(row): row for row in rows}
    while (what := course.next()) is not None:
        row = recorded.pop(what, None)
        if row is None:
            continue  # it was under way
        if row["weights"] != LossWeights.from_vector(terms, course.points[what.number]).to_names():
            return what.number
        course.put(what, row)
    return min((what.number for what in recorded), default=None)  # rows that the course never comes to
