"""Processes of this machine: their limits, what they leave behind, and how they end."""

import contextlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from elo_cli.core.errors import MachineError
from elo_cli.executors import Limits, Lost, WorkerError
from elo_cli.executors.local import LocalPool
from tests.executors import deeds, module_that_fails, module_that_hangs
from tests.support.descriptors import open_now

GENEROUS = Limits(item_seconds=60.0)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_worker_stays() -> Iterator[None]:
    """Whatever happened, no process is left."""
    yield
    assert multiprocessing.active_children() == []


def do(function: Any, jobs: list[Any], limits: Limits = GENEROUS, workers: int = 1) -> list[Any]:
    """Do jobs; give all outcomes."""
    return list(LocalPool(function, workers, limits).results(lambda: None, jobs))


def exists(process: int) -> bool:
    """Say whether a process is there and alive."""
    with contextlib.suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    return False


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def test_the_limit_is_for_an_item_and_not_for_a_job() -> None:
    job = ("slow1", "slow2", "slow3", "slow4")
    [(done, _)] = do(deeds.work, [job], Limits(item_seconds=1.2))
    assert done == "+".join(job)


def test_a_new_stage_does_not_set_the_clock_back() -> None:
    assert do(deeds.rest_between_stages, [3], Limits(item_seconds=2.0)) == [3]
    [lost] = do(deeds.rest_between_stages, [100], Limits(item_seconds=1.0))
    assert (lost.item, lost.reason) == ("one item", "timeout")
    assert lost.stage in {"stage 2", "stage 3", "stage 4"}  # the one it was in when time was up


def test_a_worker_that_heeds_no_signal_is_ended() -> None:
    [lost] = do(deeds.heed_no_signal, [("deaf",)], Limits(item_seconds=1.0))
    assert (lost.item, lost.reason) == ("deaf", "timeout")


def test_a_process_that_never_starts_is_given_up() -> None:
    [lost] = do(module_that_hangs.work, ["a"], Limits(item_seconds=600.0, start_seconds=1.0))
    assert lost == Lost("a", None, None, "timeout", "it took longer than 1 s to start")


def test_a_module_that_cannot_be_imported_is_told_at_once() -> None:
    with pytest.raises(ImportError, match=r"libGL\.so\.1: cannot open shared object file"):
        do(module_that_fails.work, ["a"])


def test_time_in_which_this_process_itself_slept_does_not_count() -> None:
    pool: LocalPool[int, int] = LocalPool(deeds.rest_between_stages, 1, Limits(item_seconds=2.0))
    slept = False

    def sleep_once() -> None:
        nonlocal slept
        if not slept and any(item for _, item, _ in pool.at_work()):
            time.sleep(2.5)  # Ctrl-Z; a worker of the same group would be stopped with it, this one goes on
            slept = True

    assert list(pool.results(sleep_once, [10])) == [10]
    assert slept


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_memory_of_native_code_is_bounded_too() -> None:
    allowed = Limits(item_seconds=60.0, memory_bytes=2**28)
    assert do(deeds.allocate, [2**27, 2**27, 2**29, 2**27], allowed) == [True, True, False, True]
    assert do(deeds.allocate, [2**29]) == [True]  # without a bound


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("numpy", "Unable to allocate 1.00 TiB"),
        ("opencv", "Insufficient memory"),
        ("thread", "can't start new thread"),
        ("caught", "Python could allocate no more"),
        ("python", "error return without exception set"),
        ("hoard", "Python could allocate no more"),  # nothing is freed by the exception
    ],
)
def test_want_of_memory_has_many_names(way: str, words: str) -> None:
    [lost] = do(deeds.fail_by, [way], Limits(item_seconds=60.0, memory_bytes=2**29))
    assert (lost.item, lost.reason) == (way, "out-of-memory")
    assert words in lost.story


def test_what_workers_write_is_kept_from_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    well, lost = do(deeds.write_natively, [("well",), ("abort",)])
    assert well == "well"
    assert lost.story == "its process was ended by SIGABRT; the last that it wrote: \x1b[31mfree(): invalid � pointer"
    assert capfd.readouterr() == ("", "")


