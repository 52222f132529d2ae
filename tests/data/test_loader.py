"""Batches from shards: windows, modalities and masks of real segments, and the same with worker processes."""

from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch

from elo_cli.core.clip import MODALITIES, Source
from elo_cli.core.train_settings import AugmentSettings, ClipSettings, MotionSettings
from elo_cli.data import transforms
from elo_cli.data.loader import ClipReader, TrainingClips, training_clips
from elo_cli.data.records import SegmentRecord
from elo_cli.data.shard_writer import ShardWriter
from elo_cli.data.video_set import SHARDS, VideoSet
from tests.support.shards import CLIP, PREPROCESS, VIDEO, flow_scales, shapes, write_set

PLAIN = [name for name in MODALITIES if name != "motion"]
ALL = frozenset(Source(name, window) for name in PLAIN for window in ("clip", "future", "shifted")) | {
    Source("flow", "clip", True)
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    return write_set(tmp_path_factory.mktemp("set"))


@pytest.fixture(scope="module")
def clips(videos: VideoSet) -> TrainingClips:
    return training_clips(videos, CLIP, ALL, batch=6, seed=1)


def test_each_source_is_its_window_of_the_chosen_segment(videos: VideoSet, clips: TrainingClips) -> None:
    batch = clips[5]
    for row, choice in enumerate(clips.sampler.draw(5)):
        shot = choice.shot
        record, shard = shot.segment.record, videos.shards[shot.segment.shard]
        place = transforms.training_place(shot.place, record.height, record.width, CLIP)
        assert batch.ids[row] == record.video
        for source in ALL:
            start = shot.starts.get(source.window)
            count = CLIP.future if source.window == "future" else CLIP.frames
            there = start is not None and not (source.modality == "audio" and record.audio_frames == 0)
            assert bool(batch.present[source][row]) == there
            got = batch.inputs[source][row]
            assert got.shape == shapes(videos)[source]
            if not there:
                assert not got.any()
                continue
            assert start is not None
            frames = shard.read(shot.segment.index, "rgb", start, start + count)
            vectors = shard.read(shot.segment.index, "flow_backward" if source.backward else "flow", start, start + count)
            wanted = {
                "rgb": transforms.rgb(frames, place, 16),
                "grey": transforms.grey(transforms.rgb(frames, place, 16)),
                "flow": transforms.flow(vectors, flow_scales(14)[start : start + count, int(source.backward)], place, 16),
            }
            if source.modality == "audio":
                sound = shard.read(shot.segment.index, "audio", 2 * start, 2 * (start + count))
                assert torch.equal(got, transforms.audio(sound, 2 * count))
            else:
                assert torch.equal(got, wanted[source.modality])
    assert any(not present.all() for present in batch.present.values())


def test_the_other_clip_of_a_pair_and_the_flow_of_motion(videos: VideoSet) -> None:
    clip = CLIP.model_copy(update={"motion": MotionSettings(frames=3, stride=2), "augment": AugmentSettings(hue=0.5, jitter=1.0)})  # type: ignore[call-arg]
    sources = frozenset(Source(name, window) for name in ("rgb", "motion") for window in ("clip", "paired"))  # type: ignore[arg-type]
    clips = training_clips(videos, clip, sources, batch=6, seed=1)
    batch = clips[2]
    for row, choice in enumerate(clips.sampler.draw(2)):
        for shot, window in zip(choice.shots, ("clip", "paired"), strict=True):
            place = transforms.training_place(shot.place, 20, 26, clip)
            start, shard = shot.starts[window], videos.shards[shot.segment.shard]  # type: ignore[index]
            frames = shard.read(shot.segment.index, "rgb", start, start + 4)
            vectors = shard.read(shot.segment.index, "flow", start, start + 5, 2)
            flow = transforms.flow(vectors, flow_scales(14)[start : start + 5 : 2, 0], place, 16)
            assert torch.equal(batch.inputs[Source("rgb", window)][row], transforms.rgb(frames, place, 16, shot.look))  # type: ignore[arg-type]
            assert torch.equal(batch.inputs[Source("motion", window)][row], flow)  # type: ignore[arg-type]
    assert batch.inputs[Source("motion", "paired")].shape == (6, 2, 3, 16, 16)


def test_equal_numbers_are_equal_videos(clips: TrainingClips) -> None:
    for step in range(3):
        batch = clips[step]
        for i, first in enumerate(batch.ids):
            for j, second in enumerate(batch.ids):
                assert (batch.video_B[i] == batch.video_B[j]) == (first == second)


def test_jpegs_are_read_alike_but_for_their_error(tmp_path: Path, videos: VideoSet) -> None:
    coded = write_set(tmp_path, quality=100)
    assert coded.fingerprint != videos.fingerprint
    one, other = (training_clips(each, CLIP, ALL, batch=6, seed=1)[5] for each in (videos, coded))
    assert one.ids == other.ids
    for source in ALL:
        assert torch.equal(one.present[source], other.present[source])
        if source.modality == "audio":
            assert torch.equal(one.inputs[source], other.inputs[source])
        else:  # 4:4:4 at quality 100: noise loses its last bits and nothing else
            apart = (one.inputs[source] - other.inputs[source]).abs().mean() / one.inputs[source].abs().mean()
            assert 0 < apart < 0.03, source


def test_grey_without_rgb_is_the_same(videos: VideoSet, clips: TrainingClips) -> None:
    alone = training_clips(videos, CLIP, frozenset({Source("grey")}), batch=6, seed=1)
    rgb = training_clips(videos, CLIP, frozenset({Source("grey"), Source("rgb")}), batch=6, seed=1)
    assert set(alone[2].inputs) == {Source("grey")}, "what no term reads is not loaded"
    assert torch.equal(alone[2].inputs[Source("grey")], rgb[2].inputs[Source("grey")])


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2])
def test_reading_ahead_changes_nothing(clips: TrainingClips, workers: int) -> None:
    here = [clips[step] for step in range(2, 6)]
    there = list(clips.batches(2, 6, workers))
    assert len(here) == len(there) == 4
    for one, other in zip(here, there, strict=True):
        assert one.ids == other.ids and torch.equal(one.video_B, other.video_B)
        for source in ALL:
            assert torch.equal(one.inputs[source], other.inputs[source])
            assert torch.equal(one.present[source], other.present[source])


