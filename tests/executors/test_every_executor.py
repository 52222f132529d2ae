"""What each executor promises: the same jobs, the same outcomes, and the run goes on."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from elo_cli.core.errors import Stopped, StorageError, UsageError
from elo_cli.executors import SHELF, Executor, Limits, Lost, WorkerError, make_executor
from tests.executors import deeds

GENEROUS = Limits(item_seconds=60.0, memory_bytes=2**29)
Make = Callable[..., Executor[Any, Any]]


@pytest.fixture(params=SHELF.names())
def make(request: pytest.FixtureRequest) -> Make:
    """Give what makes an executor of each kind."""
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return lambda function=deeds.work, workers=2, limits=GENEROUS: make_executor(request.param, function, workers, limits)


def run(executor: Executor[Any, Any], jobs: Iterable[Any]) -> tuple[list[Any], list[Lost[Any]]]:
    """Do jobs; give the results and the losses."""
    outcomes = list(executor.results(lambda: None, jobs))
    return [one for one in outcomes if not isinstance(one, Lost)], [one for one in outcomes if isinstance(one, Lost)]


def test_the_shelf_holds_both() -> None:
    assert SHELF.names() == ("local", "ray")
    with pytest.raises(UsageError, match="no executor called 'rey'"):
        make_executor("rey", deeds.work, 1, GENEROUS)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_do_not_depend_on_the_workers(make: Make, workers: int) -> None:
    jobs = [(f"a{number}", f"b{number}") for number in range(9)]
    results, lost = run(make(workers=workers), jobs)
    assert sorted(name for name, _ in results) == [f"a{number}+b{number}" for number in range(9)]
    assert not lost
    assert len({pid for _, pid in results}) <= workers  # a process does many jobs


def test_no_job_is_no_work(make: Make) -> None:
    assert run(make(), []) == ([], [])


def test_what_is_deadly_costs_its_own_job_only(make: Make) -> None:
    deadly: dict[str, tuple[Any, str]] = {
        "abort": ("crash", "its process was ended by SIGABRT"),
        "segfault": ("crash", "its process was ended by SIGSEGV"),
        "leave": ("crash", "its process ended with code 3"),
        "hang": ("timeout", "it took longer than 2 s"),
        "bomb": (
            "out-of-memory",
            "it needs more memory than there is (a worker may allocate 0.5 GiB): Python could allocate no more",
        ),
    }
    jobs = [job for number, name in enumerate(deadly) for job in ((f"a{number}",), ("b", name, "c"))]
    results, lost = run(make(limits=Limits(2.0, 2**29)), [*jobs, ("last",)])
    assert sorted(name for name, _ in results) == ["a0", "a1", "a2", "a3", "a4", "last"]
    told = {loss.item: loss for loss in lost}
    assert told == {
        name: Lost(("b", name, "c"), name, "decode", reason, story) for name, (reason, story) in deadly.items()
    }  # fmt: skip


def test_a_worker_lost_before_its_first_item_has_none(make: Make) -> None:
    results, lost = run(make(deeds.before_the_first, limits=Limits(1.0)), ["dead", "well", "hung"])
    assert results == ["well"]
    assert {(loss.job, loss.item, loss.stage, loss.reason) for loss in lost} == {
        ("dead", None, None, "crash"), ("hung", None, None, "timeout")
    }  # fmt: skip


def test_a_lost_job_can_be_handed_in_again_without_what_was_deadly(make: Make) -> None:
    executor = make()
    executor.submit(("a", "abort", "b", "segfault"))
    done = []
    for outcome in executor.results(lambda: None, [("c",)]):
        if isinstance(outcome, Lost):
            executor.submit(tuple(item for item in outcome.job if item != outcome.item))
        else:
            done.append(outcome[0])
    assert sorted(done) == ["a+b", "c"]


def test_an_error_of_the_function_is_raised_where_the_results_are_read(make: Make) -> None:
    with pytest.raises(StorageError) as caught:
        run(make(), [("a",), ("storage",), ("b",)])
    assert (caught.value.message, caught.value.hint) == ("no room for it.", "make room")
    assert "in _suffer" in caught.value.__notes__[0]  # where it was raised


@pytest.mark.parametrize(
    ("job", "kind", "text"),
    [("unsendable", "Unsendable", "a fault in a file"), ("holding", "HoldingOn", "with both hands")],
)
def test_an_error_that_cannot_be_sent_is_told_in_words(make: Make, job: str, kind: str, text: str) -> None:
    with pytest.raises(WorkerError) as caught:
        run(make(workers=1), [("a",), (job,)])
    assert (caught.value.kind, caught.value.text) == (kind, text)
    assert f"{kind}: {text}" in str(caught.value) and "in _suffer" in str(caught.value)


def test_a_result_that_cannot_be_sent_is_told_in_words(make: Make) -> None:
    with pytest.raises((WorkerError, TypeError), match="this stays where it is"):
        run(make(deeds.return_what_cannot_be_sent, workers=1), ["a"])


def test_jobs_are_taken_one_by_one_as_workers_are_free(make: Make) -> None:
    taken = 0

    def endless() -> Iterator[tuple[str, ...]]:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield (f"a{number}",)

    with contextlib.closing(make().results(lambda: None, endless())) as results:  # type: ignore[type-var]
        for done in range(1, 31):
            next(results)
            assert taken - done <= 2 * 2  # at work, and done but not read or waiting for a worker on its way


def test_a_stop_ends_the_workers_at_once(make: Make) -> None:
    ticks = 0

    def stop() -> None:
        nonlocal ticks
        ticks += 1
        if ticks > 3:
            raise Stopped("asked to")

    begun = time.monotonic()
    with pytest.raises(Stopped):
        list(make().results(stop, [("hang1",), ("hang2",)]))
    assert time.monotonic() - begun < 20
