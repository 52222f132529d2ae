"""Optical flow: its direction and unit, tiny pictures, one method for many films, and its 8-bit form."""

import functools
from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from elo_cli.core.errors import UsageError
from elo_cli.core.settings import FlowName
from elo_cli.prepare.flow import DIS, METHODS, dequantise, flow_method, quantise

ON_PROCESSOR = [name for name in METHODS if name != "raft"]  # of raft there is test_raft.py


@functools.cache
def moving(height: int, width: int, frames: int, right: int, down: int) -> np.ndarray:
    """A smooth random texture that moves by so many pixels a frame."""
    grain = np.random.default_rng(0).normal(size=(height + 64, width + 64, 3))
    texture = cv2.GaussianBlur(grain, (0, 0), 3)
    texture = ((texture - texture.min()) / np.ptp(texture) * 255).astype(np.uint8)
    return np.stack(
        [texture[32 - down * t : 32 - down * t + height, 32 - right * t : 32 - right * t + width] for t in range(frames)]
    )


def test_the_settings_offer_these_methods() -> None:
    assert {*METHODS, "none", "motion-vectors"} == set(get_args(FlowName))
    assert set(DIS) < set(METHODS)


@pytest.mark.parametrize("name", ON_PROCESSOR)
@pytest.mark.parametrize(("right", "down"), [(2, 1), (-3, 0), (0, 2)])
def test_flow_is_pixels_a_frame_right_and_down(name: str, right: int, down: int) -> None:
    forward, backward = flow_method(name)(moving(72, 96, 4, right, down))
    assert forward.shape == backward.shape == (3, 72, 96, 2)
    assert forward.dtype == backward.dtype == np.float32
    inner = np.s_[:, 12:-12, 12:-12]
    assert np.abs(forward[inner] - (right, down)).mean() < 0.15
    assert np.abs(backward[inner] + (right, down)).mean() < 0.15


@pytest.mark.parametrize("name", ON_PROCESSOR)
@pytest.mark.parametrize("size", [(72, 96), (40, 40)])  # on the smaller, DIS changes its mind after its first call
def test_backward_is_the_flow_of_the_reversed_film(name: str, size: tuple[int, int]) -> None:
    frames = moving(*size, 4, 2, 1)
    forward, backward = flow_method(name)(frames)
    reversed_forward, reversed_backward = flow_method(name)(frames[::-1])
    np.testing.assert_array_equal(backward, reversed_forward[::-1])
    np.testing.assert_array_equal(forward, reversed_backward[::-1])


@pytest.mark.parametrize("name", ON_PROCESSOR)
def test_a_method_forgets_the_film_before(name: str) -> None:
    large, small = moving(72, 96, 3, 2, 1), moving(40, 40, 3, 1, 0)
    method = flow_method(name)
    expected = method(large)
    method(small)
    for again, before in zip(method(large), expected, strict=True):
        np.testing.assert_array_equal(again, before)


# OpenCV refuses some of these sizes and crashes the process on others, such as 16x200.
@pytest.mark.parametrize("name", ON_PROCESSOR)
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 12), (12, 16), (16, 200), (200, 16), (30, 480)])
def test_tiny_pictures(name: str, size: tuple[int, int]) -> None:
    forward, backward = flow_method(name)(moving(*size, 2, 1, 0))
    assert forward.shape == backward.shape == (1, *size, 2)
    assert np.isfinite(forward).all()
    assert np.isfinite(backward).all()


@pytest.mark.parametrize("name", ON_PROCESSOR)
def test_small_pictures_keep_their_motion(name: str) -> None:
    forward, _ = flow_method(name)(moving(24, 24, 3, 2, 1))
    np.testing.assert_allclose(np.median(forward, axis=(0, 1, 2)), (2, 1), atol=0.2)


@pytest.mark.parametrize("name", ON_PROCESSOR)
def test_one_frame_has_no_flow_and_a_still_has_none_either(name: str) -> None:
    method = flow_method(name)
    assert method(moving(40, 40, 1, 0, 0))[0].shape == (0, 40, 40, 2)
    # Farnebäck's weights fall off towards the edges, so that he sees them move a little.
    assert np.abs(method(moving(40, 40, 3, 0, 0))[0]).max() <= (0.2 if name == "farneback" else 0.0)