def test_a_worker_is_not_sent_the_set(tmp_path: Path) -> None:
    sizes = []
    for number in (3, 12):
        videos = write_set(tmp_path / f"{number}", videos=number, segments=4, per_shard=3, height=2, width=2)
        clips = training_clips(videos, CLIP, ALL, batch=2, seed=1)
        assert clips[0].ids  # a shard is open
        sizes.append(len(ForkingPickler.dumps(clips._clips)))
    assert sizes[0] < 4000
    assert sizes[1] - sizes[0] <= 3 * 25, "no more than the names of three more shards"


def write_one(root: Path, frames: int, sound: np.ndarray, fps: float = 10.0) -> VideoSet:
    (root / SHARDS).mkdir(parents=True)
    ramp = np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None, None], (frames, 16, 16, 3))
    record = SegmentRecord("a", 0.0, frames, 16, 16, False, sound.shape[1])
    stored = PREPROCESS.model_copy(update={"fps": fps, "mels": len(sound)}).content()
    with ShardWriter(root / SHARDS / "a.safetensors", stored) as writer:
        writer.add_video("a", VIDEO)
        writer.add_segment(record, {"rgb": ramp, "audio": sound.astype(np.float16)})
        writer.commit()
    return VideoSet(root)


@pytest.mark.parametrize("quality", [None, 90])
@pytest.mark.parametrize(("stride", "start"), [(3, 2), (3, 4), (1, 0)])
def test_flow_has_the_scale_of_its_own_frame(tmp_path: Path, quality: int | None, stride: int, start: int) -> None:
    videos = write_set(tmp_path, videos=1, segments=1, height=16, width=16, quality=quality)
    clip = ClipSettings(frames=4, stride=stride, size=16, future=2, crop_area=(1.0, 1.0), flip=0.0)
    shown = np.minimum(start + np.arange(4) * stride, 13)
    stored = {name: videos.shards[0].read(0, name, 0, 14)[shown] for name in ("flow", "flow_backward")}
    for backward, name in enumerate(stored):
        source = Source("flow", "clip", bool(backward))
        got = ClipReader(videos, clip).read(videos.videos[0].segments[0], source, start, transforms.central_place(16, 16))
        assert got is not None
        pixels = stored[name].astype(np.float64) * flow_scales(14)[shown, backward, None, None, None]
        np.testing.assert_allclose(got, (pixels * 100 / 16).transpose(3, 0, 1, 2), rtol=1e-5)


