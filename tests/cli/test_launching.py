"""Processes that train together: which of them is told as the one that failed."""

import subprocess
import sys

import pytest

from elo_cli.cli.launching import _wait
from elo_cli.core.errors import MachineError

_ENDS = {
    "killed": "import os; os.kill(os.getpid(), 9)",
    "abandoned": f"raise SystemExit({MachineError.exit_code})",
    "wrong data": "raise SystemExit(3)",
    "done": "",
}


def ended(*ways: str) -> list["subprocess.Popen[bytes]"]:
    """Processes that ended before anybody looked."""
    processes = [subprocess.Popen([sys.executable, "-c", _ENDS[way]]) for way in ways]
    for process in processes:
        process.wait()
    return processes


def test_the_killed_one_is_told_though_it_took_another_with_it() -> None:
    with pytest.raises(MachineError, match="Process 1 of 2 was killed by signal 9"):
        _wait(ended("abandoned", "killed"))
    with pytest.raises(MachineError, match="Process 2 of 3 was killed by signal 9"):
        _wait(ended("wrong data", "abandoned", "killed"))


def test_the_cause_is_told_and_not_its_consequence() -> None:
    assert _wait(ended("abandoned", "wrong data")) == 3
    assert _wait(ended("done", "abandoned")) == MachineError.exit_code
    assert _wait(ended("done", "done")) == 0


def test_rank_0_has_time_for_its_words() -> None:
    slow = "import time; time.sleep(1.0); print('why'); raise SystemExit(3)"
    speaking = subprocess.Popen([sys.executable, "-c", slow], stdout=subprocess.PIPE)
    assert _wait([speaking, *ended("wrong data")]) == 3
    assert speaking.communicate()[0] == b"why\n"
