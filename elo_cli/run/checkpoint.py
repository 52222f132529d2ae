"""Snapshots of a training: a file of tensors, and a manifest that is written last and makes it count.

`step-00001234-5d0f1a3c9b2e.safetensors` holds the tensors; the digits are the head of its SHA-256,
so that tensors already counted on are never written over. `step-00001234.json` names that file, its
size and its hash, and holds the state that is not tensors. Killed at any moment, a folder gives the
former checkpoint or the new one. Nothing is ever pickled.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elo_cli.core.errors import DataError
from elo_cli.core.files import PART, storage_errors, write_atomic

if TYPE_CHECKING:
    from torch import Tensor

_MANIFEST = re.compile(r"step-(?P<step>[0-9]{8,})\.json")
_TENSORS = re.compile(r"step-(?P<step>[0-9]{8,})-[0-9a-f]{12}\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A snapshot that has been read back and whose hashes fit.

    Attributes:
        step: the step it was taken at.
        tensors: the tensors, on the CPU.
        state: the rest, as JSON gives it back.
        skipped: newer checkpoints that were damaged, each with the reason.
    """

    step: int
    tensors: "dict[str, Tensor]"
    state: dict[str, Any]
    skipped: list[str] = field(default_factory=list)


def save_checkpoint(
    folder: Path, step: int, tensors: "dict[str, Tensor]", state: dict[str, Any], *, keep: int = 2, spare: int | None = None
) -> Path:
    """Save a snapshot, then remove all but the newest `keep`, and the one of step `spare`.

    Checkpoints of later steps are removed too: they are from before a fall-back to an older one.

    Args:
        folder: where checkpoints live; made if need be.
        step: the step, 0 or more; the name of the checkpoint.
        tensors: tensors on any device.
        state: what is not tensors, as JSON can hold it.

    Returns:
        The path of the manifest.

    Raises:
        StorageError: the disk is full, read-only, or failed; the former checkpoints are untouched.
        ValueError: `state` holds NaN or an infinity.
    """
    from safetensors.torch import save

    assert step >= 0, step
    assert keep >= 1, keep
    content = save(_plain(tensors))
    digest = hashlib.sha256(content).hexdigest()
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    tensor_file = folder / f"step-{step:08d}-{digest[:12]}.safetensors"
    manifest = {"step": step, "tensors": tensor_file.name, "size": len(content), "sha256": digest, "state": state}
    manifest["check"] = _check(manifest)
    write_atomic(tensor_file, content)
    path = folder / f"step-{step:08d}.json"
    write_atomic(path, (json.dumps(manifest, indent=2) + "\n").encode())
    _tidy(folder, step, keep, spare)
    return path


def has_step(folder: Path, step: int) -> bool:
    """Say whether there is a checkpoint of a step, whole or not."""
    return step in dict(_steps(folder, _MANIFEST))


def load_step(folder: Path, step: int) -> Checkpoint:
    """Read the checkpoint of one step.

    Raises:
        DataError: there is none, or it is damaged.
    """
    paths = dict(_steps(folder, _MANIFEST))
    if step not in paths:
        there = ", ".join(map(str, sorted(paths))) or "none at all"
        raise DataError(f"There is no checkpoint of step {step} in {folder}.", hint=f"There are those of: {there}.")
    return Checkpoint(step, *_read(folder, paths[step], step))


def load_newest(folder: Path) -> Checkpoint | None:
    """Read the newest checkpoint that is whole; None when there is none at all.

    Raises:
        DataError: there are checkpoints, but all are damaged; each is named with its reason.
    """
    skipped: list[str] = []
    listed = sorted(_steps(folder, _MANIFEST), reverse=True)
    for step, path in listed:
        try:
            tensors, state = _read(folder, path, step)
        except DataError as error:
            skipped.append(error.message)
        else:
            return Checkpoint(step, tensors, state, skipped)
    if listed != sorted(_steps(folder, _MANIFEST), reverse=True):  # the run is at work, and has saved meanwhile
        return load_newest(folder)
    if skipped:
        raise DataError(
            f"Every checkpoint in {folder} is damaged: {' '.join(skipped)}",
            hint="Put back a copy from before, or start over in a new directory with --fresh.",
        )
    return None


def _read(folder: Path, path: Path, step: int) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        manifest = json.loads(path.read_bytes())
        if not isinstance(manifest, dict) or manifest.pop("check", None) != _check(manifest):
            raise DataError(f"{path.name}: its contents do not fit their check.")
        name = manifest["tensors"]
        if manifest["step"] != step or not _TENSORS.fullmatch(name):
            raise DataError(f"{path.name}: it speaks of step {manifest['step']} and the file {name!r}.")
        content = (folder / name).read_bytes()
        if len(content) != manifest["size"]:
            raise DataError(f"{name}: {len(content)} bytes instead of {manifest['size']}.")
        if hashlib.sha256(content).hexdigest() != manifest["sha256"]:
            raise DataError(f"{name}: its contents do not fit their hash.")
        return load(content), manifest["state"]
    except OSError as error:
        raise DataError(f"{path.name}: {error}.") from error
    except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise DataError(f"{path.name}: {type(error).__name__}: {error}.") from error


def _plain(tensors: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """Bring tensors to the CPU, each with a memory of its own, as safetensors asks."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        memory = own.untyped_storage().data_ptr()
        plain[name] = own.clone() if memory in seen else own
        seen.add(memory)
    return plain


def _check(manifest: dict[str, Any]) -> str:
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    # Keys that are not text become text in the file: hash what a reader will see.
    text = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _steps(folder: Path, pattern: re.Pattern[str]) -> Iterator[tuple[int, Path]]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        match = pattern.fullmatch(path.name)
        if match:
            yield int(match["step"]), path


def _tidy(folder: Path, step: int, keep: int, spare: int | None) -> None:
    """Remove what the new checkpoint makes superfluous; it is durable by now.

    Manifests go before their tensors, so that no manifest ever names a file that is gone. What
    cannot be removed is left for the next time: it takes room, but it does no harm.
    """
    with contextlib.suppress(OSError):
        manifests = dict(_steps(folder, _MANIFEST))
        kept = {number for number in manifests if number == spare}
        kept |= set(sorted(number for number in manifests if number <= step)[-keep:])
        for number, path in sorted(manifests.items(), reverse=True):
            if number not in kept:
                path.unlink()
        named = "".join(manifests[number].read_text(errors="replace") for number in kept)
        for _, path in _steps(folder, _TENSORS):
            if path.name not in named:  # also what a kill left between two saves of one step
                path.unlink()
        for path in folder.glob(f"step-*{PART}"):
            path.unlink()
