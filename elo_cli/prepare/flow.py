"""Dense optical flow by several methods, and its 8-bit form for storage.

Shape legend: T frames, H rows, W columns, C colours.

Every method here makes of T frames the flow of their T-1 intervals, forward (frame t to t+1) and backward (frame t+1
to t), in pixels for one interval, x right and y down. The backward flow is the flow of the reversed film,
reversed, to the last bit: nobody can tell from the flow which way a film ran.
docs/flow.md compares the methods in quality and cost.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from elo_cli.core.errors import UsageError

# (T, H, W, 3) uint8 -> forward, backward: each (T-1, H, W, 2) float32.
FlowMethod = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
# Two grey pictures (H, W) uint8 -> the flow from the first to the second (H, W, 2) float32.
Estimator = Callable[[np.ndarray, np.ndarray], np.ndarray]

# DIS needs whole patches of 8x8 at its coarsest scale, and fails on smaller pictures.
MIN_SIDE = 32


@dataclass(frozen=True)
class DisSettings:
    """How DIS (Kroeger et al. 2016) trades accuracy for time; patches are of 8x8 pixels.

    Attributes:
        finest: the scale that it stops at: sides are divided by 2**finest, and the flow enlarged.
        stride: pixels from one patch to the next.
        descents: steps of gradient descent of each patch.
        refinements: iterations of the variational refinement of each scale.
    """

    finest: int
    stride: int
    descents: int
    refinements: int


DIS = {
    "dis-ultrafast": DisSettings(finest=2, stride=4, descents=12, refinements=0),  # OpenCV's preset of that name
    # Not OpenCV's "fast" (2, 4, 16, 5), which takes nearly as long and errs by half as much again: docs/flow.md.
    "dis-fast": DisSettings(finest=1, stride=5, descents=12, refinements=0),
    "dis-medium": DisSettings(finest=1, stride=3, descents=25, refinements=5),  # OpenCV's preset of that name
}


def flow_method(name: str, weights: Path | None = None, device: str = "cpu") -> FlowMethod:
    """Make the method of that name; it may be kept and used for one film after the other, of any sizes.

    Args:
        name: one of `METHODS`.
        weights: the file of RAFT's weights; for raft, and for it alone.
        device: what RAFT runs on: cpu, cuda, cuda:N, or auto for cuda where there is one. The other methods run
            on one thread of the processor.

    Raises:
        ValueError: there is no such method.
        UsageError: raft without weights, or with a file that does not hold them.
        MachineError: raft on a device that is not there.
    """
    if name == "raft":
        if weights is None:
            raise UsageError("Flow by raft needs a file of weights.", hint="Name it with preprocess.flow_weights.")
        from elo_cli.prepare.raft import Raft

        return Raft(weights, device)
    if name not in _ESTIMATORS:
        raise ValueError(f"flow method {name!r} is none of {', '.join(METHODS)}")
    return functools.partial(_flow_of_film, _ESTIMATORS[name])


def check_frames(rgb_THWC: np.ndarray) -> None:
    """Raise ValueError unless frames are (T, H, W, 3) uint8."""
    if rgb_THWC.ndim != 4 or rgb_THWC.shape[-1] != 3 or rgb_THWC.dtype != np.uint8:
        raise ValueError(f"frames must be uint8 of (T, H, W, 3), not {rgb_THWC.dtype} of {rgb_THWC.shape}")


def _flow_of_film(make: Callable[[], Estimator], rgb_THWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the flow between neighbouring frames by a new estimator, on one thread."""
    check_frames(rgb_THWC)
    cv2.setNumThreads(1)  # worker processes share the cores already
    frames, height, width = rgb_THWC.shape[:3]
    forward = np.zeros((max(frames - 1, 0), height, width, 2), np.float32)
    backward = np.zeros_like(forward)
    # Too small a picture is continued by its edge, which moves with it, and the flow is cut back.
    below, right = max(MIN_SIDE - height, 0), max(MIN_SIDE - width, 0)
    greys = [_grey(frame, below, right) for frame in rgb_THWC]
    estimate = make()
    for index in range(frames - 1):
        forward[index] = estimate(greys[index], greys[index + 1])[:height, :width]
        backward[index] = estimate(greys[index + 1], greys[index])[:height, :width]
    return forward, backward


