"""Memory for time: what happens inside of a residual block is computed again when its gradient is wanted."""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from elo_cli.core.errors import UsageError

_STAGES = ("layer1", "layer2", "layer3", "layer4")


def recompute(encoder: nn.Module, name: str) -> None:
    """Let an encoder keep no more than what goes into its stem and its blocks (Chen et al. 2016).

    The numbers are the same. Running statistics are not updated a second time.

    Args:
        encoder: has children `stem` and `layer1` to `layer4`, as those of elo have.
        name: its modality, for the message.

    Raises:
        UsageError: it is built otherwise.
    """
    children = dict(encoder.named_children())
    if not {"stem", *_STAGES} <= set(children):
        raise UsageError(
            f"recompute: the encoder of {name} has no stem and layer1 to layer4 that could be computed again.",
            hint="Set recompute=false, or choose an encoder of elo.",
        )
    for block in (children["stem"], *(block for stage in _STAGES for block in children[stage].children())):
        block.forward = functools.partial(_run, block, block.forward)


def _run(block: nn.Module, forward: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return forward(features)
    found: Tensor = checkpoint(forward, features, use_reentrant=False, context_fn=functools.partial(_contexts, block))
    return found


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    return nullcontext(), _kept(block)


@contextmanager
def _kept(block: nn.Module) -> Iterator[None]:
    """Leave the running statistics within a block as they are."""
    buffers = [buffer for part in block.modules() if isinstance(part, _BatchNorm) for buffer in part.buffers()]
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
