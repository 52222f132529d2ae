"""Where candidates train: how many side by side, on which devices, and how each computes.

On this machine one trains on each processor, or a few on each GPU. Where the engine brings them to other machines,
those say how many there is room for; each candidate has what is set aside for it, and sees no other GPU.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

from elo_cli.core.errors import MachineError, UsageError
from elo_cli.core.settings import MachineSettings, Settings
from elo_cli.engine.precision import Precision
from elo_cli.executors import Machine, Needs, machines_of
from elo_cli.run.environment import processors

_PARTS_OF_A_GPU = 10_000  # Ray counts in these, and would round up


@dataclass(frozen=True)
class Places:
    """Where the candidates of a search train.

    Attributes:
        devices: of each worker, so many as train side by side.
        machine: the settings of a worker, but for its device.
        needs: what is set aside for a worker on other machines.
        computed: what must be the same when the search goes on.
    """

    devices: list[str]
    machine: MachineSettings
    needs: Needs
    computed: dict[str, str]

    @property
    def threads(self) -> int:
        """Threads of one worker."""
        assert self.machine.threads != "auto"
        return self.machine.threads

    @classmethod
    def of(cls, settings: Settings) -> "Places":
        """Find the places that the settings ask for.

        Raises:
            UsageError: the device is one that the engine cannot give.
            MachineError: a device is not there, the engine finds no machines, or none with what a candidate needs.
        """
        machines = machines_of(settings.search.engine)
        return here(settings) if machines is None else elsewhere(settings, machines)


def here(settings: Settings) -> Places:
    """On this machine; threads that are not set are divided among the workers."""
    precision = Precision.choose(settings.machine)
    devices = _devices(precision)
    workers = settings.search.workers
    if workers == "auto":
        workers = processors() if precision.device.type == "cpu" else len(devices) * settings.search.workers_per_device
    threads = max(1, precision.threads // workers) if settings.machine.threads == "auto" else precision.threads
    machine = settings.machine.model_copy(update={"threads": threads})
    return Places(list(itertools.islice(itertools.cycle(devices), workers)), machine, Needs(), precision.describe())


def _devices(precision: Precision) -> list[str]:
    """List the devices that candidates are spread over: the one that was named, or all GPUs."""
    import torch

    if str(precision.device) != "cuda":
        return [str(precision.device)]
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def elsewhere(settings: Settings, machines: Callable[[], list[Machine]]) -> Places:
    """On other machines, each worker with one thread unless told otherwise, whatever they are."""
    given, device = settings.search, settings.machine.device
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(
            f"machine.device={device} names a device of this machine, but the engine {given.engine} chooses those of others.",
            hint="Set machine.device to cuda, cpu or auto.",
        )
    gpus = 0.0 if device == "cpu" and given.gpus_per_candidate is None else given.gpus_per_candidate
    if gpus is not None and device != "auto" and (gpus > 0) != (device == "cuda"):
        raise UsageError(
            f"machine.device is {device}, and search.gpus_per_candidate is {gpus:g}.", hint="Leave one of the two to elo."
        )
    # Whoever says how many there are, and what each has, may start the machines later.
    found = machines() if gpus is None or given.workers == "auto" else []
    if gpus is None:
        if device == "cuda" and not any(machine.gpus for machine in found):
            raise MachineError("No machine of the cluster has a GPU.", hint="Use --set machine.device=cpu.")
        part = math.floor(_PARTS_OF_A_GPU / given.workers_per_device) / _PARTS_OF_A_GPU
        gpus = part if any(machine.gpus for machine in found) else 0.0
    threads = 1 if settings.machine.threads == "auto" else settings.machine.threads
    needs = Needs(threads, gpus)
    workers = sum(map(needs.fitting, found)) if given.workers == "auto" else given.workers
    if not workers:
        raise MachineError(
            f"No machine of the cluster has room for a candidate, which asks for {needs}.",
            hint="machine.threads and search.gpus_per_candidate say how much; give --workers N if machines are yet to come.",
        )
    machine = _alike(settings.machine.model_copy(update={"device": "cuda" if gpus else "cpu", "threads": threads}))
    computed = {"device": machine.device, "precision": machine.precision, "layout": machine.layout}
    return Places(["cuda:0" if gpus else "cpu"] * workers, machine, needs, computed)


def _alike(machine: MachineSettings) -> MachineSettings:
    """Fill in every `auto`: scores are compared, so all machines compute in the same way.

    Processors compute as this one does, and GPUs as those since Ampere can.
    """
    usual = {"precision": "bf16", "layout": "channels_last"}
    told = usual if machine.device == "cuda" else Precision.choose(machine).describe()
    return machine.model_copy(update={name: told[name] for name in ("precision", "layout") if getattr(machine, name) == "auto"})
