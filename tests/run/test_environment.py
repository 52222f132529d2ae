"""The environment is described without loading what it describes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from elo_cli.run.environment import cpu_limit, describe_environment


def test_it_names_versions_and_processors() -> None:
    described = describe_environment(threads=2)
    assert described["threads"] == 2
    assert described["packages"]["torch"]
    assert described["cpus"] >= 1
    assert json.loads(json.dumps(described)) == described


def test_nothing_heavy_is_loaded() -> None:
    script = "import sys; from elo_cli.run import directory; print({'torch', 'numpy', 'pydantic'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        ("0::/\n", {}, None),
        ("0::/\n", {"cpu.max": "max 100000"}, None),
        ("0::/\n", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/job/task\n", {"cpu.max": "max 100000", "job/cpu.max": "200000 100000", "job/task/cpu.max": "max 100000"}, 2.0),
        ("1:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("", {"cpu.max": "rubbish"}, None),
    ],
)
def test_limits_of_control_groups(tmp_path: Path, membership: str, files: dict[str, str], limit: float | None) -> None:
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert cpu_limit(tmp_path, tmp_path / "membership") == limit
