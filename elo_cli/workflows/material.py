"""What several verbs need: the preprocessed set, the terms that it can serve, time and memory used."""

import resource
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.settings import ObjectiveSettings, PreprocessSettings, Settings
from elo_cli.core.strict_yaml import load_yaml
from elo_cli.core.train_settings import ClipSettings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.data.sampling import ClipSampler
from elo_cli.data.video_set import VideoSet
from elo_cli.run.directory import RunDirectory
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Table


@dataclass(frozen=True)
class Material:
    """A preprocessed set and how it was made."""

    videos: VideoSet
    preprocess: PreprocessSettings

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the segments and how they were made."""
        return self.videos.fingerprint


def open_material(root: Path) -> Material:
    """Open a folder that `elo preprocess` wrote.

    Raises:
        DataError: there is none, or it is damaged.
    """
    run = RunDirectory(root)
    if not run.settings.exists():
        raise DataError(f"{root} is not a preprocessed set.", hint="Make one first: elo preprocess FOLDER_OF_VIDEOS")
    if not run.result.exists():
        raise DataError(f"{root} is not finished.", hint="Type the same elo preprocess again: it goes on where it stopped.")
    stored = load_yaml(run.settings, "the settings of the preprocessed set,")
    return Material(VideoSet(root), PreprocessSettings.model_validate(stored["preprocess"]))


def dataset_root(settings: Settings, data: Path | None) -> Path:
    """Return the preprocessed set to use: the one given, or the newest of the workspace."""
    return data if data is not None else Workspace(Path(settings.workspace)).dataset()


def served_terms(settings: ObjectiveSettings, videos: VideoSet) -> tuple[tuple[Term, ...], tuple[str, ...]]:
    """Return the terms that the set can serve, and the modalities it lacks.

    Raises:
        UsageError: no term is left.
    """
    from elo_cli.tasks import all_terms

    lacking = tuple(name for name in settings.modalities if not videos.has(name))
    terms = tuple(term for term in all_terms(settings) if not set(term.modalities) & set(lacking))
    if not terms:
        raise UsageError(
            f"No term is left: the preprocessed set has no {' and no '.join(lacking)}.",
            hint="Widen objective.terms or preprocess with them.",
        )
    return terms, lacking


def check_clips(material: Material, clip: ClipSettings) -> None:
    """Make sure that there are segments as long as a clip.

    Raises:
        DataError: there is none.
    """
    ClipSampler(material.videos, clip, frozenset({"clip"}), batch=1, seed=0)


def read_loss(path: Path, terms: tuple[Term, ...]) -> LossWeights:
    """Read `loss.yaml`.

    Raises:
        UsageError: it is missing or malformed, names a term that does not exist, or a weight outside [0, 1].
    """
    if not path.is_file():
        raise UsageError(f"There is no loss file {path}.", hint="Give a loss.yaml, or --loss uniform.")
    named = load_yaml(path, "the loss")
    with naming(path):
        return LossWeights.from_names(named, terms)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of what a file holds begin with its name; the file may have been chosen without a person."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", hint=error.hint) from error


def about(seconds: float | None) -> str:
    """Say an estimate as a person would."""
    if seconds is None:
        return "not known"
    for length, unit in ((31_557_600, "years"), (86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"about {seconds / length:,.0f} {unit}"
    return f"about {seconds:.0f} seconds"


def command_line() -> str:
    """The command that was typed, to be shown to whoever meets its lock."""
    return shlex.join(["elo", *sys.argv[1:]])


@dataclass
class Spent:
    """Time and memory that a piece of work took."""

    seconds: float = 0.0
    peak_mib: float = 0.0

    def table(self) -> Table:
        """Two numbers for a person."""
        return Table("Spent", ("seconds", "peak memory"), ((f"{self.seconds:.1f}", f"{self.peak_mib:.0f} MiB"),))

    def record(self) -> dict[str, Any]:
        """The same for a machine."""
        return {"seconds": round(self.seconds, 3), "peak_mib": round(self.peak_mib, 1)}


@contextmanager
def spending() -> Iterator[Spent]:
    """Measure the time of a `with` block, and the peak memory of this process and of its largest child."""
    spent, begun = Spent(), time.monotonic()
    try:
        yield spent
    finally:
        spent.seconds = time.monotonic() - begun
        peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        spent.peak_mib = peak / (2**20 if sys.platform == "darwin" else 2**10)
