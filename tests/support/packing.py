"""Preprocessing a few films, as the tests of sets and of their parts do it."""

from pathlib import Path
from typing import Any

from elo_cli.core.settings import PreprocessSettings
from elo_cli.data.listing import list_videos
from elo_cli.data.video_set import SHARDS
from elo_cli.workflows.events import Unwatched
from elo_cli.workflows.packing import pack_videos

SETTINGS: dict[str, Any] = {
    "fps": 8.0, "short_side": 20, "segment_seconds": 1.5, "max_segments": 1, "flow": "none", "mels": 8, "workers": 1
}  # fmt: skip
SHARD_FILES = f"{SHARDS}/*.safetensors"


def pack(root: Path, videos: Path, watch: Any = None, **changes: Any) -> dict[str, Any]:
    """Preprocess; `changes` are settings, or arguments of `pack_videos`."""
    arguments = {name: changes.pop(name) for name in ("fresh", "part", "retry") if name in changes}
    settings = PreprocessSettings.model_validate(SETTINGS | changes)
    result, _ = pack_videos(root, list_videos(videos), settings, str(videos), watch=watch or Unwatched(), **arguments)
    return result


def spoil(folder: Path) -> None:
    """Lay bad files among good ones."""
    (folder / "000.mp4").write_bytes(b"no film")
    (folder / "01b.mp4").touch()
    (folder / "zz.avi").write_bytes(bytes(5000))
