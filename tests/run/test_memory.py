"""Memory is read from the machine and from control groups of both versions; the smaller counts."""

from pathlib import Path

import pytest

from elo_cli.run.memory import Memory, memory, peak_memory

MIB = 2**20
MEMINFO = "MemTotal:       4194304 kB\nMemFree:         100 kB\nMemAvailable:    3145728 kB\n"  # 4 and 3 GiB
ABSURD = "9223372036854771712"


@pytest.mark.parametrize(
    ("membership", "files", "limit", "available"),
    [
        ("0::/\n", {}, None, 3072),
        ("0::/\n", {"memory.max": "max", "memory.current": "5"}, None, 3072),
        ("0::/\n", {"memory.max": f"{1024 * MIB}", "memory.current": f"{256 * MIB}"}, 1024, 768),
        (
            "0::/job/task\n",
            {
                "job/memory.max": f"{1024 * MIB}",
                "job/memory.current": f"{1000 * MIB}",
                "job/memory.stat": f"anon 7\ninactive_file {500 * MIB}\n",
                "job/task/memory.max": f"{2048 * MIB}",
                "job/task/memory.current": f"{100 * MIB}",
            },
            1024,
            524,
        ),
        ("0::/\n", {"memory.max": f"{8192 * MIB}", "memory.current": "0"}, None, 3072),
        (
            "4:memory:/job\n0::/\n",
            {
                "memory/memory.limit_in_bytes": ABSURD,
                "memory/memory.usage_in_bytes": "7",
                "memory/job/memory.limit_in_bytes": f"{512 * MIB}",
                "memory/job/memory.usage_in_bytes": f"{300 * MIB}",
                "memory/job/memory.stat": f"inactive_file 1\ntotal_inactive_file {100 * MIB}\n",
            },
            512,
            312,
        ),
        (  # in a container the path may be that of the host, and the own group the root
            "4:cpuset,memory:/docker/0123\n",
            {"memory/memory.limit_in_bytes": f"{64 * MIB}", "memory/memory.usage_in_bytes": f"{80 * MIB}"},
            64,
            0,
        ),
        ("rubbish", {"memory.max": "rubbish", "memory.current": "1"}, None, 3072),
    ],
)
def test_the_smaller_limit_counts(
    tmp_path: Path, membership: str, files: dict[str, str], limit: int | None, available: int
) -> None:
    for name, text in {"../membership": membership, "../meminfo": MEMINFO, **files}.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups").mkdir(exist_ok=True)
        path.write_text(text)
    found = memory(tmp_path / "groups", tmp_path / "membership", tmp_path / "meminfo")
    assert found == Memory(4096 * MIB, available * MIB, None if limit is None else limit * MIB)
    assert found.most == (limit or 4096) * MIB


def test_without_proc_there_is_still_a_number(tmp_path: Path) -> None:
    found = memory(tmp_path, tmp_path / "none", tmp_path / "none")
    assert found.total == found.available > 0 and found.limit is None


def test_the_peak_is_that_of_this_program(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n")
    assert peak_memory(tmp_path / "status") == 2 * MIB
    assert peak_memory() > MIB and peak_memory(tmp_path / "none") > MIB
