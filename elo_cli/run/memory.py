"""How much memory this machine has, how much of it is free for one more process, and the most that this one had."""

import contextlib
import os
import re
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_MEMINFO = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
# Files of a control group: its limit, what it uses, and the page cache in that which can be given up.
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


@dataclass(frozen=True)
class Memory:
    """Memory in bytes.

    Attributes:
        total: of the machine.
        available: what a new process could take without swapping, within the limits of its control groups.
        limit: the least limit of the control groups; None where it is no less than the machine has.
    """

    total: int
    available: int
    limit: int | None

    @property
    def most(self) -> int:
        """What there is, free or not: the smaller of the two counts."""
        return self.total if self.limit is None else self.limit


def memory(cgroup: Path = _CGROUP, membership: Path = _MEMBERSHIP, meminfo: Path = _MEMINFO) -> Memory:
    """Look how much memory there is; without /proc, what is available is all that there is."""
    sizes: dict[str, int] = {}
    with contextlib.suppress(OSError):
        sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB", meminfo.read_text(), re.MULTILINE)}
    total = sizes.get("MemTotal") or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = sizes.get("MemAvailable", total)
    limits = []
    for limit, used in _groups(cgroup, membership):
        if limit < total:  # a group without a limit of its own has an absurd one in version 1
            limits.append(limit)
            available = min(available, max(0, limit - used))
    return Memory(total, available, min(limits, default=None))


def peak_memory(status: Path = _STATUS) -> int:
    """Return the most bytes that this process ever had in memory, since its program was started."""
    # ru_maxrss would do, but on Linux a process inherits it from the one that started it.
    with contextlib.suppress(OSError):
        if found := re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE):
            return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _groups(cgroup: Path, membership: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and use of each control group above this process, of either version."""
    lines = ""
    with contextlib.suppress(OSError):
        lines = membership.read_text()
    own_2 = re.search(r"^0::/(.*)$", lines, re.MULTILINE)
    own_1 = re.search(r"^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:/(.*)$", lines, re.MULTILINE)
    for root, own, files in ((cgroup, own_2, _VERSION_2), (cgroup / "memory", own_1, _VERSION_1)):
        lowest = root / own[1] if own else root
        for group in (lowest, *lowest.parents):  # a container may see its group as the root, under another name
            if group.is_relative_to(root):
                with contextlib.suppress(OSError, ValueError):
                    yield _group(group, *files)


def _group(group: Path, limit: str, used: str, reclaimable: str) -> tuple[int, int]:
    """Read one group; a ValueError where its limit is `max`."""
    most, now = int((group / limit).read_text()), int((group / used).read_text())
    with contextlib.suppress(OSError):
        if found := re.search(rf"^{reclaimable} (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE):
            now -= int(found[1])
    return most, now
