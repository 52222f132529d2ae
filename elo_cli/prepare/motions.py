"""How the objects of a scene move: the twelve motions, and the manner in which one object performs its own.

Lengths are in frame heights, angles in radians with y downward, and a phase counts cycles.
Legend: P poses.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from elo_cli.prepare.sprites import Array

PERIOD = 1.6  # seconds a cycle at speed 1; scenes run at 0.7 to 1.4

Path5 = tuple[Array | float, Array | float, Array | float, Array | float, Array | float]  # u, v, log su, log sv, angle


@dataclass(frozen=True)
class Manner:
    """How one object performs its motion: nuisance that says nothing of the class."""

    anchor: tuple[float, float]  # x, y from the frame's centre
    reach: float  # factor on the amplitude
    speed: float
    phase: float  # cycles
    tilt: float  # -1..1: of half a turn, or of a lean for the motions that know up from down
    hand: float  # +1 or -1: mirrored
    pose: float  # the object's own orientation


def _tri(c: Array) -> Array:
    """Triangle wave of period 1 in [-1, 1]."""
    return 4 * np.abs((c + 0.25) % 1 - 0.5) - 1


def sin(c: Array) -> Array:
    return np.sin(2 * np.pi * c)


def _cos(c: Array) -> Array:
    return np.cos(2 * np.pi * c)


def _swing(c: Array) -> Path5:
    angle = 1.05 * sin(c)
    return 0.45 * np.sin(angle), 0.45 * np.cos(angle) - 0.3, 0, 0, -angle


def _spiral(c: Array) -> Path5:
    radius = 0.2 + 0.16 * _tri(c / 2.5)
    return radius * _cos(1.2 * c), radius * sin(1.2 * c), 0, 0, 0


def _shake(c: Array) -> Path5:
    u = 0.07 * sin(3.1 * c) + 0.04 * sin(2.3 * c + 0.3)
    v = 0.06 * sin(2.7 * c + 0.6) + 0.04 * _cos(3.3 * c)
    return u, v, 0, 0, 0.25 * sin(2.9 * c + 0.4)


def _fall(c: Array) -> Path5:
    return 0, np.floor(c) + (c % 1) ** 2, 0, 0, 0


def _bounce(c: Array) -> Path5:
    return 0.3 * _tri(0.31 * c), 0.27 - 2.2 * (c % 1) * (1 - c % 1), 0, 0, 0


_PATHS: dict[str, Callable[[Array], Path5]] = {
    "drift": lambda c: (c, 0, 0, 0, 0),
    "orbit": lambda c: (0.28 * _cos(c), 0.28 * sin(c), 0, 0, 0),
    "bounce": _bounce,
    "zoom": lambda c: (0, 0, 0.5 * sin(c), 0.5 * sin(c), 0),
    "spin": lambda c: (0, 0, 0, 0, 2 * np.pi * c),
    "shake": _shake,
    "swing": _swing,
    "spiral": _spiral,
    "fall": _fall,
    "zigzag": lambda c: (0.7 * c, 0.2 * _tri(1.5 * c), 0, 0, 0),
    "stretch": lambda c: (0, 0, 0.5 * sin(c), -0.5 * sin(c), 0),
    "eight": lambda c: (0.38 * sin(0.8 * c), 0.22 * sin(1.6 * c), 0, 0, 0),
}
MOTIONS: tuple[str, ...] = tuple(_PATHS)
_UPRIGHT = ("bounce", "swing", "fall")  # these lean by up to 0.4 rad; the others turn freely


def poses(motion: str, manner: Manner, seconds_P: Array) -> Array:
    """Follow one object: (P, 6) of x, y from the centre (not wrapped), log scales, their axis, the sprite's angle."""
    u, v, su, sv, angle = _PATHS[motion](seconds_P / PERIOD * manner.speed + manner.phase)
    turn = manner.tilt * (0.4 if motion in _UPRIGHT else np.pi)
    u, v = manner.reach * manner.hand * np.asarray(u), manner.reach * np.asarray(v)
    x = manner.anchor[0] + u * np.cos(turn) - v * np.sin(turn)
    y = manner.anchor[1] + u * np.sin(turn) + v * np.cos(turn)
    columns = np.broadcast_arrays(seconds_P, x, y, su, sv, turn, manner.pose + manner.hand * np.asarray(angle))
    return np.stack(columns[1:], axis=1).astype(np.float64)
