"""Edges of flow: a camera's motion drops out, and what is left is measured rightly."""

import numpy as np
import pytest
import torch
from torch import Tensor

from elo_cli.engine.edges import CLAMP, DEVIATION, MEAN, flow_edges


def edges(flow: Tensor) -> Tensor:
    """Without the normalisation."""
    return flow_edges(flow) * DEVIATION + MEAN


def plain(flow_2HW: np.ndarray) -> np.ndarray:
    """The same by NumPy, from the gradients of magnitude and angle themselves; float64 (3, H, W)."""
    height, width = flow_2HW.shape[1:]
    padded = np.pad(flow_2HW, ((0, 0), (1, 1), (1, 1)), mode="edge").astype(np.float64)

    def gradient(axis: int) -> np.ndarray:
        smooth, other = np.array([0.25, 0.5, 0.25]), np.array([-0.5, 0, 0.5])
        rows, columns = (smooth, other) if axis == 1 else (other, smooth)
        return sum(  # type: ignore[return-value]
            rows[i] * columns[j] * padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)
        )

    across, down = gradient(1) * width / 100, gradient(0) * height / 100
    u, v = flow_2HW.astype(np.float64)
    rho = np.hypot(u, v)
    magnitude = [(u * each[0] + v * each[1]) / rho for each in (across, down)]  # ∂ρ = (u ∂u + v ∂v) / ρ
    direction = [(u * each[1] - v * each[0]) / rho for each in (across, down)]  # ρ ∂θ = (u ∂v - v ∂u) / ρ
    whole = np.sqrt((across**2).sum(0) + (down**2).sum(0))
    return np.stack([np.hypot(*magnitude), np.hypot(*direction), whole]).clip(0, CLAMP)


def test_they_are_the_gradients_of_magnitude_and_direction() -> None:
    flow = torch.randn(2, 2, 3, 12, 16, generator=torch.Generator().manual_seed(0)) * 4
    found = edges(flow)
    assert found.shape == (2, 3, 3, 12, 16)
    for clip in range(2):
        for frame in range(3):
            np.testing.assert_allclose(found[clip, :, frame].numpy(), plain(flow[clip, :, frame].numpy()), rtol=1e-3, atol=1e-4)


def test_a_camera_that_pans_drops_out() -> None:
    still = torch.zeros(1, 2, 4, 20, 20)
    assert torch.equal(
        edges(still + torch.tensor([3.0, -2.0]).view(1, 2, 1, 1, 1)).round(decimals=6), edges(still).round(decimals=6)
    )
    assert edges(still).abs().max() < 1e-6
    moving = still.clone()
    moving[..., 6:12, 8:14] = 1.5
    panned = edges(moving + torch.tensor([-4.0, 1.0]).view(1, 2, 1, 1, 1))
    torch.testing.assert_close(panned[:, 2], edges(moving)[:, 2], rtol=1e-4, atol=1e-5)
    assert panned[0, :, 0, :4].abs().max() < 1e-5, "the background has no edge, whatever the camera does"
    assert panned[0, 2, 0, 6:12, 7:9].min() > 0.05


def test_what_is_too_much_is_cut_off_and_zooming_is_the_same_everywhere() -> None:
    wild = torch.randn(1, 2, 1, 16, 16) * 1000
    assert edges(wild).max() == pytest.approx(CLAMP, rel=1e-5)
    rows, columns = torch.meshgrid(torch.arange(10.0), torch.arange(20.0), indexing="ij")
    zoom = torch.stack([columns / 20, rows / 10])[None, :, None] * 100 * 0.03  # 3% a frame, in hundredths of the sides
    inner = edges(zoom)[0, 2, 0, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.03 * 2**0.5), rtol=1e-3, atol=1e-4)


def test_flow_of_nothing_and_half_precision() -> None:
    flow = torch.randn(1, 2, 2, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(flow_edges(flow), flow_edges(flow.clone()))
    with torch.autocast("cpu", torch.bfloat16):
        found = flow_edges(flow)
    assert found.dtype == torch.float32 and torch.equal(found, flow_edges(flow))
    assert torch.isfinite(flow_edges(torch.zeros(1, 2, 2, 8, 8))).all()


def test_the_layout_of_memory_stays() -> None:
    flow = torch.randn(2, 2, 4, 8, 8).contiguous(memory_format=torch.channels_last_3d)
    assert flow_edges(flow).is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(flow_edges(flow), flow_edges(flow.contiguous()))
