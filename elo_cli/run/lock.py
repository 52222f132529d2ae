"""One owner at a time: a lock of the operating system, and beside it a note of who holds it.

The lock ends with the process that holds it, even by kill -9, so there are no stale locks; the note
may outlive its owner, and then means nothing.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from elo_cli.core.errors import LockedError, MachineError
from elo_cli.core.files import storage_errors, write_json

# Forked workers share the lock of a killed process until they notice, within seconds, that they are alone.
ORPHAN_WAIT_S = 10.0
_LOOK_S = 0.2


@contextlib.contextmanager
def hold(lock_file: Path, owner_file: Path, command: str) -> Iterator[None]:
    """Hold the lock of a directory for the length of a `with` block.

    Args:
        lock_file: the file to lock; it stays when the lock is gone.
        owner_file: where to note the owner's process, host, start and command.
        command: the command line, for whoever finds the lock taken.

    Raises:
        LockedError: another process holds it; the process is named.
        StorageError: the directory cannot be written.
        MachineError: the file system knows no locks.
    """
    lock = FileLock(lock_file)
    _acquire(lock, lock_file, owner_file)
    pid = os.getpid()
    try:
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        write_json(owner_file, {"pid": pid, "host": socket.gethostname(), "started": started, "command": command})
        yield
    finally:
        if os.getpid() == pid:  # a forked worker on its way out must not take away its parent's note
            with contextlib.suppress(OSError):
                owner_file.unlink(missing_ok=True)
            lock.release()


@contextlib.contextmanager
def hold_in_turn(
    lock_file: Path, owner_file: Path, command: str, *, tell: Callable[[str], None], check: Callable[[], None]
) -> Iterator[None]:
    """Hold a lock as `hold` does, but wait until it is free.

    Args:
        lock_file, owner_file, command: as for `hold`.
        tell: is told once whom this waits for.
        check: is called while this waits, and may raise to end it.
    """
    with contextlib.ExitStack() as stack:
        told = False
        while True:
            try:
                stack.enter_context(hold(lock_file, owner_file, command))
                break
            except LockedError as error:
                if not told:
                    tell(f"{error.message} Waiting for it.")
                told = True
                check()
                time.sleep(_LOOK_S)
        yield


def _acquire(lock: FileLock, lock_file: Path, owner_file: Path) -> None:
    deadline = time.monotonic() + ORPHAN_WAIT_S
    while True:
        try:
            # Timeout is an OSError too, but means that somebody else holds the lock.
            with storage_errors(lock_file), contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                return
        except NotImplementedError as error:
            raise MachineError(
                f"{lock_file.parent} lies on a file system without locks.",
                hint="Give a directory on a local disk with --out.",
            ) from error
        owner = _read_owner(owner_file)
        if not _is_dead(owner) or time.monotonic() > deadline:
            raise _locked_error(lock_file.parent, owner)
        time.sleep(0.1)


def _read_owner(path: Path) -> dict[str, Any]:
    try:
        owner = json.loads(path.read_text())
    except (OSError, ValueError):  # the owner has not written it yet
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_dead(owner: dict[str, Any]) -> bool:
    """Whether the owner has surely ended, so that only its workers, about to end, hold the lock."""
    if owner.get("host") != socket.gethostname() or not isinstance(owner.get("pid"), int):
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _locked_error(root: Path, owner: dict[str, Any]) -> LockedError:
    who = f"process {owner.get('pid', 'unknown')} on {owner.get('host', 'an unknown host')}"
    since = f", at work since {owner['started']}: {owner['command']}" if {"started", "command"} <= owner.keys() else ""
    return LockedError(
        f"{root} is in use by {who}{since}.", hint="Wait for it, stop it, or start a new run beside it with --fresh."
    )
