"""Workers that crash, hang, or raise, beside others that just work."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from elo_cli.core.errors import Stopped, StorageError
from elo_cli.executors.local import LocalPool, Lost

Report = Callable[[str], None]
KILLED = -signal.SIGKILL


def work(job: tuple[str, ...], report: Report) -> tuple[str, int]:
    """Do a job of items; some of their names are deadly. Runs in a worker."""
    for item in job:
        report(item)
        if item.startswith("abort"):
            os.abort()
        if item.startswith("segfault"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if item.startswith("leave"):
            os._exit(0)
        if item.startswith("hang"):
            time.sleep(600)
        if item.startswith("slow"):
            time.sleep(0.4)
        if item.startswith("storage"):
            raise StorageError("no room for it.", hint="make room")
    return "+".join(job), os.getpid()


def at_once(job: tuple[str, ...], report: Report) -> str:
    """Die before the first item. Runs in a worker."""
    if job == ("dead",):
        os.abort()
    return job[0]


def heed_no_signal(job: tuple[str, ...], report: Report) -> str:
    """Hang, deaf to polite signals. Runs in a worker."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    report(job[0])
    time.sleep(600)
    return "never"


@pytest.fixture(autouse=True)
def no_worker_stays() -> Iterator[None]:
    """Whatever happened, no process is left."""
    yield
    assert multiprocessing.active_children() == []


def run(jobs: list[tuple[str, ...]], workers: int, seconds: float = 30.0) -> tuple[list[tuple[str, int]], list[Lost]]:
    """Do jobs; give the results and the losses, in the order in which they came."""
    pool: LocalPool[tuple[str, ...], tuple[str, int]] = LocalPool(work, workers, seconds)
    for job in jobs:
        pool.submit(job)
    outcomes = list(pool.results(lambda: None))
    return [one for one in outcomes if not isinstance(one, Lost)], [one for one in outcomes if isinstance(one, Lost)]


@pytest.mark.parametrize("workers", [1, 2])
def test_results_do_not_depend_on_the_workers(workers: int) -> None:
    jobs = [(f"a{number}", f"b{number}") for number in range(7)]
    results, lost = run(jobs, workers)
    assert sorted(name for name, _ in results) == [f"a{number}+b{number}" for number in range(7)]
    assert not lost
    assert len({pid for _, pid in results}) <= workers  # a worker does many jobs
    assert os.getpid() not in {pid for _, pid in results}


@pytest.mark.parametrize(("deadly", "code"), [("abort", -signal.SIGABRT), ("segfault", -signal.SIGSEGV), ("leave", 0)])
def test_a_crash_costs_its_own_job_only(deadly: str, code: int) -> None:
    results, [lost] = run([("a",), ("b", deadly, "c"), ("d",), ("e",)], 1)
    assert [name for name, _ in results] == ["a", "d", "e"]
    assert lost == Lost(("b", deadly, "c"), deadly, "crash", f"its process ended with code {code}")


def test_what_hangs_is_given_up_and_what_is_only_slow_is_not() -> None:
    begun = time.monotonic()
    results, [lost] = run([("slow1", "slow2", "slow3", "slow4", "slow5"), ("x", "hang", "y"), ("z",)], 2, seconds=1.5)
    assert sorted(name for name, _ in results) == ["slow1+slow2+slow3+slow4+slow5", "z"]  # the limit is for an item
    assert lost == Lost(("x", "hang", "y"), "hang", "timeout", "it took longer than 1.5 s")
    assert time.monotonic() - begun < 30


def test_a_hanging_worker_that_heeds_no_signal_is_ended() -> None:
    pool: LocalPool[tuple[str, ...], str] = LocalPool(heed_no_signal, 1, 1.0)
    pool.submit(("deaf",))
    [lost] = pool.results(lambda: None)
    assert isinstance(lost, Lost) and (lost.item, lost.reason) == ("deaf", "timeout")


def test_a_worker_that_dies_before_its_first_item_has_none() -> None:
    pool: LocalPool[tuple[str, ...], str] = LocalPool(at_once, 1, 30.0)
    for job in (("dead",), ("well",)):
        pool.submit(job)
    lost, result = pool.results(lambda: None)
    assert isinstance(lost, Lost) and (lost.job, lost.item, lost.reason) == (("dead",), None, "crash")
    assert result == "well"


def test_a_lost_job_can_be_handed_in_again_without_what_was_deadly() -> None:
    pool: LocalPool[tuple[str, ...], tuple[str, int]] = LocalPool(work, 2, 30.0)
    for job in (("a", "abort", "b", "segfault"), ("c",)):
        pool.submit(job)
    done = []
    for outcome in pool.results(lambda: None):
        if isinstance(outcome, Lost):
            pool.submit(tuple(item for item in outcome.job if item != outcome.item))
        else:
            done.append(outcome[0])
    assert sorted(done) == ["a+b", "c"]


def test_an_error_of_the_function_is_raised_where_the_results_are_read() -> None:
    with pytest.raises(StorageError) as caught:
        run([("a",), ("storage",), ("b",)], 1)
    assert (caught.value.message, caught.value.hint) == ("no room for it.", "make room")


def test_a_stop_ends_the_workers_at_once() -> None:
    pool: LocalPool[tuple[str, ...], tuple[str, int]] = LocalPool(work, 2, 600.0)
    for job in (("hang1",), ("hang2",)):
        pool.submit(job)
    ticks = 0

    def stop() -> None:
        nonlocal ticks
        ticks += 1
        if ticks > 3:
            raise Stopped("asked to")

    begun = time.monotonic()
    with pytest.raises(Stopped):
        list(pool.results(stop))
    assert time.monotonic() - begun < 20
