"""Sends the command a signal at a chosen moment; Python imports this at its start wherever this folder is on the path.

DIE_AT=EVENT:PART:COUNT:SIGNAL names the audit event (`open`, `os.rename`), a part of the path, and which time
it is that counts; KILL if no signal is named. A worker process sends it to its parent, the command itself, first;
with `:alone` after the signal, only workers die, each at that time of its own.
"""

import multiprocessing
import os
import signal
import sys


def _arm() -> None:
    event, part, count, *more = os.environ["DIE_AT"].split(":")
    number = signal.Signals[f"SIG{more[0]}"] if more else signal.SIGKILL
    seen = 0

    def hook(found: str, arguments: "tuple[object, ...]") -> None:
        nonlocal seen
        if found != event or part not in str(arguments[1 if found == "os.rename" else 0]):
            return
        seen += 1
        if seen == int(count):
            worker, alone = multiprocessing.parent_process() is not None, "alone" in more
            if worker and not alone:
                os.kill(os.getppid(), number)
            if worker or not alone:
                os.kill(os.getpid(), number)

    sys.addaudithook(hook)


if "DIE_AT" in os.environ:
    _arm()
