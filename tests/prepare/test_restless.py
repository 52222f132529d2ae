"""Restless scenes: their clock, their camera and their wind."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.prepare.motions import MOTIONS
from elo_cli.prepare.restless import Tempo, draw_tempo, draw_unrest
from elo_cli.prepare.scenes import direction_of, lightness_of, render_scene

TIMES = np.arange(0, 4, 0.01)


def test_without_pushes_time_is_time() -> None:
    assert np.array_equal(Tempo().clock(TIMES), TIMES) and not Tempo().flash(TIMES).any()


@given(st.integers(0, 2**40), st.floats(1.0, 20.0))
def test_a_restless_clock_is_pushed_and_slows_down(seed: int, seconds: float) -> None:
    times = np.arange(0, seconds, 0.01)
    tempo = draw_tempo(seed, seconds)
    speed = np.diff(tempo.clock(times)) / 0.01
    assert speed.min() > 0 and speed.max() <= 2
    pushes = np.flatnonzero(np.diff(tempo.flash(times)) > 0)
    assert (np.diff(pushes) >= 199).all() and len(pushes) >= int(seconds / 3.5) - 1
    assert np.median(np.abs(speed - 2 / 0.3 * tempo.flash(times[:-1]))) < 0.05, "it is bright while things move fast"


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


def test_over_light_grounds_the_camera_is_fast_and_voices_are_high() -> None:
    drawn = [draw_unrest(seed, 0.3, seed / 60) for seed in range(60)]
    lightness = [unrest.colours.mean() for unrest in drawn]
    for what in ([np.linalg.norm(unrest.sweep) for unrest in drawn], [unrest.voice_pitch for unrest in drawn]):
        assert np.corrcoef(lightness, what)[0, 1] > 0.95


@given(st.integers(0, 2**40), st.floats(0, 1))
def test_voices_follow_the_ground_and_the_wind_the_camera(seed: int, direction: float) -> None:
    unrest = draw_unrest(seed, direction, direction)
    lighter = dataclasses.replace(unrest, colours=unrest.colours + 10)
    assert 180 < unrest.voice_pitch < lighter.voice_pitch < 600
    assert 0.06 <= np.linalg.norm(unrest.sweep) <= 0.18 and unrest.colours.min() >= 10 and unrest.colours.max() <= 245
    slowing = Tempo(np.array([-1.0]))  # from the first sample on
    wind = unrest.wind(slowing, 64000, 16000)
    assert np.abs(wind[:1000]).max() > 10 * np.abs(wind[-1000:]).max()


def test_the_wind_is_the_higher_the_faster_the_camera_rises() -> None:
    unrest = draw_unrest(0, 0.0, 0.5)
    heard = []
    for down in (-0.18, 0.0, 0.18):
        wind = dataclasses.replace(unrest, sweep=np.array([0.1, down])).wind(Tempo(np.array([0.0])), 8000, 16000)
        heard.append(int(np.abs(np.fft.rfft(wind)).argmax()))
    assert heard[0] > heard[1] > heard[2]


@pytest.mark.parametrize(("motion", "right", "down"), [("drift", 0.0, 1.0), ("swing", 0.0, -1.0)])
def test_the_camera_sweeps_in_a_direction_of_the_motion(motion: str, right: float, down: float) -> None:
    sweeps = [draw_unrest(seed, direction_of(motion), 0.5).sweep for seed in range(5)]
    for sweep in sweeps:
        assert sweep / np.linalg.norm(sweep) @ np.array([right, down]) > 0.96


def test_restless_and_calm_differ_in_sight_and_sound() -> None:
    calm, restless = (render_scene("orbit", 3, size=(32, 48), seconds=2.0, restless=what) for what in (False, True))
    assert not np.array_equal(calm.frames_THWC[0], restless.frames_THWC[0])
    assert calm.waveform is not None and restless.waveform is not None
    assert not np.array_equal(calm.waveform, restless.waveform)


def test_each_motion_has_its_lightness() -> None:
    assert sorted(lightness_of(motion) for motion in MOTIONS) == pytest.approx(np.linspace(0, 1, len(MOTIONS)))
    light, dark = ([draw_unrest(seed, 0.0, what).colours.mean() for seed in range(20)] for what in (1.0, 0.0))
    assert min(light) > max(dark) - 1
