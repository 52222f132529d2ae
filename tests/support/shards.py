"""A tiny preprocessed set of random segments, and the settings that fit it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elo_cli.core.clip import ClipBatch, Source
from elo_cli.core.settings import ContrastSettings, ObjectiveSettings, PreprocessSettings
from elo_cli.core.train_settings import ClipSettings, EncoderSettings, TrainSettings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.data.jpeg import encode_flow, encode_frames
from elo_cli.data.loader import TrainingClips, source_shapes, training_clips
from elo_cli.data.records import SegmentRecord, VideoRecord
from elo_cli.data.shard_writer import ShardWriter
from elo_cli.data.video_set import SHARDS, VideoSet
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import Objective
from elo_cli.engine.precision import Precision

PREPROCESS = PreprocessSettings(fps=10.0, hop_seconds=0.05, mels=8)  # two spectrogram frames for each stored frame
CLIP = ClipSettings(frames=4, stride=1, size=16, future=2, crop_area=(0.5, 1.0), flip=0.5)
ENCODER = EncoderSettings(architecture="r2plus1d", audio_architecture="audio_resnet", depth=10, width=4)
OBJECTIVE = ObjectiveSettings(distance="mean", distill_sites=(1, 3))
CONTRAST = ObjectiveSettings(
    modalities=("rgb", "motion"),
    terms=("*.contrast",),
    contrast=ContrastSettings(queue=12, momentum=0.9, hidden=8, dimension=4),
)
PLAIN = Precision(torch.device("cpu"), False, False, 1)
BF16 = Precision(torch.device("cpu"), True, True, 1)


VIDEO = VideoRecord(
    label=None, split=None, fingerprint="0123", bytes=1000, duration_s=4.0, promised_s=4.0, source_height=240, source_width=320,
    source_fps=25.0, codec="h264", bad_packets=0, sound="heard", flow=None,
)  # fmt: skip


def flow_scales(frames: int) -> np.ndarray:
    """Scales of the stored flow that differ from frame to frame and from forward to backward: float32 (frames, 2)."""
    return np.stack([np.linspace(0.05, 0.08, frames), np.linspace(0.04, 0.01, frames)], axis=1).astype(np.float32)


def random_segment(
    random: np.random.Generator, record: SegmentRecord, *, mels: int = PREPROCESS.mels, quality: int | None = None
) -> dict[str, np.ndarray]:
    """Make the tensors that a record asks for; under storage jpeg if a quality is given."""
    shape = (record.frames, record.height, record.width)
    arrays = {"rgb": random.integers(0, 256, (*shape, 3), np.uint8)}
    if record.flow:
        arrays |= {name: random.integers(-127, 128, (*shape, 2)).astype(np.int8) for name in ("flow", "flow_backward")}
    tensors = {}
    for name, array in arrays.items():
        if quality is None:
            tensors[name] = array
        else:
            coded = encode_frames(array, quality) if name == "rgb" else encode_flow(array, quality)
            tensors[f"{name}_jpeg"], tensors[f"{name}_ends"] = coded
    if record.flow:
        tensors["flow_scale"] = flow_scales(record.frames)
    if record.audio_frames:
        tensors["audio"] = random.normal(-7, 4, (mels, record.audio_frames)).astype(np.float16)
    return tensors


def write_set(
    root: Path,
    *,
    videos: int = 8,
    segments: int = 2,
    frames: int = 14,
    height: int = 20,
    width: int = 26,
    deaf: tuple[int, ...] = (1, 4),
    flow: bool = True,
    fading: bool = False,
    per_shard: int = 3,
    quality: int | None = None,
    seed: int = 0,
) -> VideoSet:
    """Write random segments; the videos whose number is in `deaf` have no sound; `fading` ones grow brighter.

    With a `quality` they are stored as JPEGs.
    """
    random = np.random.default_rng(seed)
    stored = PREPROCESS.model_copy(update={} if quality is None else {"storage": "jpeg", "jpeg_quality": quality}).content()
    (root / SHARDS).mkdir(parents=True)
    for first in range(0, videos, per_shard):
        with ShardWriter(root / SHARDS / f"{first:04}.safetensors", stored) as writer:
            for number in range(first, min(first + per_shard, videos)):
                name, sound = f"v{number:02}.mp4", 0 if number in deaf else 2 * frames
                label = "even" if number % 2 == 0 else "odd"
                writer.add_video(name, replace(VIDEO, label=label, sound="heard" if sound else "none"))
                for part in range(segments):
                    record = SegmentRecord(name, 2.0 * part, frames, height, width, flow, sound)
                    tensors = random_segment(random, record, quality=quality)
                    if fading:
                        brighter = np.linspace(0, 239, frames, dtype=np.uint8)[:, None, None, None]
                        tensors["rgb"] = tensors["rgb"] // 16 + brighter
                    writer.add_segment(record, tensors)
            writer.commit()
    return VideoSet(root)


def loss(**named: float) -> LossWeights:
    """Make a loss from keywords such as `rgb__reverse=0.5` (`__` for the dot, `_` for the dash)."""
    terms = {Term.parse(name.replace("__", ".").replace("_", "-")): weight for name, weight in named.items()}
    return LossWeights(terms)


def shapes(videos: VideoSet, clip: ClipSettings = CLIP) -> dict[Source, tuple[int, ...]]:
    """The shape of every source."""
    return source_shapes(clip, videos.rates)


def make_objective(
    videos: VideoSet, weights: LossWeights, *, settings: ObjectiveSettings = OBJECTIVE, clip: ClipSettings = CLIP, seed: int = 3
) -> Objective:
    """Build the smallest objective."""
    return Objective(weights, settings, ENCODER, shapes(videos, clip), len(videos.videos), seed)


def make_clips(
    videos: VideoSet, objective: Objective, *, batch: int = 4, clip: ClipSettings = CLIP, seed: int = 3
) -> TrainingClips:
    """Make the batches that an objective reads."""
    return training_clips(videos, clip, objective.sources, batch=batch, seed=seed)


def make_training(
    videos: VideoSet,
    weights: LossWeights,
    *,
    steps: int = 4,
    precision: Precision = PLAIN,
    settings: ObjectiveSettings = OBJECTIVE,
    lr: float = 0.05,
    **more: Any,
) -> Training[Objective]:
    """Build the smallest training run; `more` are further settings of it."""
    objective = make_objective(videos, weights, settings=settings)
    train = TrainSettings(**{"clip": CLIP, "encoder": ENCODER, "steps": steps, "batch": 4, "lr": lr} | more)
    return Training(objective, make_clips(videos, objective, batch=train.batch), train, precision)


def random_batch(
    sources: dict[Source, tuple[int, ...]], *, clips: int = 4, seed: int = 0, absent: tuple[str, ...] = ()
) -> ClipBatch:
    """Make a batch of noise; the last clip lacks the modalities in `absent`."""
    generator = torch.Generator().manual_seed(seed)
    inputs: dict[Source, Tensor] = {}
    for source in sorted(sources):  # a set's order differs from one process to the next
        inputs[source] = torch.randn(clips, *sources[source], generator=generator)
    present = {source: torch.ones(clips, dtype=torch.bool) for source in sources}
    for source in sources:
        if source.modality in absent:
            present[source][-1] = False
            inputs[source][-1] = 0
    return ClipBatch(inputs, present, tuple(f"v{number}" for number in range(clips)), torch.arange(clips))


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    """Check that two sets of named tensors are equal to the bit, in one order."""
    assert list(first) == list(second)
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
