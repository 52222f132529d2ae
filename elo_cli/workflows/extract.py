"""`elo extract-features`: videos → one vector for each, from the RGB encoder."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from elo_cli.core.errors import DataError
from elo_cli.core.features import Features, ids_path
from elo_cli.core.files import write_json
from elo_cli.core.settings import PreprocessSettings, Settings
from elo_cli.data.evaluation import Views
from elo_cli.data.listing import ListedVideo, list_videos
from elo_cli.data.video_set import SHARDS
from elo_cli.engine.export import LoadedEncoder
from elo_cli.engine.foreign import load_any_encoder
from elo_cli.run.directory import RunDirectory
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Outcome, Table, Watch
from elo_cli.workflows.feature_cache import encoder_features
from elo_cli.workflows.material import Material, command_line, dataset_root, open_material, spending
from elo_cli.workflows.packing import pack_videos


def plan(*, settings: Settings, source: Path | None, encoder: Path | None, out: Path | None, fresh: bool) -> Outcome:
    """Say what `run` would do; writes nothing."""
    workspace = Workspace(Path(settings.workspace))
    loaded = load_any_encoder(encoder or workspace.encoder())
    if _is_raw(source):
        assert source is not None
        videos = len(list_videos(source))
    else:
        videos = len(open_material(dataset_root(settings, source)).videos.videos)
    place = out or workspace.place("features", fresh=fresh)
    result = {"videos": videos, "encoder": str(loaded.path), "clips": settings.extract.clips, "out": str(place)}
    row = (str(videos), str(settings.extract.clips), str(loaded.path), str(place))
    return Outcome(result, (Table("Extraction would do", ("videos", "clips each", "encoder", "into"), (row,)),))


def run(*, settings: Settings, source: Path | None, encoder: Path | None, out: Path | None, fresh: bool, watch: Watch) -> Outcome:
    """Extract features of a preprocessed set, or of a folder or list of raw videos.

    Args:
        source: a preprocessed set, raw videos, or None for the newest preprocessed set.
        encoder: the file of an encoder, or None for that of the newest pretraining.

    Raises:
        DataError: there is no encoder, or no videos; or the set was made at another rate than the encoder knows.
    """
    workspace = Workspace(Path(settings.workspace))
    loaded = load_any_encoder(encoder or workspace.encoder())
    listed = list_videos(source) if source is not None and _is_raw(source) else None
    origin = str((source or dataset_root(settings, None)).absolute())
    stored = {"extract": settings.extract.model_dump(), "encoder": loaded.card["sha256"], "source": origin}
    place = out or workspace.place("features", fresh=fresh)
    opened = RunDirectory.open(place, stored, command=command_line(), fresh=fresh, free=frozenset({"extract.batch"}))
    with spending() as spent, opened as directory:
        material = (
            _prepare(directory.root / "dataset", listed, loaded, settings, watch) if listed else open_material(Path(origin))
        )
        result = _extract(loaded, material, settings, directory, watch)
    row = (str(result["videos"]), str(result["dimensions"]), str(settings.extract.clips), loaded.card["sha256"][:16])
    tables = (Table("Features", ("videos", "dimensions", "clips each", "encoder"), (row,)), spent.table())
    files = {"features": str(directory.features), "ids": str(ids_path(directory.features))}
    return Outcome({**result, **spent.record(), "out": str(directory.root)}, tables, files, "elo benchmark hmdb51")


def _prepare(root: Path, listed: list[ListedVideo], loaded: LoadedEncoder, settings: Settings, watch: Watch) -> Material:
    """Preprocess raw videos for an encoder, once, and open the result."""
    wanted = preparation(loaded, settings, settings.extract.clips, flow=False)
    source = str(listed[0].path.parent) if len(listed) == 1 else "a list of videos"
    result, root = pack_videos(root, listed, wanted, source, watch=watch)
    if result["failed"]:
        watch.warn(f"{result['failed']} of {len(listed)} videos could not be used; {root / 'failures.jsonl'} says why.")
    return open_material(root)


def preparation(loaded: LoadedEncoder, settings: Settings, clips: int, *, flow: bool) -> PreprocessSettings:
    """Say how raw videos are prepared for an encoder: just the clips that are looked at, at the rate it knows."""
    fps = loaded.card["input"]["fps"]
    changes = {
        "fps": fps,
        "short_side": loaded.card["origin"]["short_side"],
        "segment_seconds": loaded.clip.span / fps,
        "max_segments": clips,
        "min_seconds": 0.0,
        "audio": False,
        "flow": settings.preprocess.flow if flow else "none",
    }
    return settings.preprocess.model_copy(update=changes)


def _extract(loaded: LoadedEncoder, material: Material, settings: Settings, run: RunDirectory, watch: Watch) -> dict[str, Any]:
    knows, has = loaded.card["input"]["fps"], material.videos.rates.fps
    if abs(knows - has) > 1e-6:
        raise DataError(
            f"The encoder knows clips at {knows:g} frames per second; {material.videos.root} has {has:g}.",
            hint="Give the raw videos instead, or preprocess them at the encoder's rate.",
        )
    done = _done(run, loaded, material)
    if done is not None:
        watch.note(f"These features are there already: {run.features}.")
        return done
    parts = run.root / "parts"
    features = encoder_features(parts, loaded, material, Views(settings.extract.clips), settings, watch, "extracting")
    Features(features.matrix_ND, features.ids, features.labels).save(run.features)
    result = {
        "videos": len(features),
        "dimensions": features.matrix_ND.shape[1],
        "clips": settings.extract.clips,
        "encoder": loaded.card["sha256"],
        "data": material.fingerprint,
    }
    write_json(run.result, result)
    shutil.rmtree(parts, ignore_errors=True)
    return result


def _done(run: RunDirectory, loaded: LoadedEncoder, material: Material) -> dict[str, Any] | None:
    """Return the result of a run that is done, if it is of this encoder and these videos and its features can be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, DataError):
        result: dict[str, Any] = json.loads(run.result.read_text())
        same = (result["encoder"], result["data"]) == (loaded.card["sha256"], material.fingerprint)
        if same and len(Features.load(run.features)) == result["videos"]:
            return result
    return None


def _is_raw(source: Path | None) -> bool:
    return source is not None and not (source / SHARDS).is_dir()
