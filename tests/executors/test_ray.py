"""Ray: actors that die, and a cluster of our own that stays ours."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from elo_cli.core.errors import MachineError
from elo_cli.executors import Limits, Lost, Machine, Needs, WorkerError, machines_of
from elo_cli.executors.ray import RayPool
from tests.executors import deeds
from tests.executors.conftest import WITHOUT_RAY

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason=WITHOUT_RAY)
SIGTERM_BEFORE = signal.getsignal(signal.SIGTERM)
GENEROUS = Limits(item_seconds=60.0)
ONE = Needs(cpus=1)
ROOT = Path(__file__).parents[2]


def do(function: Any, jobs: list[Any], workers: int | None = 1, limits: Limits = GENEROUS, needs: Needs = ONE) -> list[Any]:
    """Do jobs; give all outcomes."""
    return list(RayPool(function, workers, limits, needs).results(lambda: None, jobs))


def test_without_ray_the_hint_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MachineError) as caught:
        RayPool(deeds.work, 1, GENEROUS)
    assert "pip install 'elo-cli[ray]'" in caught.value.hint


def test_a_ray_that_was_imported_before_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", sys)
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MachineError, match="imported before"):
        do(deeds.work, [("a",)])


@pytest.mark.usefixtures("cluster")
class TestActors:
    """On one cluster, which each test leaves running."""

    def test_a_job_whose_actor_dies_is_given_to_another(self, tmp_path: Path) -> None:
        assert sorted(do(deeds.kill_the_parent, [(tmp_path / "a", 0), (tmp_path / "b", 2)])) == ["after 0", "after 2"]

    def test_a_job_that_ends_each_actor_is_given_up(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        lost, well = do(deeds.kill_the_parent, [(tmp_path / "a", 99), (tmp_path / "b", 0)])
        if not isinstance(lost, Lost):
            lost, well = well, lost
        assert (lost.item, lost.stage, lost.reason) == (None, None, "crash")
        assert lost.story.startswith(f"{GENEROUS.hosts} Ray actors died at it, at last: ")
        assert well == "after 0"
        assert (tmp_path / "a").read_text() == str(GENEROUS.hosts)
        time.sleep(1.0)  # what Ray has to say about it comes late
        assert capfd.readouterr() == ("", "")

    def test_whoever_tries_again_by_itself_is_told_of_the_first_death(self, tmp_path: Path) -> None:
        [lost] = do(deeds.kill_the_parent, [(tmp_path / "a", 1)], limits=Limits(60.0, hosts=1))
        assert lost.reason == "crash" and lost.story.startswith("its Ray actor died: ")

    def test_how_far_a_job_is_can_be_asked(self) -> None:
        pool: RayPool[int, int] = RayPool(deeds.rest_between_stages, 1, GENEROUS)
        seen = set()
        assert list(pool.results(lambda: seen.update(pool.at_work()), [16])) == [16]  # of 0.3 s each
        assert {(job, item) for job, item, _ in seen} == {(16, None), (16, "one item")}

    def test_signals_are_still_ours(self) -> None:
        assert signal.getsignal(signal.SIGTERM) is SIGTERM_BEFORE

    def test_what_ray_cannot_bring_back_is_told_in_words(self) -> None:
        with pytest.raises(WorkerError, match="no further than this"):
            do(deeds.return_what_is_sent_only_once, ["a"])

    def test_a_worker_does_not_load_the_program_of_ray(self) -> None:
        [found] = do(deeds.limits_of_this, ["a"])
        assert not found["ray"]
        assert (found["ignored"], found["blocked"], found["score"]) == (3, 0, "500")

    def test_workers_see_the_accelerators_of_their_node(self) -> None:
        [found] = do(deeds.limits_of_this, ["a"])
        assert found["accelerators"] == os.environ.get("CUDA_VISIBLE_DEVICES", "not set")

    def test_the_machines_are_those_of_the_cluster(self) -> None:
        machines = machines_of("ray")
        assert machines is not None and machines() == [Machine(2.0, 2.0)]

    def test_each_worker_has_what_it_needs_and_no_more_come_than_fit(self, tmp_path: Path) -> None:
        own = do(deeds.limits_of_this, ["a"], None, needs=Needs(gpus=1))
        assert {found["accelerators"] for found in own} <= {"0", "1"}
        half = Needs(cpus=0.5, gpus=0.5)  # four of them fit
        jobs = [(tmp_path / str(number), tmp_path / str(number ^ 2)) for number in range(4)]
        assert do(deeds.meet, jobs, None, needs=half) == [True] * 4
        two = do(deeds.limits_of_this, ["a"], 1, needs=Needs(gpus=2))
        assert {found["accelerators"] for found in two} <= {"0,1", "1,0"}

    def test_what_no_machine_has_is_said(self) -> None:
        with pytest.raises(MachineError) as caught:
            do(deeds.work, [("a",)], limits=Limits(60.0, start_seconds=1.0), needs=Needs(2, 3))
        assert caught.value.hint.startswith("Each asks for 2 CPUs and 3 GPUs.")

    def test_no_free_processor_is_said(self, cluster: Any) -> None:
        holder = cluster.remote(num_cpus=2)(deeds.Holder).remote()
        cluster.get(holder.here.remote())
        with pytest.raises(MachineError, match="No Ray worker came up within 1 s"):
            do(deeds.work, [("a",)], limits=Limits(60.0, start_seconds=1.0))
        cluster.kill(holder)

    def test_an_actor_that_can_start_no_process_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("elo_cli.executors.ray.Seat", deeds.PoorSeat)
        with pytest.raises(MachineError) as caught:
            do(deeds.work, [("a",)])
        assert (caught.value.message, caught.value.hint) == ("No worker process can be started.", "ulimit -u")

    def test_a_cluster_that_goes_away_is_said(self, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def wait(*anything: object, **named: object) -> None:
            raise cluster.exceptions.RaySystemError("the head has left")

        monkeypatch.setattr(cluster, "wait", wait)
        with pytest.raises(MachineError, match=r"The Ray cluster is gone: .*the head has left"):
            do(deeds.work, [("a",)])

    def test_actors_that_cannot_start_are_no_endless_loop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("elo_cli.executors.ray.Seat", deeds.NoSeat)
        with pytest.raises(MachineError, match=r"die before they begin: .*no room to sit"):
            do(deeds.work, [("a",)])


@needs_ray
def test_an_address_that_means_nothing_is_said() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": "nowhere"}
    done = subprocess.run([sys.executable, "-c", SESSION, "none"], env=environment, capture_output=True, text=True)
    assert "MachineError: Ray finds no cluster: Invalid address format: nowhere." in done.stderr


SESSION = """
import os, signal, sys, time
from pathlib import Path
from elo_cli.executors import Limits
from elo_cli.executors.ray import RayPool
from tests.executors import deeds

