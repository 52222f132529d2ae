"""The optimisers, with warm-up and cosine decay; the learning rate is a function of the step alone.

PyTorch's fused kernels walk through memory: parameter, gradient and state must be laid out alike, or the step is silently
wrong (torch 2.15 on processors). Gradients are laid out as their parameters by autograd, states by `load_optimizer`.
"""

import math

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from elo_cli.core.train_settings import TrainSettings
from elo_cli.engine.lars import Lars


def make_optimizer(module: nn.Module, settings: TrainSettings) -> Optimizer:
    """Make SGD with momentum, AdamW (Loshchilov & Hutter 2019) or LARS (You et al. 2017); biases and norms are not decayed."""
    decayed = [p for p in module.parameters() if p.requires_grad and p.dim() > 1]
    plain = [p for p in module.parameters() if p.requires_grad and p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    peak = peak_rate(settings)
    if settings.optimizer == "adamw":
        return AdamW(groups, lr=peak, betas=(settings.momentum, 0.999), fused=True)
    if settings.optimizer == "lars":
        groups[1]["trust"] = None  # they take steps of plain SGD, as everywhere since SimCLR
        return Lars(groups, lr=peak, momentum=settings.momentum, trust=settings.trust)
    return SGD(groups, lr=peak, momentum=settings.momentum, fused=True)


def peak_rate(settings: TrainSettings) -> float:
    """Return the learning rate after the warm-up, scaled by the batch where the settings say so."""
    power = {"none": 0.0, "linear": 1.0, "sqrt": 0.5}[settings.lr_scaling]
    return float(settings.lr * (settings.batch / settings.lr_batch) ** power)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Return lr(step): rises linearly over the warm-up, then falls as half a cosine to 0."""
    warmup, peak = round(settings.warmup * settings.steps), peak_rate(settings)
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, settings.steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def optimizer_tensors(module: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as named tensors: `<parameter>:<what>`."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    state = {}
    for parameter, entries in optimizer.state.items():
        for what, value in entries.items():
            if isinstance(value, Tensor):
                state[f"{names[parameter]}:{what}"] = value
    return state


def load_optimizer(module: nn.Module, optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned."""
    parameters = dict(module.named_parameters())
    for key, value in tensors.items():
        name, what = key.rsplit(":", 1)
        parameter = parameters[name]
        like = parameter if value.shape == parameter.shape else value
        optimizer.state[parameter][what] = torch.empty_like(like, device=parameter.device).copy_(value)
