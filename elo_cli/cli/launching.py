"""`--processes` and `--gpus`: the same command in several processes of this machine, which train together.

torchrun does the same over many machines; on one, this keeps elo's own exit codes and its way to stop.
"""

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType

import typer

from elo_cli.cli.options import Common
from elo_cli.core.errors import Interrupted, MachineError, Stopped, UsageError
from elo_cli.core.rank import Rank
from elo_cli.run.parent import end_with_parent

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_GRACE_S = 30.0  # after one process has ended: the others may be saving, or wait for it in vain
_WORDS_S = 3.0  # before the others are ended: what fails for all fails for rank 0 too, which alone has words for it
_LOOK_S = 0.1


def together(common: Common, gpus: int | None, processes: int | None) -> bool:
    """Start the command in several processes if it asks for that and is not yet one of them.

    Returns:
        False: it asks for one process, or is one of several. Otherwise it leaves with their exit code, or returns True.

    Raises:
        UsageError: both are asked for.
        MachineError: so many GPUs are not there.
    """
    if gpus is not None and processes is not None:
        raise UsageError("--gpus and --processes are both given.", hint="Give --gpus for GPUs, --processes for processors.")
    if Rank.announced().world > 1:
        return False
    if gpus is not None:
        import torch

        if torch.cuda.device_count() < gpus:
            raise MachineError(
                f"--gpus {gpus}: this machine has {torch.cuda.device_count()} GPUs that PyTorch can use.",
                hint="Ask for fewer; or train on processors, with --processes.",
            )
    wanted = gpus or processes or 1
    if wanted == 1:
        return False
    code = launch(common.invocation.arguments, wanted)
    if code:
        raise typer.Exit(code)
    return True


def launch(arguments: Sequence[str], processes: int) -> int:
    """Start a command of elo in so many processes, pass signals on, and wait for all.

    Args:
        arguments: what was typed after `elo`.
        processes: how many.

    Returns:
        The exit code of the first process that failed, else 0.

    Raises:
        MachineError: one was killed by somebody else.
    """
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-m", "elo_cli", *arguments]
    ranks: list[subprocess.Popen[bytes]] = []
    with _passing_on(ranks):
        try:
            for rank in range(processes):
                told = Rank(rank, processes, rank, processes).told()
                environment = {**os.environ, **meeting, **told}
                # In a session of their own, so that Ctrl-C reaches them once: through us.
                process = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=end_with_parent)
                ranks.append(process)
            return _wait(ranks)
        finally:
            for process in ranks:
                process.kill()
                process.wait()


def leave_together(code: object) -> None:
    """End this process where it stands, if it is one of several that train together; all that it had to do is done.

    What Python and PyTorch do at their ends is left out: a thread of gloo that wakes up just then ends the process by SIGABRT
    (seen once in some hundred runs, torch 2.15), which would be told as a failure.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1" and isinstance(code, int):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(ranks: Sequence["subprocess.Popen[bytes]"]) -> int:
    """Wait until all have ended, or one has failed and the others had their time."""
    failed, deadline, ending = 0, math.inf, math.inf
    while None in (codes := [process.poll() for process in ranks]) and time.monotonic() < deadline:
        if any(codes) and deadline == math.inf:
            failed, deadline = _first_failed(codes), time.monotonic() + _GRACE_S
            if codes[failed] not in (Stopped.exit_code, Interrupted.exit_code):
                ending = time.monotonic() + _WORDS_S
        if time.monotonic() > ending:
            for process in ranks:  # they would wait for it; what they have is saved by rank 0 alone
                process.terminate()
            ending = math.inf
        time.sleep(_LOOK_S)
    failed = failed if deadline < math.inf else _first_failed(codes)
    code = ranks[failed].returncode
    if code < 0:
        raise MachineError(
            f"Process {failed} of {len(ranks)} was killed by signal {-code}.",
            hint="Was there enough memory? What was saved is safe: the same command goes on.",
        )
    return int(code)


def _first_failed(codes: Sequence[int | None]) -> int:
    """The number of the process that failed of itself; 0 where none has.

    One that is killed, or fails, takes the others with it before anybody looks: those end as `MachineError`, so that one that
    ended otherwise is the cause.
    """
    failed = [number for number, code in enumerate(codes) if code]
    killed = [number for number in failed if (codes[number] or 0) < 0]
    of_itself = [number for number in failed if codes[number] != MachineError.exit_code]
    return next(iter(killed or of_itself or failed), 0)


@contextlib.contextmanager
def _passing_on(ranks: Sequence["subprocess.Popen[bytes]"]) -> Iterator[None]:
    """Pass signals on for the length of a `with` block."""

    def receive(number: int, frame: FrameType | None) -> None:
        for process in ranks:
            process.send_signal(number)

    before = {number: signal.signal(number, receive) for number in _PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