def asked(number, frame):
    global stop
    stop = number

def tick():
    if stop:
        raise SystemExit(f"stopped by {stop}")

if __name__ == "__main__":
    stop = 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, asked)
    pool = RayPool(deeds.note_and_hang, 1, Limits(600.0))
    for outcome in pool.results(tick, [Path(sys.argv[1])]):
        print(outcome)
"""


def family(process: int) -> list[int]:
    """List a process and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def listening(processes: list[int]) -> set[str]:
    """List the addresses at which processes listen, in the kernel's hexadecimal digits."""
    sockets = set()
    for process in processes:
        with contextlib.suppress(OSError):
            sockets |= {os.readlink(entry) for entry in Path(f"/proc/{process}/fd").iterdir()}
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def exists(process: int) -> bool:
    """Say whether a process is there and alive."""
    with contextlib.suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    return False


@pytest.fixture
def session(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int], Path]]:
    """Start a process that starts a Ray of its own; give it, all that came of it (a worker is at work), and Ray's folder."""
    home, place = tmp_path / "home", tmp_path / "worker"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SESSION, str(place)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (place.exists() and place.read_text()):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    members = family(process.pid)
    assert int(place.read_text()) in members
    commands = " ".join(Path(f"/proc/{member}/cmdline").read_text() for member in members)
    folder = Path(re.findall(r"/tmp/elo-ray-\w+", commands)[0])
    yield process, members, folder
    for member in members:
        with contextlib.suppress(OSError):
            os.kill(member, signal.SIGKILL)
    process.communicate()
    shutil.rmtree(folder, ignore_errors=True)  # a process that is killed cannot tidy up


def all_gone(members: list[int], seconds: float) -> bool:
    """Wait until no process of these is left."""
    deadline = time.monotonic() + seconds
    while any(map(exists, members)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(exists, members))


@needs_ray
def test_a_ray_of_our_own_listens_to_this_machine_only_and_leaves_nothing(session: Any, tmp_path: Path) -> None:
    process, members, folder = session
    assert len(members) > 5
    addresses = listening(members)
    assert addresses and addresses <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert any(b"RAY_AUTH_TOKEN=" in Path(f"/proc/{member}/environ").read_bytes() for member in members[1:])
    os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches all of them
    said, complained = process.communicate(timeout=60)
    assert (process.returncode, said, complained) == (1, "", "stopped by 2\n")
    assert all_gone(members, 10.0)
    assert not folder.exists()
    assert list((tmp_path / "home").iterdir()) == []


@needs_ray
def test_after_a_kill_no_worker_goes_on(session: Any, tmp_path: Path) -> None:
    process, _, _ = session
    process.kill()
    worker = int((tmp_path / "worker").read_text())
    assert all_gone([process.pid, worker, *family(worker)], 20.0)
