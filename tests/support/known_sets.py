"""Preprocessed sets of known content, without torch: every number of them can be foretold."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elo_cli.core.settings import PreprocessSettings
from elo_cli.core.strict_yaml import dump_yaml
from elo_cli.data.records import SegmentRecord, VideoFailure, VideoRecord, write_failures
from elo_cli.data.shard_writer import ShardWriter
from elo_cli.data.video_set import SHARDS
from elo_cli.run.journal import Journal
from elo_cli.workflows.events import Unwatched

SETTINGS = PreprocessSettings(fps=10.0, hop_seconds=0.05, mels=8)  # type: ignore[call-arg]
FRAMES, HEIGHT, WIDTH = 6, 8, 12


def video(**changes: Any) -> VideoRecord:
    """A record of a video of 12 s."""
    fields: dict[str, Any] = {
        "label": None, "split": None, "fingerprint": "f", "bytes": 1000, "duration_s": 12.0, "promised_s": 12.0,
        "source_height": 240, "source_width": 320, "source_fps": 25.0, "codec": "h264", "bad_packets": 0,
        "sound": "heard", "flow": None,
    }  # fmt: skip
    return VideoRecord(**(fields | changes))


def tensors(
    frames: int = FRAMES, flow: tuple[float, float] | None = (3.0, 4.0), sound: int = 12, grey: int = 7
) -> dict[str, np.ndarray]:
    """One colour, one flow in pixels everywhere (of whole steps of 0.1), one tone."""
    parts: dict[str, np.ndarray] = {"rgb": np.full((frames, HEIGHT, WIDTH, 3), grey, np.uint8)}
    if flow is not None:
        parts["flow"] = np.broadcast_to(np.rint(np.array(flow) * 10).astype(np.int8), (frames, HEIGHT, WIDTH, 2)).copy()
        parts["flow_backward"] = -parts["flow"]
        parts["flow_scale"] = np.full((frames, 2), 0.1, np.float32)
    if sound:
        parts["audio"] = np.zeros((SETTINGS.mels, sound), np.float16)
    return parts


def write_shard(
    root: Path,
    name: str,
    videos: dict[str, VideoRecord],
    *,
    segments: int = 1,
    settings: PreprocessSettings = SETTINGS,
    failures: Sequence[VideoFailure] = (),
    **content: Any,
) -> Path:
    """Write a shard of videos that all hold the same, and what failed beside it."""
    path = root / SHARDS / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    if failures:
        write_failures(path, failures)
    with ShardWriter(path, settings.content()) as writer:
        for number, (id, record) in enumerate(videos.items()):
            writer.add_video(id, record)
            for part in range(segments):
                parts = tensors(grey=number, **content)
                sound = parts["audio"].shape[1] if "audio" in parts else 0
                frames = len(parts["rgb"])
                writer.add_segment(SegmentRecord(id, 4.0 * part, frames, HEIGHT, WIDTH, "flow" in parts, sound), parts)
        writer.commit()
    return path


def write_plan(root: Path, planned: dict[str, Sequence[str]], settings: PreprocessSettings = SETTINGS) -> None:
    """Write the plan and the settings as `elo preprocess` does."""
    records = [{"shard": f"{name}.safetensors", "videos": [{"id": id} for id in ids]} for name, ids in planned.items()]
    Journal(root / "plan.jsonl").extend(records)
    stored = {"preprocess": settings.model_dump(mode="json"), "source": "films"}
    (root / "settings.yaml").write_text(dump_yaml(stored))


def flip(path: Path, at: int) -> None:
    """Change one byte of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def tensor_at(path: Path, name: str) -> int:
    """Find where a tensor begins in a safetensors file."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return 8 + length + int(json.loads(content[8 : 8 + length])[name]["data_offsets"][0])


FAILED = VideoFailure("bad.mp4", "open", "empty-file", "it has no bytes")


def write_known_set(root: Path) -> Path:
    """Write a finished set: two shards of two videos, two segments each and one, and one video that failed."""
    write_shard(root, "one", {"a.mp4": video(label="run"), "b.mp4": video(label="sit")}, segments=2, failures=[FAILED])
    write_shard(root, "two", {"c.mp4": video(label="run", sound="silent"), "d/é.mp4": video(label="run")}, sound=0)
    write_plan(root, {"one": ["a.mp4", "b.mp4", "bad.mp4"], "two": ["c.mp4", "d/é.mp4"]})
    return root


class Watcher(Unwatched):
    """A watch that keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.done: list[int] = []
        self.total: int | None = None

    def start(self, stage: str, total: int | None, unit: str) -> None:
        """Keep the total."""
        self.total = total

    def advance(self, stage: str, done: int, figures: Mapping[str, float] | None = None) -> None:
        """Keep how much is done."""
        self.done.append(done)

    def warn(self, message: str) -> None:
        """Keep it."""
        self.warnings.append(message)
