"""The learning rate as a function of the step, and the optimiser's state as tensors."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from elo_cli.core.train_settings import TrainSettings
from elo_cli.engine.optim import learning_rate, load_optimizer, make_optimizer, optimizer_tensors, peak_rate


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


@pytest.mark.parametrize(("scaling", "factor"), [("none", 1), ("linear", 4), ("sqrt", 2)])
def test_the_rate_follows_the_batch(scaling: str, factor: float) -> None:
    settings = TrainSettings(steps=10, warmup=0.2, lr=0.1, batch=1024, lr_batch=256, lr_scaling=scaling)
    assert peak_rate(settings) == pytest.approx(0.1 * factor)
    assert learning_rate(0, settings) == pytest.approx(0.05 * factor)
    assert learning_rate(1, settings) == learning_rate(2, settings) == pytest.approx(0.1 * factor)


def network() -> nn.Module:
    torch.manual_seed(0)
    convolution = nn.Conv3d(2, 3, 3, padding=1, bias=False)
    layers = nn.Sequential(convolution, nn.BatchNorm3d(3), nn.AvgPool3d(4), nn.Flatten(), nn.Linear(3, 2))
    return layers.to(memory_format=torch.channels_last_3d)


def step(module: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    optimizer.zero_grad()
    module(torch.randn(4, 2, 4, 4, 4)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize(("kind", "momentum"), [("sgd", 0.0), ("sgd", 0.9), ("adamw", 0.9), ("lars", 0.9)])
def test_round_trip_of_its_state(kind: str, momentum: float) -> None:
    settings = TrainSettings(optimizer=kind, momentum=momentum, lr=0.01)
    first = network()
    optimizer = make_optimizer(first, settings)
    assert optimizer_tensors(first, optimizer) == {}
    step(first, optimizer, 1)
    # As a file would hold them: in C order.
    saved = {name: value.clone().contiguous() for name, value in optimizer_tensors(first, optimizer).items()}
    whats = {"adamw": {"exp_avg", "exp_avg_sq", "step"}}.get(kind, {"momentum_buffer"} if momentum else set())
    assert set(saved) == {f"{name}:{what}" for name, _ in first.named_parameters() for what in whats}
    second = network()
    second.load_state_dict(first.state_dict())
    other = make_optimizer(second, settings)
    load_optimizer(second, other, saved)
    step(first, optimizer, 2)
    step(second, other, 2)
    for state in optimizer.state, other.state:  # fused kernels walk through memory
        for parameter, entries in state.items():
            assert all(value.stride() == parameter.stride() for value in entries.values() if value.shape == parameter.shape)
    for one, two in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, two)


def test_biases_and_norms_are_not_decayed() -> None:
    module = network()
    decayed, plain = make_optimizer(module, TrainSettings(weight_decay=0.5)).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(3, 2, 3, 3, 3), (2, 3)] and decayed["weight_decay"] == 0.5
    assert all(p.dim() == 1 for p in plain["params"]) and len(plain["params"]) == 3 and plain["weight_decay"] == 0


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_fused_steps_are_those_of_plain_loops(kind: str) -> None:
    settings = TrainSettings(optimizer=kind, lr=0.01, weight_decay=0.1)
    first, second = network(), network()
    fused, plain = make_optimizer(first, settings), make_optimizer(second, settings)
    for group in plain.param_groups:
        group["fused"], group["foreach"] = False, False
    plain.defaults |= {"fused": False, "foreach": False}
    for seed in range(3):
        step(first, fused, seed)
        step(second, plain, seed)
    for one, two in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)
