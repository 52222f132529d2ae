"""One process at a time works in a directory, and a killed one leaves nothing behind that matters."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from elo_cli.core.errors import LockedError, Stopped, StorageError
from elo_cli.run import lock
from elo_cli.run.lock import hold, hold_in_turn

HOLD = """
import os, sys, time
from pathlib import Path
from elo_cli.run.lock import hold
with hold(Path(sys.argv[1]), Path(sys.argv[2]), "elo pretrain"):
    print("held", flush=True)
    {then}
"""


def start(folder: Path, then: str = "time.sleep(60)") -> "subprocess.Popen[str]":
    script = [sys.executable, "-c", HOLD.format(then=then), str(folder / "lock"), str(folder / "lock.json")]
    process = subprocess.Popen(script, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def take(folder: Path) -> None:
    with hold(folder / "lock", folder / "lock.json", "elo"):
        assert json.loads((folder / "lock.json").read_text())["pid"] == os.getpid()


def test_a_second_process_is_told_who_is_at_work(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        with pytest.raises(LockedError) as caught:
            take(tmp_path)
        assert f"process {process.pid} on {socket.gethostname()}" in caught.value.message
        assert caught.value.message.endswith(": elo pretrain.")
        assert "--fresh" in caught.value.hint
        process.kill()
        process.wait()
        assert (tmp_path / "lock.json").exists()
        take(tmp_path)
    assert not (tmp_path / "lock.json").exists()


def test_who_comes_second_may_wait_and_is_told_for_whom(tmp_path: Path) -> None:
    said: list[str] = []
    files = tmp_path / "lock", tmp_path / "lock.json"
    with (
        start(tmp_path, then="time.sleep(1.5)") as process,
        hold_in_turn(*files, "elo", tell=said.append, check=lambda: None),
    ):
        assert process.wait(timeout=10) == 0
        assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()
    assert len(said) == 1
    assert f"process {process.pid} on " in said[0]
    assert said[0].endswith("Waiting for it.")


def test_who_waits_can_be_stopped(tmp_path: Path) -> None:
    def stop() -> None:
        raise Stopped("at your request")

    files = tmp_path / "lock", tmp_path / "lock.json"
    with (
        hold(*files, "elo"),
        pytest.raises(Stopped),
        hold_in_turn(*files, "elo", tell=lambda message: None, check=stop),
    ):
        pytest.fail("two hold it")


def test_a_second_owner_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with hold(tmp_path / "lock", tmp_path / "lock.json", "elo"), pytest.raises(LockedError, match=str(os.getpid())):
        take(tmp_path)
    take(tmp_path)


def test_the_lock_ends_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), hold(tmp_path / "lock", tmp_path / "lock.json", "elo"):
        raise KeyError
    take(tmp_path)


@pytest.mark.parametrize("note", ['{"pid": 1, "host": "elsewhere"}', "{", "[]", '{"pid": "x"}', '{"pid": 99999999999999}'])
def test_a_stale_note_is_harmless(tmp_path: Path, note: str) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "lock.json").write_text(note)
    take(tmp_path)


@pytest.mark.parametrize("note", ['{"pid": 1, "host": "elsewhere"}', ""])
def test_an_owner_on_another_host_is_named(tmp_path: Path, note: str) -> None:
    with start(tmp_path) as process:
        (tmp_path / "lock.json").write_text(note)
        with pytest.raises(LockedError, match="process 1 on elsewhere" if note else "process unknown on an unknown host"):
            take(tmp_path)
        process.kill()


ORPHAN = "import signal\n    if os.fork(): os.kill(os.getpid(), signal.SIGKILL)\n    time.sleep({seconds})"


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_workers_that_outlive_a_killed_owner_are_waited_for(tmp_path: Path) -> None:
    with start(tmp_path, ORPHAN.format(seconds=0.5)) as process:
        process.wait()
        take(tmp_path)


def test_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "ORPHAN_WAIT_S", 0.2)
    holder = start(tmp_path)  # stands for a worker that does not end
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / "lock.json").write_text(json.dumps({"pid": gone.pid, "host": socket.gethostname()}))
    began = time.monotonic()
    with pytest.raises(LockedError, match=str(gone.pid)):
        take(tmp_path)
    assert time.monotonic() - began < 5
    with holder:
        holder.kill()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
def test_a_forked_worker_does_not_free_its_parents_lock(tmp_path: Path) -> None:
    with start(tmp_path, "os.fork() and (os.wait(), print('child gone', flush=True), time.sleep(60))") as process:
        assert process.stdout
        assert process.stdout.readline() == "child gone\n"
        with pytest.raises(LockedError, match=str(process.pid)):
            take(tmp_path)
        process.kill()


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        take(tmp_path / "file")