def test_a_process_ended_by_the_system_says_so() -> None:
    pool: LocalPool[tuple[str, ...], Any] = LocalPool(deeds.work, 1, GENEROUS)

    def kill() -> None:
        for child in multiprocessing.active_children():
            if pool.at_work()[0][1] == "hang":
                os.kill(child.pid or 0, signal.SIGKILL)

    [lost] = pool.results(kill, [("hang",)])
    assert isinstance(lost, Lost)
    assert lost.story == "its process was ended by SIGKILL, from outside; perhaps the system had no memory left"


def test_workers_are_deaf_to_the_parents_signals_and_leave_no_cores() -> None:
    [found] = do(deeds.limits_of_this, ["a"])
    assert (found["ignored"], found["blocked"], found["core"]) == (3, 0, 0)
    assert found["score"] == "500"  # the system ends a worker before it ends the run


def test_workers_work_at_the_same_time(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert do(deeds.meet, [(here, there), (there, here)], workers=2) == [True, True]


def test_a_function_that_no_worker_could_find_is_refused() -> None:
    with pytest.raises(TypeError, match="not a function of a module"):
        LocalPool(lambda job, report: job, 1, GENEROUS)


def test_no_process_to_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*anything: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", refuse)
    with pytest.raises(MachineError, match="Resource temporarily unavailable"):
        do(deeds.work, [("a",)])


def test_what_cannot_be_received_is_told_in_words() -> None:
    with pytest.raises(WorkerError, match="cannot be read"):
        do(deeds.return_what_cannot_be_received, ["a"])


def test_two_thousand_jobs_and_fifty_deaths_leave_no_descriptor_and_no_thread() -> None:
    do(deeds.work, [("a",)])  # what multiprocessing itself keeps open is open now
    before = open_now()
    jobs = [("leave",) if number % 40 == 0 else (f"a{number}",) for number in range(2000)]
    pool: LocalPool[tuple[str, ...], tuple[str, int]] = LocalPool(deeds.work, 2, GENEROUS)
    most, results, lost = 0, 0, 0
    for outcome in pool.results(lambda: None, iter(jobs)):
        lost, results = (lost + 1, results) if isinstance(outcome, Lost) else (lost, results + 1)
        most = max(most, len(os.listdir("/proc/self/fd")))
    assert (results, lost) == (1950, 50)
    assert open_now() == before
    # Pipe, words, sentinel, and what a starting process takes, of two workers and of those that end meanwhile.
    assert most <= before[0] + 4 * 5


def test_a_quarter_of_a_million_jobs_are_not_copied_ahead() -> None:
    pool: LocalPool[tuple[str, ...], tuple[str, int]] = LocalPool(deeds.work, 2, GENEROUS)
    taken = 0

    def many() -> Iterator[tuple[str, ...]]:
        nonlocal taken
        for number in range(250_000):
            taken += 1
            yield (f"{number}" * 1000,)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.closing(pool.results(lambda: None, many())) as results:  # type: ignore[type-var]
        for _ in range(500):
            next(results)
        assert taken <= 500 + 2 * 2  # at work, and done but not read
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024  # KiB; all would take 1.5 GB


PARENT = """
import sys
from pathlib import Path
from elo_cli.executors import Limits
from elo_cli.executors.local import LocalPool
from tests.executors import deeds

if __name__ == "__main__":
    jobs = [(Path(sys.argv[1]) / name) for name in "ab"]
    for _ in LocalPool(deeds.note_and_hang, 2, Limits(600.0)).results(lambda: None, jobs):
        pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the end of the parent ends its workers on Linux only")
def test_after_a_kill_of_the_parent_no_worker_goes_on(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py"), str(tmp_path)], env=environment)
    places = [tmp_path / "a", tmp_path / "b"]
    wait_for(lambda: all(place.exists() and place.read_text() for place in places))
    workers = [int(place.read_text()) for place in places]
    assert all(map(exists, workers))
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(map(exists, workers)), seconds=5.0)
