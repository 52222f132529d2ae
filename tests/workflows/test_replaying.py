"""A search under another version of the library that proposes its losses: refused, or checked and gone on with."""

from pathlib import Path
from typing import Any

import pytest

from elo_cli.core.errors import UsageError
from elo_cli.core.search_settings import SearchSettings
from elo_cli.core.strict_yaml import dump_yaml
from elo_cli.core.weights import LossWeights, Term
from elo_cli.run.journal import Journal
from elo_cli.strategies import SHELF
from elo_cli.workflows import replaying
from elo_cli.workflows.course import Course, Row
from elo_cli.workflows.events import Unwatched
from elo_cli.workflows.replaying import check_library, first_difference, library_of
from elo_cli.workflows.rungs import Rungs
from tests.support.searching import PROPOSING

TERMS = tuple(Term.parse(name) for name in ("rgb.reverse", "rgb.shuffle", "rgb-audio.align"))
SETTINGS = SearchSettings()
ACCEPTING = SearchSettings(accept_version=True)


class Watcher(Unwatched):
    """Keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        """Keep it."""
        self.warnings.append(message)


def make_course(name: str = "cma-es", seed: int = 5) -> Course:
    return Course(SHELF.take(name).Strategy(3, seed=seed, population=4), 12, Rungs((1, 3), 3), finalists=1, repeats=1)


def journal_of(course: Course, length: int) -> list[Row]:
    """The first rows of a search whose scores are the first weight."""
    rows: list[Row] = []
    while len(rows) < length and (what := course.next()) is not None:
        weights = LossWeights.from_vector(TERMS, course.points[what.number]).to_names()
        rows += course.put(what, {**vars(what), "score": weights["rgb.reverse"], "weights": weights})
    return rows[:length]


def stored(root: Path, library: dict[str, str], rows: list[Row], **search: Any) -> Path:
    root.mkdir()
    content = {"search": {**SETTINGS.model_dump(mode="json"), **search}, "strategy_library": library}
    (root / "settings.yaml").write_text(dump_yaml(content))
    Journal(root / "evaluations.jsonl").extend(rows)
    return root


def test_a_strategy_names_its_library() -> None:
    assert library_of("random") == {}
    assert list(library_of("cma-es")) == ["cma"]


@pytest.mark.parametrize("name", PROPOSING)
@pytest.mark.parametrize("length", [0, 3, 7, 19])
def test_what_a_course_proposed_it_proposes_again(name: str, length: int) -> None:
    rows = journal_of(make_course(name), length)
    assert len(rows) == length
    assert first_difference(make_course(name), rows, TERMS) is None


def test_what_it_did_not_propose_is_found() -> None:
    rows = journal_of(make_course(), 12)
    rows[7] = {**rows[7], "weights": {**rows[7]["weights"], "rgb.shuffle": 0.123}}
    assert first_difference(make_course(), rows, TERMS) == rows[7]["number"]
    assert first_difference(make_course(), [*rows[:7], {**rows[8], "number": 900}], TERMS) == 900
    assert first_difference(make_course(seed=6), rows[:1], TERMS) == 0


def test_another_version_is_refused_by_both_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = stored(tmp_path / "run", library_of("cma-es"), [])
    check_library(root, SETTINGS, make_course, TERMS, Unwatched())
    monkeypatch.setattr(replaying, "version", lambda name: "9.9")
    was = library_of("cma-es")
    assert was == {"cma": "9.9"}
    with pytest.raises(UsageError, match=r"began under cma [0-9.]+; installed is 9\.9") as raised:
        check_library(root, SETTINGS, make_course, TERMS, Unwatched())
    assert "pip install cma==" in raised.value.hint and "--accept-version" in raised.value.hint
    older = stored(tmp_path / "older", {}, [])
    with pytest.raises(UsageError, match=r"an unknown version of cma; installed is 9\.9"):
        check_library(older, SETTINGS, make_course, TERMS, Unwatched())


def test_one_that_is_accepted_must_propose_alike(tmp_path: Path) -> None:
    watcher, rows = Watcher(), journal_of(make_course(), 10)
    root = stored(tmp_path / "run", {"cma": "0.1"}, rows)
    check_library(root, ACCEPTING, make_course, TERMS, watcher)
    [warning] = watcher.warnings
    assert "began under cma 0.1" in warning and "the 8 recorded candidates alike" in warning
    with pytest.raises(UsageError, match=r"cannot go on with it: of candidate 0 it proposes other weights") as raised:
        check_library(root, ACCEPTING, lambda: make_course(seed=6), TERMS, watcher)
    assert "pip install cma==0.1" in raised.value.hint and "--accept-version" not in raised.value.hint


def test_nothing_is_asked_of_a_new_search_or_another_strategy(tmp_path: Path) -> None:
    check_library(tmp_path / "none", SETTINGS, make_course, TERMS, Unwatched())
    check_library(stored(tmp_path / "run", {}, [], strategy="grid"), SETTINGS, make_course, TERMS, Unwatched())
    check_library(
        stored(tmp_path / "other", {}, [], strategy="random"), SearchSettings(strategy="random"), make_course, TERMS, Unwatched()
    )
