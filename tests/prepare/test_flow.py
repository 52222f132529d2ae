"""Optical flow: its direction and unit, tiny pictures, and its 8-bit form."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.prepare.flow import Preset, dense_flow, dequantise, quantise


def moving(height: int, width: int, frames: int, right: int, down: int) -> np.ndarray:
    """A smooth random texture that moves by so many pixels a frame."""
    grain = np.random.default_rng(0).normal(size=(height + 64, width + 64, 3))
    texture = cv2.GaussianBlur(grain, (0, 0), 3)
    texture = ((texture - texture.min()) / np.ptp(texture) * 255).astype(np.uint8)
    return np.stack(
        [texture[32 - down * t : 32 - down * t + height, 32 - right * t : 32 - right * t + width] for t in range(frames)]
    )


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
@pytest.mark.parametrize(("right", "down"), [(2, 1), (-3, 0), (0, 2)])
def test_flow_is_pixels_a_frame_right_and_down(preset: Preset, right: int, down: int) -> None:
    forward, backward = dense_flow(moving(72, 96, 4, right, down), preset)
    assert forward.shape == backward.shape == (3, 72, 96, 2)
    assert forward.dtype == backward.dtype == np.float32
    inner = np.s_[:, 12:-12, 12:-12]
    assert np.abs(forward[inner] - (right, down)).mean() < 0.15
    assert np.abs(backward[inner] + (right, down)).mean() < 0.15


def test_backward_is_the_flow_of_the_reversed_video() -> None:
    frames = moving(72, 96, 5, 2, 1)
    _, backward = dense_flow(frames, "medium")
    reversed_forward, _ = dense_flow(frames[::-1], "medium")
    np.testing.assert_array_equal(backward, reversed_forward[::-1])


# OpenCV refuses some of these sizes and crashes the process on others, such as 16x200.
@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 12), (12, 16), (16, 200), (200, 16), (30, 480)])
def test_tiny_pictures(preset: Preset, size: tuple[int, int]) -> None:
    forward, backward = dense_flow(moving(*size, 3, 1, 0), preset)
    assert forward.shape == backward.shape == (2, *size, 2)
    assert np.isfinite(forward).all()
    assert np.isfinite(backward).all()


def test_small_pictures_keep_their_motion() -> None:
    forward, _ = dense_flow(moving(24, 24, 3, 2, 1), "medium")
    np.testing.assert_allclose(np.median(forward, axis=(0, 1, 2)), (2, 1), atol=0.2)


def test_one_frame_has_no_flow_and_a_still_has_none_either() -> None:
    assert dense_flow(moving(40, 40, 1, 0, 0), "fast")[0].shape == (0, 40, 40, 2)
    assert np.abs(dense_flow(moving(40, 40, 3, 0, 0), "fast")[0]).max() == 0


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="preset"):
        dense_flow(moving(40, 40, 2, 0, 0), "slow")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="uint8"):
        dense_flow(np.zeros((2, 40, 40, 3), np.float32), "fast")


PIXELS = st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.nan, np.inf, -np.inf])


@given(st.lists(PIXELS, max_size=20))
def test_quantised_flow_is_within_half_a_step(values: list[float]) -> None:
    flow = np.array(values, np.float32)
    stored, scale = quantise(flow)
    assert stored.dtype == np.int8
    assert scale > 0
    clean = np.where(np.isfinite(flow), flow, 0).astype(np.float64)
    assert (np.abs(stored * scale - clean) <= scale / 2 * (1 + 1e-6)).all()
    np.testing.assert_allclose(dequantise(stored, scale), stored * scale, rtol=1e-6)


def test_no_motion_has_scale_one() -> None:
    stored, scale = quantise(np.zeros((2, 3, 3, 2), np.float32))
    assert scale == 1.0
    assert not stored.any()
