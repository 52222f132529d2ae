"""Processes that train one network together; the only file that touches `torch.distributed`.

Each process, a rank, has an equal part of every batch: rank r of W has rows r·B to (r+1)·B of what one process would
have. Where there is one process only, everything here gives back what it was given.

A loss over ranks is the mean of what the ranks compute; so is a gradient. What a rank computes may depend on rows of
others: `everyone` and `total` carry the gradient back to where the rows came from. A plain collective would not, and
the loss would be right and the gradient too small.
"""

import datetime
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.distributed as c10d
from torch import Tensor

from elo_cli.core.errors import AbandonedError, MachineError
from elo_cli.core.rank import Rank

PATIENCE = datetime.timedelta(minutes=30)  # rank 0 may be writing a large checkpoint
_LOOK_S = 0.2
_BUCKET = 2**23  # numbers of gradients that travel together


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Be one of the ranks that a launcher has announced, inside a `with` block; alone where none has.

    Inside another such block it changes nothing.

    Args:
        device: where this rank computes; CUDA talks by NCCL, processors by gloo.

    Raises:
        MachineError: the others cannot be reached.
    """
    told = Rank.announced()
    if told.world == 1 or _together():
        yield
        return
    try:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        c10d.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:  # DistError is a RuntimeError
        place = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise MachineError(
            f"Rank {told.number} of {told.world} cannot meet the others at {place}: {error}",
            hint="Start it with torchrun, or with --processes or --gpus; or unset RANK and WORLD_SIZE.",
        ) from error
    try:
        yield
        agreed(False, device)  # whom the others may still ask something is not gone before they know
    finally:
        c10d.destroy_process_group()


def _together() -> bool:
    return c10d.is_available() and c10d.is_initialized()


def rank() -> int:
    """The number of this process, from 0."""
    return c10d.get_rank() if _together() else 0


def world() -> int:
    """How many processes train together, W."""
    return c10d.get_world_size() if _together() else 1


def on_gpus() -> bool:
    """Say whether the ranks compute on CUDA."""
    return _together() and c10d.get_backend() == "nccl"


def total(tensor: Tensor) -> Tensor:
    """Return the sum over ranks; its gradient is the sum of the ranks' gradients."""
    return cast(Tensor, _Total.apply(tensor)) if world() > 1 else tensor


def mean(tensor: Tensor) -> Tensor:
    """Return the mean over ranks."""
    return total(tensor) / world()


def everyone(rows: Tensor) -> Tensor:
    """Return the rows of all ranks, (W·B, …), in their order; the gradient of a row is the sum of the ranks' gradients.

    Every rank must give as many rows.
    """
    return cast(Tensor, _Everyone.apply(rows)) if world() > 1 else rows


def own(rows: Any, size: int) -> Any:
    """Return the part of what all ranks have, one after the other, that is this rank's: B rows."""
    return rows[rank() * size : (rank() + 1) * size]


def first(tensor: Tensor) -> Tensor:
    """Return the tensor of rank 0."""
    if world() > 1:
        tensor = tensor.contiguous().clone()
        with _talking():
            c10d.broadcast(tensor, 0)
    return tensor


def first_text(text: str, device: torch.device) -> str:
    """Return the text of rank 0; nobody goes on before rank 0 has come here."""
    if world() == 1:
        return text
    content = torch.tensor(list(text.encode()), dtype=torch.uint8, device=device)
    length = int(first(torch.tensor(len(content), device=device)))
    content = first(content if rank() == 0 else torch.zeros(length, dtype=torch.uint8, device=device))
    return bytes(content.tolist()).decode()


def after_first(what: str) -> None:
    """Go on once rank 0 has come here too, however long that takes; it has done `what`, which no other call names.

    Raises:
        AbandonedError: rank 0 is gone.
    """
    if world() > 1:
        store = c10d.distributed_c10d._get_default_store()
        with _talking():
            if rank() == 0:
                store.set(f"elo/{what}", "done")
            while not store.check([f"elo/{what}"]):
                time.sleep(_LOOK_S)


def agreed(flag: bool, device: torch.device) -> bool:
    """Say whether any rank says so."""
    return bool(total(torch.tensor(float(flag), device=device))) if world() > 1 else flag


@torch.no_grad()
def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over ranks; one that no rank has stays absent, and 0 counts where some have it."""
    if world() == 1:
        return
    every = list(parameters)
    there = total(torch.tensor([float(each.grad is not None) for each in every], device=every[0].device)).tolist()
    bucket: list[Tensor] = []
    size = 0
    for each in (each for each, ranks in zip(every, there, strict=True) if ranks):
        bucket.append(each)
        size += each.numel()
        if size >= _BUCKET:
            _average(bucket)
            bucket, size = [], 0
    if bucket:
        _average(bucket)


def _average(bucket: Sequence[Tensor]) -> None:
    flat = torch.cat([(torch.zeros_like(each) if each.grad is None else each.grad).flatten() for each in bucket])
    flat = mean(flat)
    for each, part in zip(bucket, torch.split(flat, [each.numel() for each in bucket]), strict=True):
        each.grad = torch.zeros_like(each) if each.grad is None else each.grad
        each.grad.copy_(part.view(each.shape))  # into the layout that it had


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        return _summed(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


class _Everyone(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        sent = (rows.byte() if rows.dtype == torch.bool else rows).contiguous()  # gloo has no bool
        parts = [torch.empty_like(sent) for _ in range(world())]
        with _talking():
            c10d.all_gather(parts, sent)
        ctx.size = len(rows)
        return torch.cat(parts).to(rows.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return cast(Tensor, own(_summed(gradient), ctx.size))


def _summed(tensor: Tensor) -> Tensor:
    tensor = tensor.contiguous().clone()
    with _talking():
        c10d.all_reduce(tensor)
    return tensor


@contextmanager
def _talking() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise AbandonedError(
            f"Rank {rank()} of {world()} has lost the others: {' '.join(str(error).split())[:200]}.",
            hint="Another process has ended, and may have said why. What was saved is safe: the same command goes on.",
        ) from error
