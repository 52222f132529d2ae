"""What this machine has that elo makes use of: looked at without changing anything."""

import contextlib
import importlib
import importlib.metadata
import os
import platform
import re
import resource
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from elo_cli.run.environment import compiler, cpu_limit, describe_environment, processors
from elo_cli.run.memory import Memory, memory

# Decoders by the name of what they decode; FFmpeg's own `av1` needs a GPU.
CODECS: dict[str, tuple[str, ...]] = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp9": ("vp9", "libvpx-vp9"),
    "av1": ("libdav1d", "libaom-av1", "libgav1"),
    "mpeg4": ("mpeg4",),
    "mjpeg": ("mjpeg",),
    "aac": ("aac",),
    "opus": ("opus", "libopus"),
    "mp3": ("mp3float", "mp3"),
}
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "sve", "bf16")
_CPUINFO = Path("/proc/cpuinfo")
_SHARED = Path("/dev/shm")  # where PyTorch's loaders hand batches over
_NVIDIA = Path("/proc/driver/nvidia/version")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*;\s*extra\s*==\s*['\"](.+?)['\"]")


@dataclass(frozen=True)
class Gpu:
    """One GPU as torch sees it; memory in bytes."""

    name: str
    memory: int
    capability: str
    bf16: bool


@dataclass(frozen=True)
class Disk:
    """The place of the workspace, or of the folder that it will be made in: free bytes, and why nothing can be written."""

    folder: str
    free: int
    obstacle: str = ""


@dataclass(frozen=True)
class Inventory:
    """What is here.

    Attributes:
        processor: its name.
        instructions: those of its instruction sets that matter.
        processors: that this process may use; `limit` is the control group's.
        busy: processors that were busy over the last minute, on average.
        memory: of the machine, in bytes.
        gpus: that torch can use; `nvidia_driver` is whether the system has one, whatever torch can.
        versions: of the packages by their names; None for one that is not there.
        python, cuda: their versions; `cuda` is what torch is built for, empty for none.
        imports: what cannot be imported, with the reason.
        codecs: whether each can be decoded.
        disk: of the workspace.
        shared: bytes of shared memory that are free; None where there is no /dev/shm.
        open_files: how many this process may have open, and how many it could be allowed without an administrator.
        compiler: a C++ compiler's path; empty for none.
        extras: of elo, each with whether it is installed.
    """

    processor: str
    instructions: tuple[str, ...]
    processors: int
    limit: float | None
    busy: float
    memory: Memory
    gpus: tuple[Gpu, ...]
    nvidia_driver: bool
    versions: dict[str, str | None]
    python: str
    cuda: str
    imports: dict[str, str]
    codecs: dict[str, bool]
    disk: Disk
    shared: int | None
    open_files: tuple[int, int]
    compiler: str
    extras: dict[str, bool] = field(default_factory=dict)


def take_inventory(workspace: Path) -> Inventory:
    """Look what this machine has; what is broken is noted, and nothing is raised.

    Args:
        workspace: where runs would be written.
    """
    imports = {name: told for name in ("torch", "torchvision", "av") if (told := _import(name))}
    name, instructions = _processor()
    described = describe_environment()
    cuda, gpus = ("", ()) if "torch" in imports else _gpus()
    return Inventory(
        processor=name,
        instructions=instructions,
        processors=processors(),
        limit=cpu_limit(),
        busy=round(os.getloadavg()[0], 1),
        memory=memory(),
        gpus=gpus,
        nvidia_driver=_NVIDIA.exists(),
        versions=described["packages"],
        python=platform.python_version(),
        cuda=cuda,
        imports=imports,
        codecs={} if "av" in imports else _codecs(),
        disk=look_at_disk(workspace),
        shared=shutil.disk_usage(_SHARED).free if _SHARED.is_dir() else None,
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE),
        compiler=compiler() or "",
        extras=_extras(),
    )


def look_at_disk(folder: Path) -> Disk:
    """Look at the place of a folder that need not be there yet; a nameless file is made in it for a moment."""
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if os.path.exists(parent))
    obstacle = "" if place.is_dir() else "it is no folder"
    if not obstacle:
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            obstacle = error.strerror or str(error)
    return Disk(str(place), shutil.disk_usage(place).free, obstacle)


def extras_of(requirements: Sequence[str]) -> dict[str, list[str]]:
    """Read the packages of each extra from a distribution's requirements."""
    found: dict[str, list[str]] = {}
    for requirement in requirements:
        if match := _REQUIREMENT.match(requirement):
            found.setdefault(match[2], []).append(match[1])
    return found


def _import(name: str) -> str:
    """Say why a package cannot be imported; empty if it can."""
    try:
        importlib.import_module(name)
    except Exception as error:  # a build that does not fit another ends in errors of any kind
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _processor() -> tuple[str, tuple[str, ...]]:
    text = ""
    with contextlib.suppress(OSError):
        text = _CPUINFO.read_text(errors="replace")
    name = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.+)$", text, re.MULTILINE)
    words = set(flags[1].split()) if flags else set()
    return name[1] if name else platform.processor() or platform.machine(), tuple(word for word in _INSTRUCTIONS if word in words)


def _gpus() -> tuple[str, tuple[Gpu, ...]]:
    """Return the version of CUDA (or HIP) that torch is built for, and the GPUs that it can use."""
    import torch

    built = torch.version.cuda or torch.version.hip or ""
    if not torch.cuda.is_available():
        return built, ()
    properties = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return built, tuple(
        Gpu(each.name, each.total_memory, f"{each.major}.{each.minor}", torch.version.hip is not None or each.major >= 8)
        for each in properties
    )


def _codecs() -> dict[str, bool]:
    from av.codec import Codec

    def decodes(name: str) -> bool:
        try:
            Codec(name, "r")
        except ValueError:  # PyAV's UnknownCodecError is one
            return False
        return True

    return {name: any(map(decodes, decoders)) for name, decoders in CODECS.items()}


def _extras() -> dict[str, bool]:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        wanted = extras_of(importlib.metadata.requires("elo-cli") or ())
        return {extra: all(map(_installed, packages)) for extra, packages in wanted.items()}
    return {}


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
