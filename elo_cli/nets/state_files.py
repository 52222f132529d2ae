"""The weights of a network from a file of somebody else's: tensors by their names, and nothing that the file could run.

torch is imported only when a file is read, so that worker processes stay small.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elo_cli.core.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

SAFETENSORS = ".safetensors"
LARGEST = 4 * 2**30  # bytes of a file, and of what it unpacks to: ten times the largest network of torchvision
MOST_TENSORS = 10_000  # a ResNet of 152 layers has a thousand
MOST_RECORDS = 4 * MOST_TENSORS  # an optimiser keeps up to three tensors more for each of a network
LARGEST_STRUCTURE = 16 * 2**20  # bytes that say which tensors there are: some 200 for each


@dataclass(frozen=True)
class StateFile:
    """What a file of weights holds.

    Attributes:
        tensors: by their names, on the CPU, detached.
        notes: the texts in the header of a safetensors file; empty of a .pth.
        sha256: of the bytes of the file.
    """

    tensors: "dict[str, Tensor]"
    notes: dict[str, str]
    sha256: str


def read_state(path: Path, *, hint: str, nested: bool = False) -> StateFile:
    """Read a state dict: safetensors if the name ends so, else what `torch.save` writes; nothing in it is executed.

    Args:
        path: the file.
        hint: how to mend what is wrong with it; goes into every error.
        nested: whether the state dict may be one entry of a checkpoint, if no other entry looks like one.

    Raises:
        UsageError: there is no such file; it is too large, damaged, holds other things than tensors, or has several
            state dicts.
    """
    if not path.is_file():
        raise UsageError(f"There is no file of weights at {str(path)!r}.", hint=hint)
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ValueError(f"it has {size:,} bytes, and at most {LARGEST:,} are read")
        content = path.read_bytes()
        state, notes = _safetensors(content) if path.suffix == SAFETENSORS else (_pickled(content), {})
    except Exception as error:  # whatever a damaged or hostile file makes the readers raise
        raise UsageError(f"{str(path)!r} cannot be read as weights: {_reason(error)}", hint=hint) from error
    if nested:
        state = _innermost(state, path, hint)
    if not _is_state(state):
        raise UsageError(f"{str(path)!r} is not a state dict: tensors by their names.", hint=hint)
    if len(state) > MOST_TENSORS:
        raise UsageError(f"{str(path)!r} has {len(state):,} tensors, and at most {MOST_TENSORS:,} are taken.", hint=hint)
    tensors = {name: value.detach() for name, value in state.items()}
    return StateFile(tensors, notes, hashlib.sha256(content).hexdigest())


def _safetensors(content: bytes) -> tuple[Any, dict[str, str]]:
    from safetensors.torch import load

    length = int.from_bytes(content[:8], "little")
    if length > LARGEST_STRUCTURE:
        raise ValueError(f"its header has {length:,} bytes, and at most {LARGEST_STRUCTURE:,} are read")
    state = load(content)  # which also checks the header
    notes: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
    return state, notes


def _pickled(content: bytes) -> Any:
    import torch

    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            records = archive.infolist()
        unpacked = sum(record.file_size for record in records)
        structure = sum(record.file_size for record in records if record.filename.endswith("data.pkl"))
        if len(records) > MOST_RECORDS or unpacked > LARGEST or structure > LARGEST_STRUCTURE:
            raise ValueError(f"it unpacks to {len(records):,} parts of {unpacked:,} bytes, which is too much")
    # A pickle, but torchvision publishes no other form; `weights_only` builds tensors and runs nothing.
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    if type(error).__name__ == "UnpicklingError":  # PyTorch's own words tell how to run what is in the file
        return "it is damaged, or holds more than tensors and plain values; code that a file brings is never run."
    return str(error).partition("\n")[0][:200] or type(error).__name__


def _innermost(state: Any, path: Path, hint: str) -> Any:
    """Take the one state dict out of a checkpoint that has other things beside it."""
    if not isinstance(state, Mapping) or _is_state(state):
        return state
    found = [key for key, value in state.items() if _is_state(value) and len(value) > 0]
    if len(found) > 1:
        named = " and ".join(repr(key)[:40] for key in found[:4])
        raise UsageError(f"{str(path)!r} has several state dicts: {named}.", hint=f"Save the one that is meant alone. {hint}")
    return state[found[0]] if found else state


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) and _is_plain(tensor) for name, tensor in value.items())


def _is_plain(value: Any) -> bool:
    """Whether something is a tensor whose numbers are all there, as the file gave them."""
    import torch

    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        return False
    # A tensor that repeats few numbers by strides of 0 may claim any size.
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()
