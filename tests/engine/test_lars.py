"""LARS beside its formula in NumPy."""

import numpy as np
import pytest
import torch
from torch import nn

from elo_cli.core.train_settings import TrainSettings
from elo_cli.engine.lars import Lars
from elo_cli.engine.optim import make_optimizer


def test_steps_are_those_of_the_formula() -> None:
    random = np.random.default_rng(0)
    layers = [random.normal(size=shape).astype(np.float32) for shape in ((3, 2), (4, 3), (2, 2))]
    layers[2][:] = 0  # a layer without size takes the plain rate
    weights = [nn.Parameter(torch.from_numpy(layer.copy())) for layer in layers]
    optimizer = Lars([{"params": weights, "weight_decay": 0.1}], lr=0.0, momentum=0.9, trust=0.01)
    moving = [np.zeros_like(layer) for layer in layers]
    for lr in (0.5, 0.3, 0.2):
        gradients = [random.normal(size=layer.shape).astype(np.float32) for layer in layers]
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = torch.from_numpy(gradient.copy())
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        for layer, gradient, velocity in zip(layers, gradients, moving, strict=True):
            size, pull = np.linalg.norm(layer), np.linalg.norm(gradient)
            rate = 0.01 * size / (pull + 0.1 * size) if size > 0 else 1.0
            velocity[:] = 0.9 * velocity + lr * rate * (gradient + 0.1 * layer)
            layer -= velocity
        for weight, layer in zip(weights, layers, strict=True):
            np.testing.assert_allclose(weight.detach().numpy(), layer, rtol=1e-5, atol=1e-6)


def test_biases_take_the_steps_of_sgd() -> None:
    torch.manual_seed(0)
    pairs = []
    for kind in ("lars", "sgd"):
        torch.manual_seed(1)
        layer = nn.Linear(3, 2)
        optimizer = make_optimizer(layer, TrainSettings(optimizer=kind, lr=0.1, trust=0.5))
        layer(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()
        pairs.append(layer)
    torch.testing.assert_close(pairs[0].bias, pairs[1].bias)
    assert not torch.allclose(pairs[0].weight, pairs[1].weight)


@pytest.mark.parametrize("gradient", [None, 0.0])
def test_what_has_no_gradient_stays(gradient: float | None) -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    weight.grad = None if gradient is None else torch.full((2, 2), gradient)
    Lars([{"params": [weight]}], lr=0.1, momentum=0.9, trust=0.1).step()
    assert torch.equal(weight.detach(), torch.ones(2, 2))
