"""A Ray cluster: found or started, and left again."""

import contextlib
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from elo_cli.core.errors import MachineError
from elo_cli.executors._serving import PARENTS_SIGNALS
from elo_cli.run.environment import processors

_LONGEST_STORY = 300  # characters
_COLOURS = re.compile(r"\x1b\[\d*m")
_STORE_BYTES = 100 * 2**20  # jobs and results are small; Ray would take a third of the memory

_ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no telemetry
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` Ray would copy the working directory to each node
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # older Rays would hide the GPUs from actors that ask for none
}
_OUR_OWN = {
    "RAY_AUTH_MODE": "token",
    # Whatever its name says, on Linux too this is what makes a node's address 127.0.0.1. The address given to
    # ray.init would not do: Ray replaces a loopback address with that of the network, where all may knock.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
_ANOTHER = {"RAY_NUM_REDIS_GET_RETRIES": "1"}  # an address where nobody answers costs 40 s, not Ray's 12 minutes


@contextlib.contextmanager
def connected(cpus: int | None, gpus: int | None = None) -> Iterator[Any]:
    """Give Ray's module, connected for the length of a `with` block to the cluster of RAY_ADDRESS or to one of our own.

    A connection that is there already is used, and stays.

    Args:
        cpus: processors of a cluster of our own; None for those of this machine.
        gpus: its GPUs; likewise.

    Raises:
        MachineError: no cluster answers, or Ray cannot be started, or would listen on more than the loopback interface.
    """
    address = os.environ.get("RAY_ADDRESS", "local")
    own = address == "local"
    wanted = {**_ALWAYS, **(_OUR_OWN if own else _ANOTHER)}
    if "ray" in sys.modules and not set(_OUR_OWN if own else ()) <= set(os.environ):
        raise MachineError("Ray was imported before elo could keep it off the network.", hint="Start elo by itself.")
    for name, value in wanted.items():
        os.environ.setdefault(name, value)  # read when Ray is imported
    if own and "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # or Ray writes one into the home directory
    import ray  # only now

    if ray.is_initialized():
        yield ray
        return
    folder = tempfile.mkdtemp(prefix="elo-ray-", dir="/tmp") if own else None  # a short path, since sockets go there
    try:
        _start(ray, address, folder, {"num_cpus": cpus or processors(), "num_gpus": gpus})
        yield ray
    finally:
        ray.shutdown()
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _start(ray: Any, address: str, folder: str | None, size: dict[str, int | None]) -> None:
    """Connect to an address; with a folder for its sockets and logs, start a cluster of this size there."""
    given: dict[str, Any] = {"address": address, "log_to_driver": False, "configure_logging": False}
    if folder:
        given |= {"_temp_dir": folder, **size, "object_store_memory": _STORE_BYTES, "include_dashboard": False}
    # By its option Ray keeps the actors' output from ours, but not its own words about them, and stdout is for results.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in PARENTS_SIGNALS} if main else {}
    try:
        ray.init(**given)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        hint = "Is there room in /tmp?" if folder else "RAY_ADDRESS names it. Does `ray status` find it?"
        raise MachineError(f"Ray {'does not start' if folder else 'finds no cluster'}: {last_line(error)}.", hint=hint) from error
    finally:
        for number, handler in before.items():  # Ray's own for SIGTERM ends the process at once
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if folder and not (here := ray.util.get_node_ip_address()).startswith("127."):
        raise MachineError(
            f"Ray listens at {here}, not on the loopback interface alone.", hint="Start a cluster by hand, and set RAY_ADDRESS."
        )


def last_line(error: Exception) -> str:
    """Return what an error of Ray's comes down to; above it stand numbers of actors and the stack of Ray."""
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines() if line.strip()]
    return lines[-1][:_LONGEST_STORY] if lines else type(error).__name__
