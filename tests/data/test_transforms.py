"""From stored frames to tensors: crops, mirrors, units and normalisation, against plain NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.core.train_settings import ClipSettings
from elo_cli.data import transforms
from elo_cli.data.transforms import Place

RANDOM = np.random.default_rng(0)
FRAMES = RANDOM.integers(0, 256, (3, 20, 30, 3), np.uint8)
VECTORS = RANDOM.integers(-127, 128, (3, 20, 30, 2)).astype(np.int8)


def test_rgb_is_cropped_and_normalised_exactly() -> None:
    wanted = (FRAMES[:, 2:18, 5:21] / 255 - transforms.RGB_MEAN) / transforms.RGB_DEVIATION
    got = transforms.rgb(FRAMES, Place(2, 5, 16, 16, False), 16)
    assert got.dtype == torch.float32
    np.testing.assert_allclose(got.numpy(), wanted.transpose(3, 0, 1, 2), rtol=0, atol=2e-6)
    mirrored = transforms.rgb(FRAMES, Place(2, 5, 16, 16, True), 16)
    assert torch.equal(mirrored, got.flip(3))


def test_resizing_halves_by_averaging_neighbours_and_keeps_constants() -> None:
    flat = np.full((1, 20, 20, 3), 100, np.uint8)
    assert transforms.rgb(flat, Place(0, 0, 20, 20, False), 7).flatten(1).std(1).max() < 1e-5
    ramp = np.repeat(np.arange(20, dtype=np.uint8)[None, None, :, None], 20, 1).repeat(3, 3)
    shrunk = transforms.rgb(ramp, Place(0, 0, 20, 20, False), 10)[0, 0] * transforms.RGB_DEVIATION[0] + transforms.RGB_MEAN[0]
    np.testing.assert_allclose(shrunk[5, 2:8].numpy() * 255, np.arange(2, 8) * 2 + 0.5, atol=1e-3)


def test_grey_is_luma() -> None:
    place = Place(2, 5, 16, 16, False)
    luma = (FRAMES[:, 2:18, 5:21] / 255) @ np.array([0.299, 0.587, 0.114])
    grey = transforms.grey(transforms.rgb(FRAMES, place, 16))
    np.testing.assert_allclose(grey[0].numpy() * 0.22 + 0.40, luma, atol=1e-6)


@given(st.integers(1, 20), st.lists(st.floats(1e-4, 1), min_size=3, max_size=3), st.booleans(), st.data())
def test_flow_is_in_hundredths_of_the_side_and_mirrors(side: int, scales: list[float], flip: bool, data: st.DataObject) -> None:
    top, left = data.draw(st.integers(0, 20 - side)), data.draw(st.integers(0, 30 - side))
    scale_T = np.array(scales, np.float32)  # each frame has a scale of its own
    got = transforms.flow(VECTORS, scale_T, Place(top, left, side, side, flip), side).numpy()
    pixels = VECTORS[:, top : top + side, left : left + side].astype(np.float64) * scale_T[:, None, None, None]
    if flip:
        pixels = pixels[:, :, ::-1] * (-1, 1)
    np.testing.assert_allclose(got, (pixels * 100 / side).transpose(3, 0, 1, 2), rtol=1e-4, atol=1e-4)


def test_flow_does_not_depend_on_the_size_it_is_shown_at() -> None:
    constant = np.full((1, 16, 16, 2), 10, np.int8)
    for size in (4, 16, 33):
        shown = transforms.flow(constant, np.full(1, 0.2, np.float32), Place(0, 0, 16, 16, False), size)
        assert torch.allclose(shown, torch.tensor(2 * 100 / 16))


def test_sound_is_normalised_and_padded_with_its_floor() -> None:
    stored = np.array([[-13.8, 0.0], [1.0, -7.0]], np.float16)
    got = transforms.audio(stored, 4)
    assert got.shape == (1, 2, 4)
    np.testing.assert_allclose(got[0, :, :2].numpy(), (stored.astype(np.float64) + 7) / 4, atol=1e-6)
    assert (got[0, :, 2:] == got.min()).all()
    assert transforms.audio(stored, 1).shape == (1, 2, 1)


def clip(area: tuple[float, float], aspect: tuple[float, float] = (1, 1), flip: float = 0.5) -> ClipSettings:
    return ClipSettings.model_validate({"crop_area": area, "crop_aspect": aspect, "flip": flip})


@given(st.tuples(*[st.floats(0, 1)] * 5), st.integers(1, 50), st.integers(1, 50), st.floats(0.05, 1))
def test_crops_are_squares_inside_the_frame(
    numbers: tuple[float, float, float, float, float], height: int, width: int, least: float
) -> None:
    top, left, rows, columns, _ = transforms.training_place(numbers, height, width, clip((least, 1.0)))
    assert 1 <= rows == columns <= min(height, width)
    assert 0 <= top <= height - rows and 0 <= left <= width - rows
    assert (
        abs(rows**2 / min(height, width) ** 2 - (least + numbers[0] * (1 - least)))
        <= 1.1 / min(height, width) + 0.26 / min(height, width) ** 2
    )


@given(st.tuples(*[st.floats(0, 1)] * 5), st.integers(1, 200), st.integers(1, 200))
def test_crops_of_another_aspect_lie_inside_too(
    numbers: tuple[float, float, float, float, float], height: int, width: int
) -> None:
    top, left, rows, columns, _ = transforms.training_place(numbers, height, width, clip((0.2, 0.5), (0.5, 2)))
    assert rows >= 1 and columns >= 1 and 0 <= top <= height - rows and 0 <= left <= width - columns


def test_aspects_are_even_in_the_logarithm() -> None:
    places = [transforms.training_place((0, 0, 0, 0, n), 400, 400, clip((0.25, 0.25), (0.5, 2))) for n in (0, 0.25, 0.5, 1)]
    assert [place.width / place.height for place in places] == pytest.approx([0.5, 0.5**0.5, 1, 2], rel=0.02)
    assert [place.width * place.height for place in places] == pytest.approx([200 * 200] * 4, rel=0.02)


def test_flow_of_an_oblong_crop_is_in_hundredths_of_each_side() -> None:
    constant = np.full((1, 20, 30, 2), 10, np.int8)
    shown = transforms.flow(constant, np.full(1, 0.2, np.float32), Place(1, 2, 8, 16, False), 4)
    assert torch.allclose(shown[0], torch.tensor(2 * 100 / 16)) and torch.allclose(shown[1], torch.tensor(2 * 100 / 8))


def test_every_corner_is_reached_alike() -> None:
    draws = np.random.default_rng(0).random((3000, 5))
    places = [transforms.training_place(tuple(row), 18, 17, clip((0.885, 0.886), flip=0.25)) for row in draws]
    assert {place.width for place in places} == {16}
    tops, lefts = (np.bincount([place[axis] for place in places]) for axis in (0, 1))
    assert len(tops) == 3 and tops.min() > 900
    assert len(lefts) == 2 and lefts.min() > 1400
    assert np.mean([place.flip for place in places]) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(("chance", "flipped"), [(0.0, False), (1.0, True)])
def test_never_and_always_mirrored(chance: float, flipped: bool) -> None:
    always = clip((1, 1), flip=chance)
    assert {transforms.training_place((0, 0, 0, n, 0), 9, 9, always).flip for n in (0.0, 0.5, 1 - 2**-53)} == {flipped}


def test_the_central_crop() -> None:
    assert transforms.central_place(20, 30) == Place(0, 5, 20, 20, False)
    assert transforms.central_place(31, 20) == Place(5, 0, 20, 20, False)


def test_the_whole_frame_is_squeezed_and_only_mirrored() -> None:
    whole = ClipSettings(frame="whole", crop_area=(0.5, 0.6), flip=0.25)
    assert transforms.training_place((0.3, 0.9, 0.9, 0.5, 0.5), 20, 30, whole) == Place(0, 0, 20, 30, False)
    assert transforms.training_place((0.3, 0.9, 0.9, 0.1, 0.5), 20, 30, whole) == Place(0, 0, 20, 30, True)
    assert transforms.whole_place(20, 30) == Place(0, 0, 20, 30, False)
    frames = np.zeros((1, 20, 30, 3), np.uint8)
    frames[:, 5:10, 15:30] = 255  # a box from (1/2, 1/4) to (1, 1/2) is there in the clip as well
    seen = transforms.seen_rgb(transforms.rgb(frames, transforms.whole_place(20, 30), 40))[0, ..., 0]
    assert (seen[12:18, 22:] == 255).all() and not seen[:8].any() and not seen[22:].any() and not seen[:, :18].any()
