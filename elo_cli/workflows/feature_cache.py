"""Features that are extracted once: kept under the hash of all that they follow from, and part by part while they are made."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from elo_cli.core.errors import DataError
from elo_cli.core.features import Features, ids_path
from elo_cli.core.files import storage_errors
from elo_cli.core.settings import Settings
from elo_cli.data.evaluation import Views
from elo_cli.data.loader import ClipReader
from elo_cli.data.video_set import Video
from elo_cli.engine.export import GEOMETRY, LoadedEncoder
from elo_cli.engine.extract import extract
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import loader_workers
from elo_cli.workflows.events import Watch
from elo_cli.workflows.material import Material
from elo_cli.workflows.ranks import in_turn

PART = 256  # videos whose features are saved together, on the way

_CODE = 1  # of how clips are read and encoded: raised when the same files give other features

Progress = Callable[[int], None]
Extraction = Callable[[Sequence[Video], Progress], Features]


def key_of(**ingredients: Any) -> str:
    """Name features by what they follow from: plain JSON, such as hashes, geometry and precision."""
    text = json.dumps(ingredients, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def cached_features(folder: Path, key: str, videos: Sequence[Video], take: Extraction, watch: Watch, stage: str) -> Features:
    """Return the features that are kept under a key, or take them; a stop on the way loses at most one part.

    Args:
        folder: where features are kept.
        key: what `key_of` says of them.
        videos: whose features they are.
        take: takes those of some videos, and is told whom to tell how many are done.
        watch: is told of the progress, and asked whether to stop.
        stage: what this is called there.

    Raises:
        StorageError: the disk is full, read-only, or failed.
    """
    path = folder / f"{key}.safetensors"
    found = _load(path, videos, lambda message: None)
    if found is not None:
        return found
    with in_turn(path, watch):
        found = _load(path, videos, watch.warn)  # another command may have taken them meanwhile
        return _taken(path, videos, take, watch, stage) if found is None else found


def _taken(path: Path, videos: Sequence[Video], take: Extraction, watch: Watch, stage: str) -> Features:
    """Take features part by part, and keep them."""
    parts_folder = path.with_suffix("")
    with storage_errors(parts_folder):
        parts_folder.mkdir(exist_ok=True)
    watch.start(stage, len(videos), "video")
    parts = []
    for first in range(0, len(videos), PART):
        place = parts_folder / f"{first:09}.safetensors"
        chunk = videos[first : first + PART]
        part = _load(place, chunk, watch.warn)
        if part is None:
            part = take(chunk, _telling(watch, stage, first))
            part.save(place)
        parts.append(part)
        watch.advance(stage, first + len(part))
        watch.check()
    watch.finish(stage)
    ids, labels = (sum((getattr(part, name) for part in parts), ()) for name in ("ids", "labels"))
    features = Features.of_views(np.concatenate([part.views for part in parts]), ids, labels)
    features.save(path)
    shutil.rmtree(parts_folder, ignore_errors=True)
    return features


def encoder_features(
    folder: Path, loaded: LoadedEncoder, material: Material, views: Views, settings: Settings, watch: Watch, stage: str
) -> Features:
    """Take the features of all videos of a preprocessed set by an encoder, or find those that were taken before.

    Args:
        folder: where features are kept.
        loaded: the encoder; its clips are what is looked at.
        material: the set.
        views: of each video.
        settings: of the machine, and the batch of `extract`.
        watch: is told of the progress.
        stage: what this is called there.
    """
    batch, precision = settings.extract.batch, Precision.choose(settings.machine)
    reader, workers = ClipReader(material.videos, loaded.clip), loader_workers(settings.machine, precision)

    def take(videos: Sequence[Video], progress: Progress) -> Features:
        return extract(
            loaded.network, reader, videos, views=views, batch=batch, precision=precision, progress=progress, workers=workers
        )

    computed = {**precision.describe(), "threads": precision.threads, "batch": batch, "code": _CODE, "torch": torch.__version__}
    key = key_of(encoder=loaded.card["sha256"], computed=computed, **seen_by(loaded, material, views))
    return cached_features(folder, key, material.videos.videos, take, watch, stage)


def seen_by(loaded: LoadedEncoder, material: Material, views: Views) -> dict[str, Any]:
    """Say what an encoder looks at, for `key_of`."""
    clip = {name: getattr(loaded.clip, name) for name in GEOMETRY}
    return {"data": material.fingerprint, "clip": clip, "clips": views.clips, "crops": views.crops}


def _load(path: Path, videos: Sequence[Video], tell: Callable[[str], None]) -> Features | None:
    """Read features if they are there, whole and of these videos; what is damaged is taken again."""
    if not (path.exists() and ids_path(path).exists()):
        return None
    try:
        found = Features.load(path)
    except DataError as error:
        tell(f"{error.message.rstrip('.')}. They are taken again.")
        return None
    if found.ids != tuple(video.id for video in videos):
        tell(f"{path} holds features of other videos. They are taken again.")
        return None
    return found


def _telling(watch: Watch, stage: str, first: int) -> Progress:
    def progress(done: int) -> None:
        watch.advance(stage, first + done)
        watch.check()

    return progress
