"""The checks of `elo doctor`: each is fine, or says what is wrong and how to mend it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from elo_cli.core.errors import EloError
from elo_cli.core.settings import MachineSettings
from elo_cli.workflows.events import size_text
from elo_cli.workflows.inventory import Inventory

_GIB = 2**30
_MEMORY = 2 * _GIB
_DISK, _LEAST_DISK = 5 * _GIB, _GIB // 4
_SHARED = 64 * 2**20  # what Docker gives
_FILES = 1024
_BUSY = 0.5  # of the processors: torch's threads wait for each other, and one that must wait holds up all
_REINSTALL = (
    "Install both from one index: pip install --force-reinstall torch torchvision (both with the same --index-url, if any)."
)


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: what is checked.
        state: a failure makes elo, or the settings in force, unusable here.
        found: what was found.
        mend: what to do about it; empty if it is fine.
    """

    name: str
    state: Literal["fine", "warning", "failure"]
    found: str
    mend: str = ""


def examine(here: Inventory, machine: MachineSettings, loaders: int, batch_bytes: int) -> list[Check]:
    """Check what an inventory holds.

    Args:
        machine: the settings in force.
        loaders: processes that would load clips.
        batch_bytes: of a batch that they hand over, at most.
    """
    return [
        *_packages(here),
        _codecs(here),
        _busy(here),
        _memory(here),
        _gpu(here, machine),
        *_number_format(here, machine),
        _disk(here),
        *_shared(here, loaders, batch_bytes),
        _open_files(here),
        *_compiler(here, machine),
    ]


def of_error(name: str, error: EloError) -> Check:
    """Turn an error into the check that found it."""
    return Check(name, "failure", error.message, error.hint or "")


def _packages(here: Inventory) -> Iterator[Check]:
    for name, told in here.imports.items():
        mend = f"pip install --force-reinstall {name}" if name == "av" else _REINSTALL
        yield Check(name, "failure", f"cannot be imported: {told}", mend)
    if not here.imports:
        yield Check("packages", "fine", "torch, torchvision and av can be imported")


def _codecs(here: Inventory) -> Check:
    lacking = [name for name, decodes in here.codecs.items() if not decodes]
    mend = "Install PyAV's own build, which brings FFmpeg: pip install --force-reinstall --only-binary :all: av"
    if not lacking:
        return Check("codecs", "fine", f"{len(here.codecs)} of {len(here.codecs)} can be decoded") if here.codecs else _unknown()
    said = f"{', '.join(lacking)} cannot be decoded; such videos will fail"
    return Check("codecs", "failure" if "h264" in lacking else "warning", said, mend)


def _unknown() -> Check:
    return Check("codecs", "failure", "not known without av", "Mend av first.")


def _busy(here: Inventory) -> Check:
    said = f"{here.busy:g} were busy over the last minute, of {here.processors}"
    if here.busy > _BUSY * here.processors:
        return Check("processors", "warning", f"{said}: times are too long", "End other programs, and ask again.")
    return Check("processors", "fine", said)


def _memory(here: Inventory) -> Check:
    most, free = here.memory.most, here.memory.available
    said = f"{size_text(free)} of {size_text(most)} free"
    if most < _MEMORY:
        mend = "Use a machine, or a container (docker run --memory), with 2 GiB or more."
        return Check("memory", "warning", f"{said}: under 2 GiB", mend)
    if free < _MEMORY:
        return Check("memory", "warning", f"{said}: under 2 GiB", "End other programs, or use smaller settings.")
    return Check("memory", "fine", said)


def _gpu(here: Inventory, machine: MachineSettings) -> Check:
    if here.gpus:
        return Check("GPU", "fine", f"torch can use {len(here.gpus)}")
    if not here.nvidia_driver or machine.device == "cpu":
        return Check("GPU", "fine", "none, and none is needed")
    if here.cuda:
        said = f"an NVIDIA driver is here, but torch, built for CUDA {here.cuda}, can use no GPU"
        return Check("GPU", "warning", said, "Is the driver too old for it (nvidia-smi)? Is CUDA_VISIBLE_DEVICES empty?")
    said = f"an NVIDIA driver is here, but torch {here.versions.get('torch')} is built without CUDA"
    return Check("GPU", "warning", said, "Install the default build: pip install --force-reinstall torch torchvision")


def _number_format(here: Inventory, machine: MachineSettings) -> Iterator[Check]:
    has = any(gpu.bf16 for gpu in here.gpus) or {"avx512_bf16", "amx_tile"} & set(here.instructions)
    if machine.precision == "bf16" and not has:
        yield Check(
            "bf16", "warning", "asked for, but nothing here computes in it: it is emulated, and slow", "machine.precision=auto"
        )


def _disk(here: Inventory) -> Check:
    disk = here.disk
    if disk.obstacle:
        mend = "Change to a folder that can be written, or give one with --set workspace=FOLDER."
        return Check("disk", "failure", f"{disk.folder} cannot be written: {disk.obstacle}", mend)
    said = f"{size_text(disk.free)} free in {disk.folder}"
    if disk.free < _DISK:
        mend = "Make room, or give another place with --set workspace=FOLDER; --set preprocess.storage=jpeg needs a tenth."
        return Check("disk", "failure" if disk.free < _LEAST_DISK else "warning", said, mend)
    return Check("disk", "fine", said)


def _shared(here: Inventory, loaders: int, batch_bytes: int) -> Iterator[Check]:
    if here.shared is None:
        return
    needed = max(_SHARED, 2 * loaders * batch_bytes)  # each has two batches ready
    said = f"{size_text(here.shared)} of shared memory free"
    if loaders and here.shared < needed:
        mend = f"docker run --shm-size={needed / _GIB + 0.5:.0f}g, or --set machine.loader_workers=0."
        yield Check("/dev/shm", "warning", f"{said}; {loaders} loaders may fill {size_text(needed)}", mend)
    else:
        yield Check("/dev/shm", "fine", said + ("" if loaders else "; no loaders need it"))


def _open_files(here: Inventory) -> Check:
    now, most = here.open_files
    if 0 <= now < _FILES:
        allowed = most if most >= 0 else 2**20
        mend = f"ulimit -n {min(allowed, 65_536)}" if allowed >= _FILES else "Ask for a higher hard limit (ulimit -Hn)."
        return Check("open files", "warning", f"{now} may be open; many loaders need more", mend)
    return Check("open files", "fine", f"{now if now >= 0 else 'any number'} may be open")


def _compiler(here: Inventory, machine: MachineSettings) -> Iterator[Check]:
    if machine.compile and not here.compiler and not here.gpus:
        mend = "Install one (Debian: apt install g++), or set machine.compile=false."
        yield Check("compiler", "failure", "machine.compile needs a C++ compiler, and there is none", mend)
