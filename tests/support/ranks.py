"""Run a function in several processes that train together, as a launcher would start them."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from elo_cli.cli.launching import free_port
from elo_cli.core.rank import Rank


def announcement(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun tells a process."""
    return Rank(rank, world, rank, world).told() | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def together(world: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Call a function of a module in so many ranks, joined by gloo; return what each gives."""
    port, context = free_port(), multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(world, mp_context=context) as pool:
        futures = [pool.submit(_joined, announcement(rank, world, port), function, arguments) for rank in range(world)]
        return [future.result(timeout=240) for future in futures]


def _joined(told: dict[str, str], function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    from elo_cli import dist

    os.environ |= told
    torch.set_num_threads(1)
    with dist.joined(torch.device("cpu")):
        return function(*arguments)
