"""`--processes` and `--gpus`: the same command in several processes of this machine, which train together.

torchrun does the same over many machines; on one, this keeps elo's own exit codes and its way to stop.
"""

import contextlib
import ctypes
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
from elo_cli.core.errors import MachineError, Stopped, UsageError
from elo_cli.core.rank import Rank

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_GRACE_S = 30.0  # after one process has ended: the others may be saving, or wait for it in vain
_LOOK_S = 0.1
_PR_SET_PDEATHSIG = 1


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
    wanted = gpus or processes or 1
    if wanted == 1 or Rank.announced().world > 1:
        return False
    if gpus is not None:
        import torch

        if torch.cuda.device_count() < gpus:
            raise MachineError(
                f"--gpus {gpus}: this machine has {torch.cuda.device_count()} GPUs that PyTorch can use.",
                hint="Ask for fewer; or train on processors, with --processes.",
            )
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
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    told = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    common = {**os.environ, **{name: str(value) for name, value in told.items()}}
    command = [sys.executable, "-m", "elo_cli", *arguments]
    ranks: list[subprocess.Popen[bytes]] = []
    with _passing_on(ranks):
        try:
            for rank in range(processes):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                # In a session of their own, so that Ctrl-C reaches them once: through us.
                process = subprocess.Popen(command, env={**common, **own}, start_new_session=True, preexec_fn=_end_with_us)
                ranks.append(process)
            return _wait(ranks)
        finally:
            for process in ranks:
                process.kill()
                process.wait()


def _end_with_us() -> None:
    if sys.platform == "linux":  # after a kill -9 of ours no orphan may go on writing
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(ranks: Sequence["subprocess.Popen[bytes]"]) -> int:
    """Wait until all have ended, or one has failed and the others had their time."""
    failed: int | None = None
    deadline = float("inf")
    while any(process.poll() is None for process in ranks) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        bad = [number for number, process in enumerate(ranks) if process.poll()]
        if bad and failed is None:
            failed = bad[0]
            deadline = time.monotonic() + _GRACE_S
            if ranks[failed].returncode not in (Stopped.exit_code, 130):
                for process in ranks:  # they would wait for it; what they have is saved by rank 0 alone
                    process.terminate()
    if failed is None:
        bad = [number for number, process in enumerate(ranks) if process.poll()]
        failed = bad[0] if bad else 0
    code = ranks[failed].returncode
    if code < 0:
        raise MachineError(
            f"Process {failed} of {len(ranks)} was killed by signal {-code}.",
            hint="Was there enough memory? What was saved is safe: the same command goes on.",
        )
    return int(code)


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
