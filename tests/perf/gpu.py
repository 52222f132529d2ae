"""Measure training steps on a GPU: `python -m tests.perf.gpu`; without one it says so and measures nothing.

R(2+1)D-18 on 16×112² clips and R(2+1)D-50 on 32×224², forward, backward and optimiser of `rgb.reverse` (two views of a clip
go through the encoder): views a second, the share of the card's own bfloat16 matrix rate that they are, and memory, by
batch, with and without torch.compile and recomputed activations; and the plain loop with torchvision's r2plus1d_18.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from elo_cli.config import resolve
from elo_cli.core.train_settings import EncoderSettings
from elo_cli.engine.objective import stage_shapes
from tests.perf.alive import videos_of
from tests.perf.engine import tell

NETWORKS = ((18, 16, 112), (50, 32, 224))  # depth, frames, size
BATCHES = (8, 16, 32, 64, 128)
WAYS: dict[str, list[str]] = {
    "eager": [],
    "compiled": ["machine.compile=true"],
    "recomputed": ["pretrain.recompute=true"],
    "float32, TF32": ["machine.precision=float32"],
}
SIDE, PRODUCTS = 8192, 50


def matrix_rate() -> float:
    """Measure how many bfloat16 operations a second the card does in products of large matrices."""
    one, other = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        one @ other
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(PRODUCTS):
        one @ other
    torch.cuda.synchronize()
    return 2 * SIDE**3 * PRODUCTS / (time.perf_counter() - begun)


def operations(depth: int, frames: int, size: int) -> float:
    """Count the operations of a view, forward and backward."""
    encoder = EncoderSettings.model_validate({"depth": depth, "width": 64})
    with FlopCounterMode(display=False) as counter:
        stage_shapes("rgb", encoder, (3, frames, size, size))
    return 3.0 * counter.get_total_flops()


def show(cells: tuple[object, ...]) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def measure(given: argparse.Namespace, data: Path, network: tuple[int, int, int], rate: float) -> None:
    """Print the table of one network."""
    depth, frames, size = network
    each = operations(*network)
    print(f"\n### R(2+1)D-{depth}, {frames}×{size}²: {each / 1e9:.0f} GFLOP a view, forward and backward\n")
    show(("way", "clips", "views a second", "of the card's bf16 rate", "GiB"))
    show(("---",) * 5)
    ways = {**WAYS, "plain loop, float32": None} if depth == 18 else WAYS
    for name, assign in ways.items():
        for clips in given.batches:
            wanted = ("--clip", str(frames), str(size), "--clips", str(clips), "--depth", str(depth))
            try:
                told: dict[str, Any] = tell(
                    given, "plain" if assign is None else "ours", data, *wanted, assign=tuple(assign or ())
                )
            except RuntimeError:
                show((name, clips, "failed", "", ""))  # most likely for want of memory: it has told on stderr
                break
            views = 2 * clips / told["seconds"]
            show((name, clips, f"{views:.1f}", f"{100 * views * each / rate:.0f}%", f"{told['card_mib'] / 1024:.1f}"))


def main() -> None:
    """Measure and print tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.perf.gpu", description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "elo-perf", metavar="DIR",
                        help="where made videos are kept (default %(default)s)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="one batch, two steps: to see that it works")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="steps that count (default %(default)s)")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, metavar="N", help="clips of a step")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no GPU that PyTorch can use: nothing is measured.")
        return
    given.preset = "small"
    if given.quick:
        given.steps, given.batches = 2, BATCHES[:1]
    data = videos_of((given.cache / "training-small").absolute(), resolve("small", None, [], 0))[0].root
    rate = matrix_rate()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {rate / 1e12:.0f} TFLOP/s in bfloat16 products of {SIDE}²")
    for network in NETWORKS:
        measure(given, data, network, rate)


if __name__ == "__main__":
    sys.exit(main())