def stored_frames(tensor: torch.Tensor) -> list[int]:
    plain = tensor[0, :, 0, 0] * transforms.RGB_DEVIATION[0] + transforms.RGB_MEAN[0]
    return (plain * 255).round().int().tolist()


def test_stride_and_the_end_of_a_segment(tmp_path: Path) -> None:
    videos = write_one(tmp_path, 14, np.random.default_rng(0).normal(size=(3, 28)))
    reader = ClipReader(videos, ClipSettings(frames=4, stride=3, size=16, future=2, crop_area=(1.0, 1.0), flip=0.0))
    segment, place = videos.videos[0].segments[0], transforms.central_place(16, 16)

    def read(start: int, window: str = "clip") -> list[int]:
        tensor = reader.read(segment, Source("rgb", window), start, place)  # type: ignore[arg-type]
        assert tensor is not None
        return stored_frames(tensor)

    assert read(2) == [2, 5, 8, 11]
    assert read(12, "future") == [12, 13]
    assert read(5) == [5, 8, 11, 13], "evaluation repeats the last frame of a segment that is too short"


def test_sound_is_never_padded_nor_read_where_there_is_none(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).normal(size=(3, 28))
    sound[:, 16:] = -13.8  # the sound of this video ends early
    videos = write_one(tmp_path, 14, sound)
    reader = ClipReader(videos, ClipSettings(frames=2, stride=2, size=16, future=2, crop_area=(1.0, 1.0), flip=0.0))
    segment, place = videos.videos[0].segments[0], transforms.central_place(16, 16)
    audio = Source("audio")
    first = reader.read(segment, audio, 3, place)
    assert first is not None
    np.testing.assert_array_equal(first[0] * 4 - 7, torch.from_numpy(sound.astype(np.float16)[:, 6:14].astype(np.float32)))
    assert reader.read(segment, audio, 8, place) is None, "nothing but silence"
    assert reader.read(segment, audio, 12, place) is None, "the clip goes on where the segment has ended"
    assert reader.read(segment, audio, 14, place) is None


def test_rounding_moves_sound_by_a_frame_rather_than_padding_it(tmp_path: Path) -> None:
    # 30 frames a second and hops of 20 frames a second: two thirds of a spectrogram frame each.
    videos = write_one(tmp_path, 13, np.random.default_rng(0).normal(size=(3, 9)), fps=30.0)
    reader = ClipReader(videos, ClipSettings(frames=4, stride=1, size=16, future=2, crop_area=(1.0, 1.0), flip=0.0))
    segment, place = videos.videos[0].segments[0], transforms.central_place(16, 16)
    stored = videos.shards[0].read(0, "audio", 0, 9)
    for start in range(10):
        tensor = reader.read(segment, Source("audio"), start, place)
        assert tensor is not None
        first = min(round(start / 1.5), 6)
        assert torch.equal(tensor, transforms.audio(stored[:, first : first + 3], 3)), start