def _grey(frame: np.ndarray, below: int, right: int) -> np.ndarray:
    """Turn (H, W, 3) into contiguous grey with so many rows and columns repeated at its end."""
    grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)
    return cv2.copyMakeBorder(grey, 0, below, 0, right, cv2.BORDER_REPLICATE) if below or right else grey


def _dis(settings: DisSettings) -> Estimator:
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)  # type: ignore[attr-defined]
    dis.setFinestScale(settings.finest)
    dis.setPatchStride(settings.stride)
    dis.setGradientDescentIterations(settings.descents)
    dis.setVariationalRefinementIterations(settings.refinements)
    warm = False

    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        nonlocal warm
        if not warm:
            # Given a small picture, the object changes its own finest scale in the course of its first call, whose
            # result therefore differs from all later ones (by 0.1 pixels at 40 rows): forward and backward flow
            # could be told apart. For the same reason one object must not serve pictures of several sizes.
            dis.calc(first, second, None)
            warm = True
        flow: np.ndarray = dis.calc(first, second, None)
        return flow

    return estimate


def _farneback() -> Estimator:
    """Farnebäck 2003, with the values of OpenCV's own examples."""

    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        flow: np.ndarray = cv2.calcOpticalFlowFarneback(
            first, second, None, pyr_scale=0.5, levels=3, winsize=15, iterations=3, poly_n=5, poly_sigma=1.2, flags=0
        )  # type: ignore[call-overload]  # None, for a new array, is missing from OpenCV's types
        return flow

    return estimate


def _tv_l1() -> Estimator:
    """Zach et al. 2007 as OpenCV's contributors wrote it, with its defaults: the flow of two-stream papers and their heirs."""
    tv_l1 = cv2.optflow.DualTVL1OpticalFlow_create()  # type: ignore[attr-defined]

    def estimate(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        flow: np.ndarray = tv_l1.calc(first, second, None)
        return flow

    return estimate


_ESTIMATORS: dict[str, Callable[[], Estimator]] = {
    **{name: functools.partial(_dis, settings) for name, settings in DIS.items()},
    "farneback": _farneback,
    "tv-l1": _tv_l1,
}
METHODS = (*_ESTIMATORS, "raft")  # every FlowName of the settings that frames are enough for


def quantise(flow_THWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Store a flow in 8 bits: int8 of the same shape and, for each frame, a scale (T,) float32: value = int8 * scale.

    The scale is max(|flow of the frame|) / 127, so that no error exceeds half of it (and float32's rounding);
    1.0 where nothing moves. Values that are not finite become 0.
    """
    stored = np.zeros(flow_THWC.shape, np.int8)
    scales = np.ones(len(flow_THWC), np.float32)
    for index, flow in enumerate(flow_THWC):
        peak = max(flow.max(initial=0.0), -flow.min(initial=0.0))  # NaN wins
        if not np.isfinite(peak):
            flow = np.nan_to_num(flow, nan=0.0, posinf=0.0, neginf=0.0)
            peak = np.abs(flow).max(initial=0.0)
        scale = np.float32(peak / 127.0)
        if scale >= np.finfo(np.float32).tiny:  # not too small to divide by
            scaled = flow * (np.float32(1.0) / scale)
            stored[index] = np.rint(scaled, out=scaled)
            scales[index] = scale
    return stored, scales


def dequantise(stored_THWC: np.ndarray, scale_T: np.ndarray) -> np.ndarray:
    """Undo `quantise`: float32 pixels of the same shape."""
    flow_THWC: np.ndarray = np.multiply(stored_THWC, scale_T[:, None, None, None], dtype=np.float32)
    return flow_THWC
