"""Optical flow by RAFT (Teed and Deng 2020), torchvision's, from a local file of weights; meant for a GPU.

Shape legend: T frames, H rows, W columns. torch is imported only when a method is made or a file checked, so
that workers without RAFT stay small.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elo_cli.core.errors import MachineError, UsageError
from elo_cli.nets.state_files import read_state
from elo_cli.prepare.flow import check_frames

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SMALLEST = 128  # RAFT halves its features, an eighth of the picture, four times
CELL = 8  # and sides must be multiples of this
UPDATES = 12  # times that the flow is refined: torchvision's default
# Pairs that run at once on a GPU. Always so many, or the last bits of a flow would depend on its neighbours.
BATCH = 16
CORRELATION_BYTES = 2**30  # all pairs of cells of two pictures are compared, and the table kept
URLS = {
    "raft_large": "https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth",
    "raft_small": "https://download.pytorch.org/models/raft_small_C_T_V2-01064c6d.pth",
}
_HINT = (
    f"Download torchvision's weights, {URLS['raft_large']} (21 MB) or, four times smaller and less exact,"
    f" {URLS['raft_small']}, and name the file with preprocess.flow_weights."
)


def check_weights(path: Path) -> str:
    """Make sure that a file holds RAFT's weights and say which: "raft_large" or "raft_small".

    Takes about two seconds, nearly all of them for importing torch.

    Raises:
        UsageError: there is no such file, it cannot be read as tensors alone, or they are not those of RAFT.
    """
    state = read_state(path, hint=_HINT).tensors
    return _fitting(state, path)[0]


class Raft:
    """RAFT as a `FlowMethod`: frames in, forward and backward flow out.

    Args:
        weights: a state dict of torchvision's raft_small or raft_large, .pth or .safetensors; its keys tell which.
        device: cpu, cuda, cuda:N, or auto for cuda where there is one.

    Raises:
        UsageError: as `check_weights`, or an unknown device.
        MachineError: the device is not there.
    """

    def __init__(self, weights: Path, device: str = "auto") -> None:
        self._device = _device(device)
        state = read_state(weights, hint=_HINT).tensors
        self.architecture, model = _fitting(state, weights)
        model.load_state_dict(state, assign=True)
        self._model = model.to(self._device).float().eval().requires_grad_(False)

    def __call__(self, rgb_THWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Estimate the flow between neighbouring frames: (T, H, W, 3) uint8 → two of (T-1, H, W, 2) float32 in pixels.

        Pictures with a side under 128 pixels are enlarged first, and their flow is shrunk again.

        Raises:
            ValueError: the frames are not of that shape and type.
            MachineError: the GPU's memory does not suffice.
        """
        import torch

        check_frames(rgb_THWC)
        frames, height, width = rgb_THWC.shape[:3]
        flows = np.zeros((2, max(frames - 1, 0), height, width, 2), np.float32)
        batch = self._batch(height, width)
        same = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
        with _one_thread(), torch.inference_mode(), same:
            for start in range(0, frames - 1, batch):
                pairs = np.minimum(np.arange(start, start + batch), frames - 2)  # the last batch repeats its last pair
                kept = min(batch, frames - 1 - start)
                first, second = self._prepare(rgb_THWC[pairs]), self._prepare(rgb_THWC[pairs + 1])
                for way, flow in enumerate((self._flow(first, second, height, width), self._flow(second, first, height, width))):
                    flows[way, start : start + kept] = flow[:kept]
        return flows[0], flows[1]

    def _batch(self, height: int, width: int) -> int:
        """Say how many pairs run at once; it depends on the size alone."""
        if self._device.type == "cpu":
            return 1
        rows, columns = (-(-side // CELL) for side in _working_size(height, width))
        return max(1, min(BATCH, CORRELATION_BYTES // (4 * (rows * columns) ** 2)))

    def _prepare(self, rgb_BHWC: np.ndarray) -> "Tensor":
        """Turn frames uint8 into (B, 3, rows, columns) float32 in [-1, 1] of a size that RAFT takes."""
        import torch
        from torch.nn import functional

        pictures = torch.from_numpy(np.ascontiguousarray(rgb_BHWC)).to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        height, width = pictures.shape[2:]
        size = _working_size(height, width)
        if size != (height, width):
            pictures = functional.interpolate(pictures, size, mode="bilinear", align_corners=False)
        return functional.pad(pictures, (0, -size[1] % CELL, 0, -size[0] % CELL), mode="replicate")

    def _flow(self, first: "Tensor", second: "Tensor", height: int, width: int) -> np.ndarray:
        """Run the network and undo what `_prepare` did to the size: (B, H, W, 2) float32."""
        import torch
        from torch.nn import functional

        size = _working_size(height, width)
        try:
            flow = self._model(first, second, num_flow_updates=UPDATES)[-1][:, :, : size[0], : size[1]]
        except torch.cuda.OutOfMemoryError as error:
            raise MachineError(
                f"RAFT does not fit into the memory of {self._device} at {height}x{width}: {error}",
                hint="Lower preprocess.workers, which share the GPU, or preprocess.short_side; or use flow dis-medium.",
            ) from error
        if size != (height, width):
            flow = functional.interpolate(flow, (height, width), mode="bilinear", align_corners=False)
            flow = flow * torch.tensor([width / size[1], height / size[0]], device=flow.device)[:, None, None]
        moved: np.ndarray = flow.permute(0, 2, 3, 1).float().cpu().numpy()
        return moved


def _working_size(height: int, width: int) -> tuple[int, int]:
    """Enlarge a size, if need be, so that no side is under `SMALLEST`."""
    factor = max(1.0, SMALLEST / min(height, width))
    return max(SMALLEST, round(height * factor)), max(SMALLEST, round(width * factor))


def _device(name: str) -> "torch.device":
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"There is no device {name!r}.", hint="It is one of auto, cpu, cuda and cuda:N.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MachineError(f"There is no {name} on this machine.", hint="Use the device auto or cpu.")
    return device


def _fitting(state: "dict[str, Tensor]", path: Path) -> tuple[str, Any]:
    """Name the architecture that a state dict is of, and make it, without memory for its weights."""
    import torch
    from torchvision.models import optical_flow

    architecture = "raft_large" if any(name.startswith("mask_predictor.") for name in state) else "raft_small"
    with torch.device("meta"):
        model = getattr(optical_flow, architecture)(weights=None)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if found != wanted:
        wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        raise UsageError(
            f"{str(path)!r} does not hold the weights of torchvision's {architecture}:"
            f" {len(wrong)} tensors are missing, unknown or of another shape, {wrong[0]!r} first.",
            hint=_HINT,
        )
    return architecture, model


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread of the processor: worker processes share the cores already."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
