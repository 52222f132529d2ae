"""Signals while a workflow runs: they set a flag, and the workflow stops where that is safe."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from elo_cli.cli.terminal import is_terminal
from elo_cli.core.errors import Interrupted, Stopped
from elo_cli.core.rank import Rank

_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Whether someone asked for the work to stop, and how.

    Args:
        go_on: the command line that resumes the work.
    """

    def __init__(self, go_on: str) -> None:
        self.go_on = go_on
        self.signal: int | None = None

    def receive(self, number: int, frame: FrameType | None = None) -> None:
        """Take a signal; the second Ctrl-C stops at once."""
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        if not (is_terminal(sys.stderr) or Rank.announced().number):  # there, the bars say it; writing here would tear them
            with contextlib.suppress(OSError):  # not print: a handler may interrupt one
                os.write(2, f"{self.answer()}\n".encode())

    def answer(self) -> str:
        """Return what to tell whoever asked; empty if nobody did."""
        if self.signal is None:
            return ""
        return "Stopping at the next safe point" + ("; Ctrl-C again: at once" if self.signal == signal.SIGINT else "")

    def check(self) -> None:
        """Raise `Interrupted` after Ctrl-C and `Stopped` after another signal."""
        if self.signal is not None:
            error = Interrupted if self.signal == signal.SIGINT else Stopped
            raise error("Stopped at your request; what is done is saved.", hint=f"Go on with: {self.go_on}")


@contextlib.contextmanager
def stop_request(go_on: str) -> Iterator[StopRequest]:
    """Listen to SIGINT, SIGTERM and SIGUSR1 for the length of a `with` block."""
    request = StopRequest(go_on)
    if threading.current_thread() is not threading.main_thread():  # only the main thread may listen
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in _ASKING}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
