"""The learning rate as a function of the step, and the optimiser's state as tensors."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from elo_cli.core.settings import TrainSettings
from elo_cli.engine.optim import learning_rate, load_optimizer, make_optimizer, optimizer_tensors


def test_the_schedule_exactly() -> None:
    settings = TrainSettings(steps=10, lr=0.4, warmup=0.2)
    cosine = [0.2 * (1 + math.cos(math.pi * done / 8)) for done in range(8)]
    assert [learning_rate(step, settings) for step in range(10)] == pytest.approx([0.2, 0.4, *cosine])


@given(st.integers(1, 400), st.floats(0, 1), st.floats(1e-4, 10))
def test_the_schedule_rises_and_falls_within_its_peak(steps: int, warmup: float, lr: float) -> None:
    settings = TrainSettings(steps=steps, warmup=warmup, lr=lr)
    rates = [learning_rate(step, settings) for step in range(steps)]
    assert all(0 < rate <= lr * (1 + 1e-12) for rate in rates)
    assert max(rates) == pytest.approx(lr)
    peak = max(0, round(warmup * steps) - 1)
    changes = np.diff(rates)
    assert (changes[:peak] > 0).all() and (changes[peak:] <= lr * 1e-12).all()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(2, 3, 1), nn.BatchNorm3d(3), nn.Flatten(), nn.Linear(3, 2))


def step(module: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    optimizer.zero_grad()
    module(torch.randn(4, 2, 1, 1, 1)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_round_trip_of_its_state(momentum: float) -> None:
    settings = TrainSettings(momentum=momentum, lr=0.01)
    first = network()
    optimizer = make_optimizer(first, settings)
    assert optimizer_tensors(first, optimizer) == {}
    step(first, optimizer, 1)
    saved = {name: value.clone() for name, value in optimizer_tensors(first, optimizer).items()}
    assert set(saved) == ({f"{name}:momentum_buffer" for name, _ in first.named_parameters()} if momentum else set())
    second = network()
    second.load_state_dict(first.state_dict())
    other = make_optimizer(second, settings)
    load_optimizer(second, other, saved)
    step(first, optimizer, 2)
    step(second, other, 2)
    for one, two in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, two)


def test_biases_and_norms_are_not_decayed() -> None:
    module = network()
    decayed, plain = make_optimizer(module, TrainSettings(weight_decay=0.5)).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(3, 2, 1, 1, 1), (2, 3)] and decayed["weight_decay"] == 0.5
    assert all(p.dim() == 1 for p in plain["params"]) and len(plain["params"]) == 4 and plain["weight_decay"] == 0
