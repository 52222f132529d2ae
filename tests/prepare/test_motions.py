"""Motions: all differ, and the clock of a restless scene."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.core.seeds import numpy_generator
from elo_cli.prepare.motions import MOTIONS, Manner, Tempo, draw_tempo, poses
from elo_cli.prepare.scenes import render_scene

MANNER = Manner(anchor=(0.0, 0.0), reach=1.0, speed=1.0, phase=0.25, tilt=0.1, hand=1.0, pose=0.0)
TIMES = np.arange(0, 4, 0.05)


def test_no_two_motions_are_alike() -> None:
    courses = {motion: poses(motion, MANNER, TIMES) for motion in MOTIONS}
    assert all(course.shape == (len(TIMES), 6) for course in courses.values())
    names = list(MOTIONS)
    for number, one in enumerate(names):
        assert all(np.abs(courses[one] - courses[other]).max() > 0.05 for other in names[number + 1 :])


def test_without_pushes_time_is_time() -> None:
    assert np.array_equal(Tempo().clock(TIMES), TIMES) and not Tempo().flash(TIMES).any()


@given(st.integers(0, 2**40), st.floats(1.0, 20.0))
def test_a_restless_clock_is_pushed_and_slows_down(seed: int, seconds: float) -> None:
    times = np.arange(0, seconds, 0.01)
    tempo = draw_tempo(numpy_generator(seed), seconds)
    speed = np.diff(tempo.clock(times)) / 0.01
    assert speed.min() > 0 and speed.max() <= 2
    pushes = np.flatnonzero(np.diff(tempo.flash(times)) > 0)
    assert (np.diff(pushes) >= 199).all() and len(pushes) >= int(seconds / 3.5) - 1
    assert np.median(np.abs(speed - 2 * tempo.flash(times[:-1]))) < 0.05, "it is bright while things move fast"


@pytest.mark.parametrize("motion", ["drift", "spin"])
def test_things_and_their_sound_come_to_rest_in_restless_scenes(motion: str) -> None:
    scene = render_scene(motion, 3, size=(48, 64), seconds=6.0, restless=True)
    assert scene.waveform is not None
    change = np.abs(np.diff(scene.frames_THWC.astype(np.float64), axis=0)).mean((1, 2, 3))
    loud = np.sqrt((scene.waveform[: 95 * 1000].reshape(95, 1000) ** 2).mean(1))
    still = change < np.median(change)
    assert np.median(change[still]) < 0.7 * np.median(change[~still])
    assert np.median(loud[still]) < 0.8 * np.median(loud[~still])
    calm = render_scene(motion, 3, size=(48, 64), seconds=6.0)
    assert not np.array_equal(calm.frames_THWC[-1], scene.frames_THWC[-1])
