"""A Ray for the tests of one file."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

WITHOUT_RAY = "Ray is not installed: pip install 'elo-cli[ray]'"


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """Start a Ray of our own, of two processors and two GPUs that are not there, whose actors find the tests; give its module."""
    if importlib.util.find_spec("ray") is None:  # not importorskip: what Ray reads when it is imported is set in `connected`
        pytest.skip(WITHOUT_RAY)
    from elo_cli.executors._cluster import connected

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        root = str(Path(__file__).parents[2])
        patch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
        with connected(2, gpus=2) as ray:
            yield ray
