"""Films whose optical flow is known exactly: noise textures that are shifted, turned, zoomed and overlaid.

Shape legend: T stored frames, H rows, W columns. A film has two source frames for each stored frame.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.random import Generator, default_rng

Manner = Literal["pan", "turn", "zoom", "sprites"]
MANNERS = get_args(Manner)

SOURCE = (240, 320)  # rows, columns
STORED = (128, 171)
STEP = 2  # source frames for each stored frame


@dataclass(frozen=True)
class Layer:
    """A rigid picture: `place` maps its coordinates to those of source frame f; `mask` is None for the ground."""

    texture: np.ndarray
    mask: np.ndarray | None
    place: Callable[[float], np.ndarray]  # f -> 3x3


@dataclass(frozen=True)
class KnownFilm:
    """Source frames (F, 240, 320, 3) uint8, and per stored interval the true flow with where it can be seen.

    Attributes:
        forward, backward: (T-1, H, W, 2) float32 in stored pixels.
        forward_seen, backward_seen: (T-1, H, W) bool: the point is inside the other frame, and not hidden there.
    """

    frames: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    forward_seen: np.ndarray
    backward_seen: np.ndarray


def make_film(manner: Manner, pixels: float, seed: int, intervals: int = 12) -> KnownFilm:
    """Draw a film whose fastest points move by about `pixels` stored pixels in a stored interval."""
    rng = default_rng((seed, MANNERS.index(manner), round(pixels * 16)))
    layers = _layers(manner, pixels * SOURCE[0] / STORED[0] / STEP, rng)
    count = intervals * STEP + 1
    frames = np.stack([_draw(layers, frame, rng) for frame in range(count)])
    stored = range(0, count, STEP)
    pairs = list(itertools.pairwise(stored))
    there = [_flow(layers, a, b) for a, b in pairs]
    back = [_flow(layers, b, a) for a, b in pairs]
    return KnownFilm(
        frames,
        *(np.stack([flow for flow, _ in way]) for way in (there, back)),
        *(np.stack([seen for _, seen in way]) for way in (there, back)),
    )


def texture(rng: Generator, height: int, width: int) -> np.ndarray:
    """Draw coloured noise (height, width, 3) uint8 whose power falls with frequency as in photographs, with some hard edges."""
    grey = np.zeros((height, width), np.float32)
    colour = np.zeros((height, width, 3), np.float32)
    for octave in range(7):  # waves of 128 pixels down to 2
        size = (max(2, (width >> 7 - octave) + 1), max(2, (height >> 7 - octave) + 1))
        strength = 0.66**octave
        grey += strength * cv2.resize(rng.standard_normal(size[::-1]).astype(np.float32), (width, height), interpolation=2)
        if octave < 4:
            tint = rng.standard_normal((*size[::-1], 3)).astype(np.float32)
            colour += 0.4 * strength * cv2.resize(tint, (width, height), interpolation=cv2.INTER_CUBIC)
    coarse = cv2.resize(
        rng.standard_normal((height // 24 + 2, width // 24 + 2)).astype(np.float32), (width, height), interpolation=2
    )
    mixed = grey[..., None] + colour + 0.7 * np.tanh(8 * coarse)[..., None]
    return np.clip(128 + 48 * (mixed - mixed.mean()) / mixed.std() + rng.uniform(-40, 40, 3), 0, 255).astype(np.uint8)


def _layers(manner: Manner, speed: float, rng: Generator) -> list[Layer]:
    """Compose the film; `speed` is that of its fastest points in source pixels a source frame."""
    height, width = SOURCE
    ground = texture(rng, height, width)
    turn, phase = rng.uniform(0, 2 * np.pi, 2)
    sway = rng.uniform(20, 40)  # source frames of one period

    def pan(f: float, speed: float = speed) -> np.ndarray:
        along, across = speed * 0.9 * f, speed * 0.3 * sway / (2 * np.pi) * np.sin(2 * np.pi * f / sway + phase)
        return _matrix(1.0, 0.0, along * np.cos(turn) - across * np.sin(turn), along * np.sin(turn) + across * np.cos(turn))

    radius = float(np.hypot(height, width)) / 2  # where turning and zooming are fastest
    if manner == "pan":
        return [Layer(ground, None, pan)]
    if manner == "turn":
        sign = rng.choice([-1, 1])
        return [Layer(ground, None, lambda f: _matrix(1.0, sign * speed / radius * f, 0, 0))]
    if manner == "zoom":
        swing = speed / radius * sway / (2 * np.pi)
        return [Layer(ground, None, lambda f: _matrix(float(np.exp(swing * np.sin(2 * np.pi * f / sway + phase))), 0.0, 0, 0))]
    layers = [Layer(ground, None, lambda f: pan(f, speed / 4))]
    return layers + [_sprite(rng, speed) for _ in range(4)]


def _sprite(rng: Generator, speed: float) -> Layer:
    """A disc, ellipse or rectangle with a texture of its own that swings across the picture."""
    size = rng.integers(50, 110, 2)
    mask = np.zeros((size[1], size[0]), np.uint8)
    if rng.random() < 0.3:
        mask[:] = 255
    else:
        cv2.ellipse(
            mask, (int(size[0] // 2), int(size[1] // 2)), (int(size[0] // 2 - 1), int(size[1] // 2 - 1)), 0, 0, 360, 255, -1
        )
    heading, phase = rng.uniform(0, 2 * np.pi, 2)
    start = rng.uniform(-0.3, 0.3, 2) * SOURCE[::-1]
    sway, spin = rng.uniform(24, 48), rng.uniform(-0.01, 0.01) * min(1.0, speed)
    reach = speed * rng.uniform(0.7, 1.0) * sway / (2 * np.pi)

    def place(f: float) -> np.ndarray:
        out = reach * np.sin(2 * np.pi * f / sway + phase)
        inward = np.array([[1, 0, SOURCE[1] / 2 - size[0] / 2], [0, 1, SOURCE[0] / 2 - size[1] / 2], [0, 0, 1.0]])
        return _matrix(1.0, spin * f, start[0] + out * np.cos(heading), start[1] + out * np.sin(heading)) @ inward

    return Layer(texture(rng, int(size[1]), int(size[0])), mask, place)


def _matrix(scale: float, angle: float, right: float, down: float) -> np.ndarray:
    """Scale and turn about the middle of the source frame, then shift."""
    x, y = SOURCE[1] / 2 - 0.5, SOURCE[0] / 2 - 0.5
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, x - c * x + s * y + right], [s, c, y - s * x - c * y + down], [0, 0, 1.0]])


def _draw(layers: list[Layer], frame: int, rng: Generator) -> np.ndarray:
    """Render one source frame, with the noise of a sensor."""
    height, width = SOURCE
    picture = np.zeros((height, width, 3), np.float32)
    for layer in layers:
        place = layer.place(frame)[:2]
        mirror = cv2.BORDER_REFLECT_101
        drawn = cv2.warpAffine(layer.texture, place, (width, height), flags=cv2.INTER_CUBIC, borderMode=mirror).astype(np.float32)
        if layer.mask is None:
            picture = drawn
        else:
            cover = cv2.warpAffine(layer.mask, place, (width, height)).astype(np.float32)[..., None] / 255
            picture += cover * (drawn - picture)
    return np.clip(np.rint(picture + rng.normal(0, 2, picture.shape)), 0, 255).astype(np.uint8)


def _flow(layers: list[Layer], start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the true flow from one source frame to another at the stored size, and where it can be seen."""
    (height, width), scale = STORED, np.array([SOURCE[1] / STORED[1], SOURCE[0] / STORED[0]])
    y, x = np.mgrid[:height, :width]
    here = (np.stack([x, y], -1) + 0.5) * scale - 0.5  # (H, W, 2) in source pixels
    owner = _owner(layers, start, here)
    flow = np.zeros((height, width, 2))
    for index, layer in enumerate(layers):
        motion = layer.place(end) @ np.linalg.inv(layer.place(start))
        moved = here @ motion[:2, :2].T + motion[:2, 2] - here
        flow[owner == index] = moved[owner == index]
    there = here + flow
    inside = ((there >= 0) & (there <= np.array(SOURCE[::-1]) - 1)).all(-1)
    return (flow / scale).astype(np.float32), inside & (_owner(layers, end, there) == owner)


def _owner(layers: list[Layer], frame: int, points: np.ndarray) -> np.ndarray:
    """Number the layer that is on top at each point (..., 2) of a source frame."""
    owner = np.zeros(points.shape[:-1], np.int64)
    for index, layer in enumerate(layers):
        if layer.mask is not None:
            back = np.linalg.inv(layer.place(frame))
            at = (points @ back[:2, :2].T + back[:2, 2]).astype(np.float32)
            owner[cv2.remap(layer.mask, at, None, cv2.INTER_LINEAR) > 127] = index
    return owner
