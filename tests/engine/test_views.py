"""Views: what each form does to a clip, and that no trivial statistic of the input gives the form away."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from elo_cli.core.clip import MODALITIES, ClipBatch, Form, Modality, Source, View, Window
from elo_cli.core.settings import SpecAugmentSettings
from elo_cli.data.loader import training_clips
from elo_cli.data.transforms import Place, audio, flow, rgb
from elo_cli.engine.views import forms_of, make_view, shuffled_orders
from elo_cli.prepare.audio import log_mel
from elo_cli.prepare.flow import flow_method, quantise
from tests.support.shards import CLIP, random_batch, write_set

SHAPES = {
    Source("rgb"): (3, 5, 4, 4),
    Source("flow"): (2, 5, 4, 4),
    Source("flow", "clip", True): (2, 5, 4, 4),
    Source("audio"): (1, 3, 20),
    Source("rgb", "shifted"): (3, 5, 4, 4),
}


def test_clean_and_shifted_are_what_the_loader_brought() -> None:
    batch = random_batch(SHAPES)
    assert make_view(batch, View("rgb"), 0, 0) is batch.inputs[Source("rgb")]
    assert make_view(batch, View("rgb", "shifted"), 0, 0) is batch.inputs[Source("rgb", "shifted")]


def test_reversed_is_played_backwards_and_flow_is_that_of_the_reversed_video() -> None:
    batch = random_batch(SHAPES)
    assert torch.equal(make_view(batch, View("rgb", "reversed"), 0, 0), batch.inputs[Source("rgb")].flip(2))
    assert torch.equal(make_view(batch, View("audio", "reversed"), 0, 0), batch.inputs[Source("audio")].flip(3))
    assert torch.equal(make_view(batch, View("flow", "reversed"), 0, 0), batch.inputs[Source("flow", "clip", True)].flip(2))


def test_the_flow_of_a_reversed_video_is_the_reversed_backward_flow() -> None:
    frames = moving_texture(np.random.default_rng(0), (2, 1), 6)
    flow_of = flow_method("dis-ultrafast")
    _, backward = flow_of(frames)
    of_reversed, _ = flow_of(frames[::-1])
    np.testing.assert_array_equal(of_reversed, backward[::-1])


@pytest.mark.parametrize("form", ["clean", "shuffled", "reversed"])
def test_views_keep_the_layout_of_what_was_loaded(form: Form) -> None:
    batch = random_batch(SHAPES)
    batch.inputs[Source("rgb")] = batch.inputs[Source("rgb")].contiguous(memory_format=torch.channels_last_3d)
    assert make_view(batch, View("rgb", form), 0, 0).is_contiguous(memory_format=torch.channels_last_3d)


def test_shuffled_has_the_same_frames_in_another_order() -> None:
    batch = random_batch(SHAPES)
    for modality, axis, pieces in (("rgb", 2, 5), ("flow", 2, 5), ("audio", 3, 8)):
        clean, shuffled = batch.inputs[Source(modality)], make_view(batch, View(modality, "shuffled"), 7, 3)  # type: ignore[arg-type]
        orders = shuffled_orders(len(clean), pieces, 7, 3)
        edges = np.linspace(0, clean.shape[axis], pieces + 1).round().astype(int)
        for row, order in enumerate(orders):
            parts = [clean[row].narrow(axis - 1, edges[p], edges[p + 1] - edges[p]) for p in order]
            assert torch.equal(shuffled[row], torch.cat(parts, axis - 1))


@given(st.integers(1, 5), st.integers(2, 9), st.integers(0, 2**40), st.integers(0, 10**6))
def test_orders_are_neither_forwards_nor_backwards(clips: int, pieces: int, seed: int, step: int) -> None:
    orders = shuffled_orders(clips, pieces, seed, step)
    assert np.array_equal(orders, shuffled_orders(clips, pieces, seed, step))
    forward = list(range(pieces))
    for order in orders.tolist():
        assert sorted(order) == forward and order != forward
        assert pieces == 2 or order != forward[::-1]


def test_orders_differ_by_clip_step_and_seed() -> None:
    orders = [shuffled_orders(2, 16, seed, step) for seed, step in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order) for pair in orders for order in pair.tolist()}) == 6


def test_forms_stand_in_a_fixed_order() -> None:
    forms: tuple[Form, ...] = ("shifted", "reversed", "clean", "shuffled")
    views = frozenset(View(name, form) for name in MODALITIES for form in forms)
    assert forms_of(views, "flow") == [View("flow", form) for form in ("clean", "shuffled", "reversed", "shifted")]


OTHERS: tuple[tuple[Modality, int], ...] = (("grey", 1), ("flow", 1), ("audio", 2))  # and their axis of time


def moving_texture(random: np.random.Generator, motion: tuple[int, int], frames: int) -> np.ndarray:
    """A smooth texture that moves evenly: a film whose direction of time nobody could tell."""
    grain = random.normal(size=(80, 80, 3))
    for _ in range(3):
        grain = sum(np.roll(grain, shift, axis) for shift in (-1, 0, 1) for axis in (0, 1))
    texture = ((grain - grain.min()) / np.ptp(grain) * 255).astype(np.uint8)
    return np.stack([texture[20 - motion[1] * t :, 20 - motion[0] * t :][:40, :40] for t in range(frames)])


def statistics(clip: torch.Tensor, axis: int, *, change: bool = True) -> np.ndarray:
    """What can be read off a clip at a glance: level, spread and sharpness at its ends and over all, and its change."""
    frames = clip.movedim(axis, 0).flatten(2).double()
    steps = (frames[1:] - frames[:-1]).abs()
    sharp = (frames[..., 1:] - frames[..., :-1]).abs().mean(2)
    values = [frames.mean(2), frames.std(2), sharp]
    numbers = [value[index] for value in values for index in (0, -1)] + [value.mean(0) for value in values]
    numbers += [frames.amax((0, 2)), frames.amin((0, 2))]
    if change:
        numbers += [steps[0].mean(1), steps[-1].mean(1), steps.mean((0, 2))]
    return torch.cat(numbers).numpy()


def probe(clean: list[np.ndarray], changed: list[np.ndarray]) -> float:
    """How often a linear probe tells the two apart on films that it has not seen."""
    half = len(clean) // 2
    rows, labels = np.array(clean + changed), np.repeat([0, 1], len(clean))
    seen = np.tile(np.arange(len(clean)) < half, 2)
    rows = (rows - rows[seen].mean(0)) / (rows[seen].std(0) + 1e-9)
    fitted = LogisticRegression(C=0.1, max_iter=500).fit(rows[seen], labels[seen])
    return float(fitted.score(rows[~seen], labels[~seen]))


def drifting_clips(count: int) -> list[ClipBatch]:
    """Clips of even motion and even noise, one in each batch."""
    random, batches = np.random.default_rng(1), []
    flow_of = flow_method("dis-ultrafast")
    for _ in range(count):
        motion = tuple(int(part) for part in random.integers(-3, 4, 2))
        frames = moving_texture(random, (motion[0], motion[1]), 6)
        forward, backward = (quantise(field) for field in flow_of(frames))
        sound = log_mel(random.normal(size=9600).astype(np.float32) * 0.1, 16_000, mels=8).astype(np.float16)
        place = Place(0, 0, 32, 32, False)
        inputs = {
            Source("rgb"): rgb(frames[:-1], place, 16),
            Source("flow"): flow(forward[0], forward[1], place, 16),
            Source("flow", "clip", True): flow(backward[0], backward[1], place, 16),
            Source("audio"): audio(sound, sound.shape[1]),
        }
        batches.append(ClipBatch({source: tensor[None] for source, tensor in inputs.items()}, {}, ("a",), torch.zeros(1)))
    return batches


# Frames out of order change faster than in order: to see that is what shuffle asks for, so it is no leak.
@pytest.mark.parametrize("modality", ["rgb", "flow", "audio"])
@pytest.mark.parametrize("form", ["reversed", "shuffled"])
def test_statistics_do_not_give_a_changed_form_away(modality: Modality, form: Form) -> None:
    axis, change = (2 if modality == "audio" else 1), form == "reversed"
    clean, changed = (
        [statistics(make_view(batch, view, 0, step)[0], axis, change=change) for step, batch in enumerate(drifting_clips(80))]
        for view in (View(modality), View(modality, form))
    )
    assert 0.35 < probe(clean, changed) < 0.65
    # The probe is not blind: half a frame of fading at the end of each clip would be found.
    assert probe([row + np.eye(len(row))[1] * 3 * np.std(clean) for row in clean], changed) > 0.8


def test_statistics_do_not_tell_the_same_moment_from_another(tmp_path: Path) -> None:
    # In these films time can be read off the brightness and the loudness of any frame.
    videos = write_set(tmp_path / "set", videos=120, segments=1, fading=True, deaf=())
    names = [Source(name, window) for name in ("rgb", "grey", "flow", "audio") for window in ("clip", "shifted")]  # type: ignore[arg-type]
    batch = training_clips(videos, CLIP, frozenset(names), batch=120, seed=0)[0]

    def rows(window: Window, *, difference: bool = False) -> list[np.ndarray]:
        first = [statistics(clip, 1) for clip in batch.inputs[Source("rgb")]]
        second = [
            np.concatenate([statistics(batch.inputs[Source(name, window)][row], axis) for name, axis in OTHERS])
            for row in range(120)
        ]
        apart = [np.abs(one[:3] - other[:1]) if difference else np.zeros(0) for one, other in zip(first, second, strict=True)]
        return [np.concatenate(parts) for parts in zip(first, second, apart, strict=True)]

    assert 0.3 < probe(rows("clip"), rows("shifted")) < 0.7
    # The probe is not blind: were it told how much the two differ, it would know.
    assert probe(rows("clip", difference=True), rows("shifted", difference=True)) > 0.8


def sound_batch(clips: int = 6) -> ClipBatch:
    sound = torch.randn(clips, 1, 20, 40, generator=torch.Generator().manual_seed(0))
    return ClipBatch({Source("audio"): sound}, {}, ("a",) * clips, torch.arange(clips))


def test_stripes_cover_the_same_of_every_view_and_no_target() -> None:
    batch, form = sound_batch(), SpecAugmentSettings(masks=2, time=0.5, mels=0.3)
    before = batch.inputs[Source("audio")].clone()
    covered = [make_view(batch, View("audio", name), 0, 7, form) == 0 for name in ("clean", "shuffled", "reversed")]
    assert all(torch.equal(covered[0], other) for other in covered[1:])
    assert torch.equal(batch.inputs[Source("audio")], before)
    assert torch.equal(make_view(batch, View("audio"), 0, 7, form)[~covered[0]], before[~covered[0]])
    assert not torch.equal(make_view(batch, View("audio"), 0, 8, form) == 0, covered[0])
    assert len({tuple(clip.flatten().tolist()) for clip in covered[0]}) == 6


def test_stripes_are_whole_and_no_wider_than_asked() -> None:
    batch = sound_batch(200)
    for mels, time, axis in ((0.25, 0.0, 2), (0.0, 0.25, 3)):
        seen = make_view(batch, View("audio"), 0, 0, SpecAugmentSettings(masks=1, time=time, mels=mels))
        covered = (seen == 0).all(5 - axis)[:, 0]  # along the other axis a stripe goes all the way
        assert torch.equal(covered.sum(1) * seen.shape[5 - axis], (seen == 0).sum((1, 2, 3)))
        widths = covered.sum(1)
        assert widths.max() == seen.shape[axis] // 4 and widths.min() == 0
        edges = (covered[:, 1:] != covered[:, :-1]).sum(1)
        assert edges.max() == 2
        assert covered.any(0).all()  # anywhere


def test_no_stripes_unless_asked_for() -> None:
    batch = sound_batch()
    for form in (None, SpecAugmentSettings()):
        assert torch.equal(make_view(batch, View("audio"), 0, 0, form), batch.inputs[Source("audio")])
