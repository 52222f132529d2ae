"""Dense optical flow by DIS, and its 8-bit form for storage.

Shape legend: T frames, H rows, W columns, C colours.
"""

from typing import Literal

import cv2
import numpy as np

Preset = Literal["ultrafast", "fast", "medium"]

# DIS needs whole patches of 8x8 at its coarsest scale, and fails on smaller pictures.
MIN_SIDE = 32


def dense_flow(rgb_THWC: np.ndarray, preset: Preset) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the flow between neighbouring frames, on one thread.

    Args:
        rgb_THWC: (T, H, W, 3) uint8.
        preset: OpenCV's name for the trade of speed against accuracy.

    Returns:
        Forward (frame t to t+1) and backward (frame t+1 to t), each (T-1, H, W, 2) float32 in pixels
        for one frame interval, x right and y down.

    Raises:
        ValueError: the preset is unknown, or the frames are not of that shape and type.
    """
    presets = {
        "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
        "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
        "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
    }
    if preset not in presets:
        raise ValueError(f"flow preset {preset!r} is none of {', '.join(presets)}")
    if rgb_THWC.ndim != 4 or rgb_THWC.shape[-1] != 3 or rgb_THWC.dtype != np.uint8:
        raise ValueError(f"frames must be uint8 of (T, H, W, 3), not {rgb_THWC.dtype} of {rgb_THWC.shape}")
    cv2.setNumThreads(1)  # worker processes share the cores already
    frames, height, width = rgb_THWC.shape[:3]
    forward = np.zeros((max(frames - 1, 0), height, width, 2), np.float32)
    backward = np.zeros_like(forward)
    # Too small a picture is continued by its edge, which moves with it, and the flow is cut back.
    below, right = max(MIN_SIDE - height, 0), max(MIN_SIDE - width, 0)
    greys = [_grey(frame, below, right) for frame in rgb_THWC]
    dis = cv2.DISOpticalFlow_create(presets[preset])  # type: ignore[attr-defined]
    if frames > 1:
        # On small pictures the first result of a new object differs from what it gives ever after
        # (0.12 pixels at 40 rows): thrown away, or forward and backward flow could be told apart.
        dis.calc(greys[0], greys[1], None)
    for index in range(frames - 1):
        forward[index] = dis.calc(greys[index], greys[index + 1], None)[:height, :width]
        backward[index] = dis.calc(greys[index + 1], greys[index], None)[:height, :width]
    return forward, backward


def _grey(frame: np.ndarray, below: int, right: int) -> np.ndarray:
    """Turn (H, W, 3) into contiguous grey with so many rows and columns repeated at its end."""
    grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    return cv2.copyMakeBorder(grey, 0, below, 0, right, cv2.BORDER_REPLICATE) if below or right else grey


def quantise(flow: np.ndarray) -> tuple[np.ndarray, float]:
    """Store a flow in 8 bits: int8 of the same shape and a scale, with value = int8 * scale.

    The scale is max(|flow|) / 127, so that no error exceeds half of it; 1.0 where nothing moves.
    Values that are not finite become 0.
    """
    clean = np.nan_to_num(flow, nan=0.0, posinf=0.0, neginf=0.0)
    peak = float(np.abs(clean).max(initial=0.0))
    scale = peak / 127.0
    if scale < float(np.finfo(np.float32).tiny):  # too small to divide by
        return np.zeros(flow.shape, np.int8), 1.0
    return np.rint(clean.astype(np.float64) / scale).astype(np.int8), scale


def dequantise(stored: np.ndarray, scale: float) -> np.ndarray:
    """Undo `quantise`: float32 pixels of the same shape."""
    return stored.astype(np.float32) * np.float32(scale)


FlowMethod = __import__("typing").Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def flow_method(name: str, weights: object = None, device: str = "cpu") -> FlowMethod:
    """Interim, by the lead: the "flow" helper replaces this file."""
    return lambda rgb_THWC: dense_flow(rgb_THWC, name.removeprefix("dis-"))  # type: ignore[arg-type]


_quantise_whole = quantise


def quantise(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-redef]
    """Interim."""
    peak_T = np.maximum(np.abs(flow).max(axis=(1, 2, 3)) / 127, 1e-12).astype(np.float32)
    return np.rint(flow / peak_T[:, None, None, None]).astype(np.int8), peak_T


def dequantise(stored: np.ndarray, scale: np.ndarray) -> np.ndarray:  # type: ignore[no-redef]
    """Interim."""
    return stored.astype(np.float32) * np.asarray(scale, np.float32)[:, None, None, None]
