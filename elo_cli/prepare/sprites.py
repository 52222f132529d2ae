"""Draw the things of a scene: patterns, colours, outlines, and sprites stamped with sub-pixel precision.

Legend: S a sprite's side in pixels, H height, W width. Every draw comes from the generator handed in.
"""

from typing import cast

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]
Image = NDArray[np.uint8]


def draw_pattern(rng: Generator, height: int, width: int, grain: float) -> Array:
    """Draw a smooth field (height, width) in [0, 1] with features of about `grain` pixels: noise, blots, stripes or checks."""
    kind = int(rng.integers(4))
    y, x = np.mgrid[:height, :width].astype(np.float64) * (np.pi / grain)
    turn, first, second = rng.uniform(0, 2 * np.pi, 3)
    noise = np.zeros((height, width))
    for octave in range(3):
        step = max(2.0, grain / 2**octave)
        grid = rng.random((int(height / step) + 3, int(width / step) + 3))
        fine = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        noise += (fine[:height, :width] - 0.5) / 2**octave
    if kind <= 1:
        field = noise * (1.5 if kind == 0 else 8.0)
    else:
        field = 3 * np.sin(x * np.cos(turn) + y * np.sin(turn) + first)
        if kind == 3:
            field *= np.sin(y * np.cos(turn) - x * np.sin(turn) + second)
    return cast(Array, np.clip(field + 0.5, 0, 1))


def paint(pattern: Array, colours: Array, light: tuple[float, float]) -> Image:
    """Mix two colours (2, 3) by a pattern, and light it with (contrast, brightness)."""
    mixed = colours[0] + pattern[..., None] * (colours[1] - colours[0])
    lit: Array = np.clip((mixed - 128) * light[0] + 128 + light[1], 0, 255)
    return lit.astype(np.uint8)


def choose_colours(rng: Generator) -> tuple[Array, Array]:
    """Choose two colours (2, 3) for the ground and two for the objects that can be told from them and from one another."""
    while True:
        base, *figure = rng.uniform(10, 245, (3, 3))
        if min(np.linalg.norm(base - colour) for colour in figure) > 120 and np.linalg.norm(figure[0] - figure[1]) > 90:
            # A calm ground: what moves stands out, as people and things do from streets and walls.
            return np.stack([base, base + rng.uniform(-30, 30, 3)]).clip(0, 255), np.stack(figure)


def _draw_outline(rng: Generator, side: int) -> Image:
    """Draw a random outline as opacity (side, side): polygon, star, ellipse, ring or rectangle, of random aspect."""
    kind = int(rng.integers(5))
    corners = int(rng.integers(3, 7))
    aspect = rng.uniform(0.6, 0.9)
    hole = rng.uniform(-0.15, 0.15, 2), rng.uniform(0.4, 0.55)
    count = (corners, 2 * corners, 48, 48, 4)[kind]
    angle = np.arange(count) * 2 * np.pi / count + np.pi / 4
    radius = np.where((np.arange(count) % 2 == 1) & (kind == 1), 0.5, 1.0)
    outline = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None]
    squeeze = np.array([1.0, aspect])
    canvas = np.zeros((2 * side, 2 * side), np.uint8)
    for points, ink in ((outline, 255), (outline * hole[1] + hole[0], 0))[: 2 if kind == 3 else 1]:
        pixels = (side - 0.5 + points * squeeze * (side - 3)) * 16
        cv2.fillPoly(canvas, [np.round(pixels).astype(np.int32)], (ink,), lineType=cv2.LINE_AA, shift=4)
    return cast(Image, cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA))


def draw_sprite(rng: Generator, side: int, colours: Array, light: tuple[float, float]) -> Image:
    """Draw one object (S, S, 4) uint8 of random outline and pattern: colour times opacity, then opacity."""
    colour = paint(draw_pattern(rng, side, side, max(3.0, side * rng.uniform(0.3, 0.6))), colours, light)
    opacity = _draw_outline(rng, side)[..., None]
    return np.concatenate([(colour * (opacity / 255.0)).astype(np.uint8), opacity], axis=2)


def rotation(angle: float) -> Array:
    """Make the 2x2 matrix that turns by `angle` radians, clockwise as seen with y downward."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def stamp(frame: Image, sprite: Image, centre: tuple[float, float], linear: Array) -> None:
    """Draw a sprite (S, S, 4) into a frame (H, W, 3) in place, wrapped around the edges.

    Args:
        centre: where the sprite's middle goes, in pixels (x, y); any real numbers.
        linear: 2x2 matrix from the sprite's pixels to the frame's.
    """
    height, width = frame.shape[:2]
    side = len(sprite)
    half = int(side / 2 * np.linalg.norm(linear, 2)) + 2
    left, top = int(np.floor(centre[0])) - half, int(np.floor(centre[1])) - half
    shift = np.array([centre[0] - left, centre[1] - top]) - linear @ np.full(2, side / 2 - 0.5)
    matrix = np.concatenate([linear, shift[:, None]], axis=1)
    patch = cv2.warpAffine(sprite, matrix, (2 * half + 2, 2 * half + 2), flags=cv2.INTER_LINEAR).astype(np.uint16)
    rows = np.arange(top, top + len(patch))[:, None] % height
    columns = np.arange(left, left + len(patch)) % width
    under = frame[rows, columns]
    frame[rows, columns] = np.minimum(under * (255 - patch[..., 3:]) // 255 + patch[..., :3], 255)
