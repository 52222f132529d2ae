"""Sets of videos in the form that encoders read, each prepared once: its name says how it is made and of which files."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elo_cli import dist
from elo_cli.core.errors import DataError
from elo_cli.core.settings import PreprocessSettings
from elo_cli.data.listing import ListedVideo
from elo_cli.run.directory import RunDirectory
from elo_cli.workflows.events import Watch
from elo_cli.workflows.material import Material, open_material
from elo_cli.workflows.packing import pack_videos
from elo_cli.workflows.ranks import in_turn

_CODE = 1  # of how videos are decoded and stored: raised when the same files give other pictures
_OF_THE_MOMENT = frozenset({"timeout", "crash", "out-of-memory"})  # reasons that depend on the machine's load


class PreparedSets:
    """What benchmarks look at, prepared once for each geometry.

    Args:
        cache: the folder for what can be made again.
        watch: is told of the progress.
    """

    def __init__(self, cache: Path, watch: Watch) -> None:
        self.cache, self.watch = cache, watch
        self._opened: dict[Path, Material] = {}

    def open(self, name: str, source: str, listed: Sequence[ListedVideo], wanted: PreprocessSettings) -> Material:
        """Preprocess videos or stretches of them, once, and open the result; of several processes rank 0 does it.

        Args:
            name: of the data set.
            source: what they are, such as `the videos of hmdb51`.
            listed: they themselves.
            wanted: how they are prepared.

        Raises:
            DataError: not one of them can be used.
        """
        root = self.cache / "sets" / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}-{_digest(wanted, listed)}"
        if root in self._opened:
            return self._opened[root]
        material: Material | None = None
        if not dist.rank():
            found = _finished(root)
            if found is None:
                with in_turn(root, self.watch):
                    found = _finished(root) or _packed(root, listed, wanted, source, self.watch)
            result, material = found
            if result["failed"]:
                told = f"{result['failed']} of {len(listed)} videos could not be used; {root / 'failures.jsonl'} says why."
                self.watch.warn(told)
        dist.after_first(f"set {root}")
        self._opened[root] = material or open_material(root)
        return self._opened[root]


def _packed(
    root: Path, listed: Sequence[ListedVideo], wanted: PreprocessSettings, source: str, watch: Watch
) -> tuple[dict[str, Any], Material]:
    """Preprocess what is missing, and return the counts and the set."""
    result, _ = pack_videos(root, listed, wanted, source, retry=RunDirectory(root).result.exists(), watch=watch)
    return result, open_material(root)


def _finished(root: Path) -> tuple[dict[str, Any], Material] | None:
    """Return the counts of a set that is done and all there, and the set; None where there is anything to do.

    What failed for want of time or memory may have failed because of what else the machine did: it is tried again. A cleaner
    of disks may have taken some of the shards.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, DataError):
        result: dict[str, Any] = json.loads(RunDirectory(root).result.read_text())
        if not set(result["failures"]) & _OF_THE_MOMENT:
            material = open_material(root)
            if len(material.videos.videos) == result["videos"]:
                return result, material
    return None


def _digest(wanted: PreprocessSettings, listed: Sequence[ListedVideo]) -> str:
    """Name a prepared set by how it is made and of which files; a file is known by its size and time of change."""
    told: list[Any] = [wanted.content(), _CODE]
    for video in listed:
        found = os.stat(video.file)
        told.append([video.id, video.label, video.start_s, video.end_s, found.st_size, found.st_mtime_ns])
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
