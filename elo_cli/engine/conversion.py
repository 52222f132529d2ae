"""An encoder in another format, which is kept only if its features are the same."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from elo_cli.core.errors import DataError, EloError, UsageError
from elo_cli.core.files import drafted
from elo_cli.engine.export import LoadedEncoder
from elo_cli.engine.extract import Progress
from elo_cli.engine.formats import Format, Function, is_own

BATCHES = (1, 3)  # clips of each comparison: one alone, and another number than the two that programs are traced with
STEPS = 1 + len(BATCHES)
TOLERANCE = 1e-4  # of the largest feature; float32 rounds to 6e-8, and fifty layers in another order come to some 1e-6


@dataclass(frozen=True)
class Agreement:
    """How far the features of a file are from the encoder's own.

    Attributes:
        differences: for each number of clips, the largest difference as a share of the largest feature.
    """

    differences: Mapping[int, float]

    @property
    def largest(self) -> float:
        """The largest of them."""
        return max(self.differences.values())


def free_target(target: Path, kind: Format) -> Path:
    """Return a path if nothing is there, or an earlier export of the same format.

    Raises:
        UsageError: something else is there, or the name is that of another kind of file.
    """
    if target.suffix != kind.ending:
        raise UsageError(
            f"{target} is no name of a file of {kind.name}.", hint=f"Let it end in {kind.ending}, or give another --format."
        )
    for path in {target, target.with_name(target.name + kind.beside)}:
        if os.path.lexists(path) and not is_own(target, kind):
            raise UsageError(
                f"{path} is there already and was not made by elo export; it is left as it is.", hint="Give another --out."
            )
    return target


def convert(encoder: LoadedEncoder, kind: Format, target: Path, progress: Progress) -> Agreement:
    """Write an encoder in a format, read the file back, and keep it if both give the same features.

    Args:
        encoder: on the CPU, in evaluation mode.
        kind: the format.
        target: the file, which `free_target` has found free.
        progress: is told how many of `STEPS` are done.

    Raises:
        EloError: the features differ by more than `TOLERANCE`; nothing is kept.
        DataError: the encoder's own features are not finite.
        StorageError: the file cannot be written.
    """
    with drafted(target) as draft:
        kind.write(encoder, draft)
        progress(1)
        agreement = _compare(encoder, kind.read(draft, encoder), progress)
        if not agreement.largest <= TOLERANCE:  # NaN is no agreement either
            raise EloError(
                f"Read back, the file of {kind.name} gives features that differ by {agreement.largest:.1e} of the largest one,"
                f" and {TOLERANCE:.0e} is allowed; it is not kept.",
                hint="Try another --format, or other versions of PyTorch and its exporters.",
            )
    return agreement


def _compare(encoder: LoadedEncoder, function: Function, progress: Progress) -> Agreement:
    """Compare features of random clips of the card's size, on the CPU in float32."""
    clip, random = encoder.clip, torch.Generator().manual_seed(0)
    differences = {}
    for done, batch in enumerate(BATCHES, start=2):
        clips_BCTHW = torch.randn(batch, 3, clip.frames, clip.size, clip.size, generator=random)
        with torch.no_grad():
            own_BD, other_BD = encoder(clips_BCTHW), function(clips_BCTHW)
        if not own_BD.isfinite().all():
            raise DataError(f"{encoder.path} gives features that are not finite.", hint="Train it again; this one is of no use.")
        same = own_BD.shape == other_BD.shape
        tiny = torch.finfo(own_BD.dtype).tiny
        differences[batch] = float((own_BD - other_BD).abs().max() / own_BD.abs().max().clamp(min=tiny)) if same else float("inf")
        progress(done)
    return Agreement(differences)
