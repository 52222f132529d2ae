"""How many processes load clips."""

import dataclasses

import pytest
import torch

from elo_cli.core.settings import MachineSettings
from elo_cli.engine import setup
from tests.support.shards import PLAIN


@pytest.mark.parametrize(
    ("device", "processors", "workers"),
    [("cpu", 2, 0), ("cpu", 4, 0), ("cpu", 6, 3), ("cpu", 64, 8), ("meta", 1, 1), ("meta", 2, 1), ("meta", 64, 8)],
)
def test_loading_takes_nothing_from_training(device: str, processors: int, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "processors", lambda: processors)
    precision = dataclasses.replace(PLAIN, device=torch.device(device))
    assert setup.loader_workers(MachineSettings(), precision) == workers  # type: ignore[call-arg]
    assert setup.loader_workers(MachineSettings(loader_workers=5), precision) == 5  # type: ignore[call-arg]
