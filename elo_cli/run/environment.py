"""What a run was computed with: versions, platform, processors. Nothing heavy is imported."""

import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Any

# Distribution names; the first is our own. Missing ones are recorded as null.
PACKAGES = ("elo-cli", "torch", "torchvision", "av", "numpy", "cma", "scikit-learn")
_CGROUP = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def describe_environment(threads: int | None = None, processes: int = 1) -> dict[str, Any]:
    """Describe this machine as `environment.json` holds it.

    Args:
        threads: the number of threads that the run computes with, if it was set. It is part of the
            environment because it changes the last bits of results on a CPU.
        processes: how many train together; it changes the last bits too.
    """
    return {
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "cpu_limit": cpu_limit(),
        "threads": threads,
        "processes": processes,
    }


def processors() -> int:
    """Return how many processors this process may use, at least 1: its affinity, within its control groups' limit."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = cpu_limit()
    return count if limit is None else max(1, min(count, round(limit)))


def compiler() -> str | None:
    """Return the path of a C++ compiler; None if there is none."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "clang++"))), None)


def cpu_limit(cgroup: Path = _CGROUP, membership: Path = _MEMBERSHIP) -> float | None:
    """Return how many processors the control groups of this process allow; None without a limit."""
    own = cgroup
    with contextlib.suppress(OSError):
        if match := re.search(r"^0::/(.+)$", membership.read_text(), re.MULTILINE):
            own = cgroup / match[1]
    groups = [own, *own.parents]
    limits = [_ratio(group / "cpu.max") for group in groups if group.is_relative_to(cgroup)]
    limits.append(_ratio(cgroup / "cpu" / "cpu.cfs_quota_us", cgroup / "cpu" / "cpu.cfs_period_us"))  # version 1
    return min((limit for limit in limits if limit is not None), default=None)


def _ratio(*files: Path) -> float | None:
    """Divide the quota by the period; None when they are not there, or the quota is `max` or -1."""
    try:
        quota, period = (int(word) for file in files for word in file.read_text().split())
        return round(quota / period, 2) if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