def test_finer_dis_errs_less() -> None:
    """What docs/flow.md says of the three settings, on a turn about the middle of the picture."""
    grain = np.random.default_rng(1).normal(size=(128, 172)).astype(np.float32)
    texture = (
        sum(cv2.normalize(cv2.GaussianBlur(grain, (0, 0), blur), None, -40, 40, cv2.NORM_MINMAX) for blur in (1, 3, 9)) + 128
    )
    turn = np.radians(3.0)
    matrix = cv2.getRotationMatrix2D((85.5, 63.5), np.degrees(turn), 1.0)
    second = cv2.warpAffine(texture, matrix, (172, 128), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    frames = np.repeat(np.stack([texture, second]).clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    y, x = np.mgrid[:128, :172]
    truth = np.stack([x, y], -1) @ matrix[:, :2].T + matrix[:, 2] - np.stack([x, y], -1)
    errors = [
        np.linalg.norm(flow_method(name)(frames)[0][0] - truth, axis=-1)[16:-16, 16:-16].mean()
        for name in ("dis-ultrafast", "dis-fast", "dis-medium")
    ]
    assert 0.4 > errors[0] > errors[1] > errors[2]


def test_nonsense_is_refused() -> None:
    for name in ("slow", "none", "motion-vectors"):
        with pytest.raises(ValueError, match="flow method"):
            flow_method(name)
    with pytest.raises(ValueError, match="uint8"):
        flow_method("dis-fast")(np.zeros((2, 40, 40, 3), np.float32))
    with pytest.raises(ValueError, match="uint8"):
        flow_method("dis-fast")(np.zeros((40, 40, 3), np.uint8))


def test_raft_needs_its_weights() -> None:
    with pytest.raises(UsageError, match="needs a file") as caught:
        flow_method("raft")
    assert "flow_weights" in caught.value.hint


PIXELS = st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 2.0**-146, 2.0**127])
FLOWS = arrays.arrays(np.float32, st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3), st.just(2)), elements=PIXELS)


@given(FLOWS)
def test_quantised_flow_is_within_half_a_step_of_its_own_frame(flow: np.ndarray) -> None:
    before = flow.copy()
    stored, scale_T = quantise(flow)
    np.testing.assert_array_equal(flow, before)
    assert stored.dtype == np.int8
    assert stored.shape == flow.shape
    assert scale_T.dtype == np.float32
    assert scale_T.shape == (len(flow),)
    clean = np.where(np.isfinite(flow), flow, 0).astype(np.float64)
    for t, scale in enumerate(scale_T.astype(np.float64)):
        assert scale > 0
        assert (np.abs(stored[t] * scale - clean[t]) <= scale / 2 * (1 + 1e-4)).all()
        peak = np.abs(clean[t]).max()
        assert scale == 1.0 if peak / 127 < np.finfo(np.float32).tiny else scale == pytest.approx(peak / 127, rel=1e-6)
    np.testing.assert_allclose(dequantise(stored, scale_T), stored * scale_T[:, None, None, None], rtol=1e-6)
    assert dequantise(stored, scale_T).dtype == np.float32


def test_a_fast_frame_does_not_coarsen_its_neighbours() -> None:
    flow = np.zeros((3, 2, 2, 2), np.float32)
    flow[0, 0, 0, 0], flow[1, 0, 0, 0] = -127.0, 1.27
    stored, scale_T = quantise(flow)
    np.testing.assert_allclose(scale_T, [1.0, 0.01, 1.0], rtol=1e-6)
    assert stored[:, 0, 0, 0].tolist() == [-127, 127, 0]
    np.testing.assert_allclose(dequantise(stored, scale_T), flow, rtol=1e-6)


def test_uniform_errors_of_eight_bits() -> None:
    """docs/flow.md: on average a quarter of a step for each component, of 254 steps from -peak to peak."""
    flow = np.random.default_rng(0).uniform(-6, 6, (2, 64, 64, 2)).astype(np.float32)
    errors = np.abs(dequantise(*quantise(flow)) - flow)
    np.testing.assert_allclose(errors.mean(), 6 / 127 / 4, rtol=0.02)
    assert errors.max() <= 6 / 127 / 2 * (1 + 1e-4)
