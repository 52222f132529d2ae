"""The optimisers, with warm-up and cosine decay; the learning rate is a function of the step alone."""

import math

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from elo_cli.core.settings import TrainSettings


def make_optimizer(module: nn.Module, settings: TrainSettings) -> Optimizer:
    """Make SGD with momentum, or AdamW (Loshchilov & Hutter 2019); biases and norms are not decayed."""
    decayed = [p for p in module.parameters() if p.requires_grad and p.dim() > 1]
    plain = [p for p in module.parameters() if p.requires_grad and p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if settings.optimizer == "adamw":
        return AdamW(groups, lr=settings.lr, betas=(settings.momentum, 0.999))
    return SGD(groups, lr=settings.lr, momentum=settings.momentum)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Return lr(step): rises linearly over the warm-up, then falls as half a cosine to 0."""
    warmup = round(settings.warmup * settings.steps)
    if step < warmup:
        return settings.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, settings.steps - warmup)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * done))


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
        optimizer.state[parameter][what] = value.to(parameter.device).clone()
