"""LARS: layers take steps in proportion to the size of their own weights (You, Gitman, Ginsburg 2017).

It keeps very large batches stable, where a layer's gradient may be large beside its weights.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Lars(Optimizer):
    """SGD with momentum whose rate differs by layer: with γ the learning rate, η the trust, β the decay,

        r = η ‖w‖ / (‖∇L‖ + β ‖w‖);    v ← m v + γ r (∇L + β w);    w ← w − v

    r is 1 where either norm is 0, and in groups whose trust is None.

    Args:
        groups: of parameters, each with its `weight_decay` and maybe a `trust` of its own.
        lr: γ.
        momentum: m.
        trust: η.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, lr: float, momentum: float, trust: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "trust": trust, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step."""
        assert closure is None
        for group in self.param_groups:
            weights: list[Tensor] = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            gradients: list[Tensor] = [weight.grad for weight in weights if weight.grad is not None]
            decay, rates = group["weight_decay"], torch.ones(len(weights), device=weights[0].device)
            if group["trust"] is not None:
                size_W, pull_W = (torch.stack(torch._foreach_norm(each)) for each in (weights, gradients))
                found_W = group["trust"] * size_W / (pull_W + decay * size_W)
                rates = torch.where((size_W > 0) & (pull_W > 0), found_W, rates)
            updates = torch._foreach_add(gradients, weights, alpha=decay)
            torch._foreach_mul_(updates, list((group["lr"] * rates).unbind()))
            states = [self.state[weight].setdefault("momentum_buffer", torch.zeros_like(weight)) for weight in weights]
            torch._foreach_mul_(states, group["momentum"])
            torch._foreach_add_(states, updates)
            torch._foreach_sub_(weights, states)
