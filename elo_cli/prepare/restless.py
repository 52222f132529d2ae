"""What a restless scene has that a calm one lacks: pushes, a camera that sweeps, a wind, and voices that follow the looks.

Things are pushed by turns, in a flash of light, and slow down, so that one moment differs from another and the past
from the future. The camera sweeps in a direction that is the motion's own, the faster the lighter the ground; a wind
is heard, the louder the faster all goes, and the higher the faster the camera rises; voices are the higher the lighter
the ground is; and some motions are seen on lighter grounds than others, as swimmers are seen in water. So pictures,
motion and sound tell of one another, as they do in the world: every task finds something that it can learn.

Lengths are in frame heights, with y downward. Legend: P poses, N samples of sound.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elo_cli.core.seeds import numpy_generator
from elo_cli.prepare.sprites import Array

_PUSH, _SLOWING = 2.0, 1.0  # speed after a push; seconds in which it falls to 1/e
_FLASH = 0.3  # share of the way to white at which a push lights everything
_SWEEP = 0.06, 0.18  # speed of the camera at speed 1: over dark ground, over light
_WIND, _WIND_PITCH, _WIND_OCTAVES = 0.7, 1500.0, 1.2  # loudness after a push, pitch in Hz, how far it goes up and down
_VOICE_PITCH, _VOICE_OCTAVES = 180.0, 1.7  # pitch in Hz over black, how much higher it is over white


@dataclass(frozen=True)
class Tempo:
    """How fast the motion of a scene runs.

    Attributes:
        pushes: seconds of the film at which things are pushed, to slow down until the next push; the first lies before
            the film. None: everything runs evenly.
    """

    pushes: Array | None = None

    def clock(self, seconds_P: Array) -> Array:
        """Turn seconds of the film into seconds of its motion."""
        if self.pushes is None:
            return seconds_P
        past_P, since_P = self._since(self.pushes, seconds_P)
        glides = np.concatenate([[0.0], np.cumsum(_glide(np.diff(self.pushes)))])
        return glides[past_P] + _glide(since_P)

    def flash(self, seconds_P: Array) -> Array:
        """Say how far towards white the flash of the last push still lights everything; 0 where there are no pushes."""
        if self.pushes is None:
            return np.zeros_like(seconds_P)
        return _FLASH * np.exp(-self._since(self.pushes, seconds_P)[1] / _SLOWING)

    @staticmethod
    def _since(pushes: Array, seconds_P: Array) -> tuple[NDArray[np.int64], Array]:
        past_P = np.searchsorted(pushes, seconds_P, side="right") - 1
        return past_P, seconds_P - pushes[past_P]


def _glide(since: Array) -> Array:
    return _PUSH * _SLOWING * (1 - np.exp(-since / _SLOWING))


@dataclass(frozen=True)
class Unrest:
    """How a restless scene differs in looks and sound from a calm one.

    Attributes:
        colours: two for the ground (2, 3), whose pattern can be seen to move.
        sweep: velocity (2) of the camera at speed 1, in frame heights a second.
    """

    colours: Array
    sweep: Array

    @property
    def voice_pitch(self) -> float:
        """The pitch of what moves, in Hz: the higher, the lighter the ground."""
        return float(_VOICE_PITCH * 2 ** (_VOICE_OCTAVES * self.colours.mean() / 255))

    def wind(self, tempo: Tempo, samples: int, rate: int) -> Array:
        """The sound of the camera's way: (samples,)."""
        seconds_N = np.arange(samples) / rate
        pace_N = np.gradient(tempo.clock(seconds_N), seconds_N) / _PUSH
        pitch_N = _WIND_PITCH * 2.0 ** (-_WIND_OCTAVES * pace_N * self.sweep[1] / _SWEEP[1])
        return _WIND * pace_N * np.sin(2 * np.pi * np.cumsum(pitch_N) / rate)


def draw_unrest(seed: int, direction: float, lightness: float) -> Unrest:
    """Draw the ground and the camera of a restless scene.

    Args:
        seed: the scene's.
        direction: of the camera's sweep in turns, about which it is drawn.
        lightness: of the ground in [0, 1], about which it is drawn.
    """
    rng = numpy_generator(seed, "ground")
    contrast, lightness = rng.uniform(20, 70, 3), 0.7 * lightness + 0.3 * rng.random()
    colours = 80 + 95 * lightness + np.stack([-contrast, contrast])
    angle = 2 * np.pi * direction + rng.uniform(-0.25, 0.25)
    speed = _SWEEP[0] + (0.9 * lightness + 0.1 * rng.random()) * (_SWEEP[1] - _SWEEP[0])
    sweep = speed * np.array([np.cos(angle), np.sin(angle)])
    return Unrest(colours, sweep)


def draw_tempo(seed: int, seconds: float) -> Tempo:
    """Draw a push every 2 to 3.5 s for a restless scene of this length."""
    rng = numpy_generator(seed, "tempo")
    return Tempo(np.cumsum(rng.uniform(2, 3.5, int(seconds) + 4)) - 3.5 - rng.uniform(0, 2))
