"""Choose device, number format, memory layout and threads by what the machine has."""

import ctypes
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elo_cli.core.errors import MachineError
from elo_cli.core.rank import Rank
from elo_cli.core.settings import MachineSettings
from elo_cli.run.environment import compiler, processors

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h


@dataclass(frozen=True)
class Precision:
    """How networks are computed on this machine.

    Attributes:
        device: where.
        bf16: whether convolutions run in bfloat16 (autocast; parameters stay float32).
        channels_last: whether tensors are laid out with their channels last.
        threads: processor threads.
        compiled: whether torch.compile makes the encoders' code.
    """

    device: torch.device
    bf16: bool
    channels_last: bool
    threads: int
    compiled: bool = False

    @classmethod
    def choose(cls, settings: MachineSettings) -> "Precision":
        """Fill in every `auto`. Of the processes of one machine that train together each has a GPU of its own, or its part
        of the processors.

        Raises:
            MachineError: the device asked for is not there.
        """
        rank = Rank.announced()
        name = settings.device if settings.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
        if name == "cuda" and rank.world > 1:
            name = f"cuda:{rank.local}"
        try:
            device = torch.device(name)
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:
            raise MachineError(f"The device '{name}' cannot be used: {error}", hint="Use --set machine.device=cpu.") from error
        fast = _has_bf16(device)
        bf16 = fast if settings.precision == "auto" else settings.precision == "bf16"
        last = fast if settings.layout == "auto" else settings.layout == "channels_last"
        threads = max(1, processors() // rank.neighbours) if settings.threads == "auto" else settings.threads
        torch.set_num_threads(threads)
        if device.type == "cpu":
            _keep_freed_memory()
        else:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = settings.tf32
            torch.backends.cudnn.benchmark = True  # shapes are the same at every step
        return cls(device, bf16, last, threads, settings.compile)

    def describe(self) -> dict[str, str]:
        """What must be the same when a run goes on; threads are recorded as part of the environment."""
        layout = "channels_last" if self.channels_last else "contiguous"
        described = {"device": self.device.type, "precision": "bf16" if self.bf16 else "float32", "layout": layout}
        return described | ({"code": "compiled"} if self.compiled else {})

    def autocast(self) -> AbstractContextManager[object]:
        """The context that networks run in."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def place(self, module: nn.Module) -> nn.Module:
        """Move a network to the device and lay its weights out."""
        module = module.to(self.device)
        if self.bf16 and self.device.type == "cpu":
            for part in module.modules():
                if type(part) in _SAFE:
                    part.__class__ = _SAFE[type(part)]
        if self.channels_last:
            for part in module.modules():
                if isinstance(part, nn.Conv3d):
                    part.to(memory_format=torch.channels_last_3d)
                elif isinstance(part, nn.Conv2d) and self.device.type != "cpu":
                    # On processors, oneDNN's strided 1×1 convolution with channels last damages the
                    # heap in its gradient (torch 2.15, float32 and bf16 alike).
                    part.to(memory_format=torch.channels_last)
        return module

    def compile(self, module: nn.Module) -> None:
        """Let torch.compile make a network's code, where that is asked for; its state keeps its names.

        Raises:
            MachineError: there is no compiler.
        """
        if not self.compiled:
            return
        if self.device.type == "cpu" and compiler() is None:
            raise MachineError(
                "machine.compile needs a C++ compiler, and there is none on the path.",
                hint="Install one (Debian: apt install g++), or set machine.compile=false.",
            )
        module.compile()

    def send(self, tensor: Tensor) -> Tensor:
        """Move a clip (B,C,T,H,W) or spectrogram (B,C,F,T) to the device, laid out for the networks."""
        tensor = tensor.to(self.device, non_blocking=True)
        if not self.channels_last:
            return tensor
        if tensor.dim() == 5:
            return tensor.contiguous(memory_format=torch.channels_last_3d)
        pictures = tensor.dim() == 4 and self.device.type != "cpu"
        return tensor.contiguous(memory_format=torch.channels_last) if pictures else tensor


def _bf16_is_wrong(side: int, kernel: int, stride: int) -> bool:
    """Say whether oneDNN's bfloat16 convolution cannot be trusted along a side of the input.

    Measured with torch 2.15 on AVX512-BF16: where a side is shorter than the kernel (two frames
    under a kernel of three), the gradient of the weights is read from memory that nobody wrote, and
    the heap may be damaged; where a side of the output is 1 and its stride is greater, results are
    wrong (also PyTorch's pull request 188426). Such layers are tiny: float32 costs them little.
    """
    return side < kernel or (stride > 1 and side <= stride)


class _SafeConv2d(nn.Conv2d):
    """A convolution that leaves bfloat16 where `_bf16_is_wrong`."""

    def forward(self, input: Tensor) -> Tensor:
        if any(map(_bf16_is_wrong, input.shape[2:], self.kernel_size, self.stride)):
            with torch.autocast("cpu", enabled=False):
                return super().forward(input.float())
        return super().forward(input)


class _SafeConv3d(nn.Conv3d):
    """The same over time as well."""

    def forward(self, input: Tensor) -> Tensor:
        if any(map(_bf16_is_wrong, input.shape[2:], self.kernel_size, self.stride)):
            with torch.autocast("cpu", enabled=False):
                return super().forward(input.float())
        return super().forward(input)


_SAFE: dict[type[nn.Module], type[nn.Module]] = {nn.Conv2d: _SafeConv2d, nn.Conv3d: _SafeConv3d}


def _keep_freed_memory() -> None:
    """Tell glibc to use freed memory again instead of giving it back to the system after every tensor.

    A step frees and asks for gigabytes; each page of them would be cleared anew (docs/speed.md has what
    that costs). Where the C library has no `mallopt`, all stays as it is.
    """
    with suppress(AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_MMAP_MAX, 0)
        allocator.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Without these instructions bfloat16 is emulated and slower than float32.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
