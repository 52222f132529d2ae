"""Make labelled videos whose class is how things move and never how they look.

A scene is a pure function of (motion, seed). Everything about its appearance, and the speed, phase
and direction of what moves, is drawn from the seed alone: the same seed shows the same objects on
the same ground under every motion. Space is a torus, so that what leaves at one edge comes back at
the other. The sound is heard from the motion: position and size set the pitch, speed and rotation
the loudness, and every sudden turn clicks.

Lengths are in frame heights, angles in radians with y downward, and a phase counts cycles.
Legend: T frames, H height, W width, N samples of sound, P poses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from elo_cli.core.files import storage_errors
from elo_cli.core.seeds import derive, numpy_generator
from elo_cli.prepare.encode import write_video
from elo_cli.prepare.motions import MOTIONS, Manner, poses, sin
from elo_cli.prepare.restless import Tempo, Unrest, draw_tempo, draw_unrest
from elo_cli.prepare.sprites import Array, Image, choose_colours, draw_pattern, draw_sprite, paint, rotation, stamp

AUDIO_RATE = 16000  # samples a second
SILENT = 0.1  # share of the scenes without a sound track
_EAR_RATE = 500  # poses a second from which the sound is made


@dataclass(frozen=True)
class Scene:
    """A rendered scene: `frames_THWC` uint8 RGB, `waveform` float32 mono (N,) in [-1, 1] at 16 kHz or None, `fps`."""

    frames_THWC: Image
    waveform: NDArray[np.float32] | None
    fps: int


@dataclass(frozen=True)
class SceneJob:
    """One video to be written: where, and what `render_scene` is asked for."""

    path: Path
    motion: str
    seed: int
    size: tuple[int, int] = (96, 128)
    fps: int = 16
    seconds: float = 3.0
    restless: bool = False


@dataclass(frozen=True)
class _Object:
    """What one object looks and sounds like, and its manner."""

    sprite: Image  # (S, S, 4) uint8: colour times opacity, opacity
    diameter: float  # pixels, at scale 1
    manner: Manner
    pitch: float  # Hz
    timbre: Array  # loudness of harmonics 1..4, sums to 1


def _object(rng: Generator, place: float, shrink: float, height: int, colours: Array, light: tuple[float, float]) -> _Object:
    """Make one object; `place` is its x in frame heights from the centre, `shrink` the factor on its size and reach."""
    diameter = rng.uniform(0.38, 0.55) * shrink * height
    sprite = draw_sprite(rng, max(8, round(1.25 * diameter)), colours, light)
    manner = Manner(
        anchor=(place + rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1)),
        reach=rng.uniform(0.85, 1.15) * shrink,
        speed=rng.uniform(0.7, 1.4),
        phase=rng.uniform(0, 16),
        tilt=rng.uniform(-1, 1),
        hand=1.0 if rng.random() < 0.5 else -1.0,
        pose=rng.uniform(0, 2 * np.pi),
    )
    timbre = rng.random(4) / np.arange(1, 5) + 0.02
    return _Object(sprite, diameter, manner, rng.uniform(180, 560), timbre / timbre.sum())


def _place(frame: Image, thing: _Object, pose: Array) -> None:
    """Draw an object in its pose into a frame (H, W, 3), in place."""
    height, width = frame.shape[:2]
    axis, spun = rotation(pose[4]), rotation(pose[5])
    linear = (axis * np.exp(pose[2:4])) @ axis.T @ spun * (thing.diameter / len(thing.sprite))
    stamp(frame, thing.sprite, (width / 2 + pose[0] * height - 0.5, height / 2 + pose[1] * height - 0.5), linear)


def _voice(thing: _Object, poses_P: Array, widths: float, samples: int, click: Array) -> Array:
    """Sound one object from its poses at `_EAR_RATE`: (samples,); `widths` is the frame's width in frame heights."""
    x, y, su, sv, _, angle = poses_P.T
    velocity_P2 = np.gradient(poses_P[:, :2], axis=0) * _EAR_RATE
    change = np.abs(np.gradient(np.stack([su, sv, 0.35 * angle], axis=1), axis=0)).sum(axis=1) * _EAR_RATE
    energy = np.clip((np.linalg.norm(velocity_P2, axis=1) + 0.3 * change) / 1.5, 0, 1.3)
    height = 0.5 - (y + 0.5) % 1  # -0.5 at the bottom, 0.5 at the top
    octaves = 0.9 * height + 0.3 * sin(x / widths) - 0.6 * (su + sv) + 0.35 * (su - sv)
    loudness = (0.12 + energy) * (1 + 0.6 * np.cos(angle)) / 1.6
    times, ear = np.arange(samples) / AUDIO_RATE, np.arange(len(x)) / _EAR_RATE
    phase = np.cumsum(np.interp(times, ear, thing.pitch * 2.0**octaves)) * (2 * np.pi / AUDIO_RATE)
    sound: Array = np.zeros(samples)
    for harmonic, weight in enumerate(thing.timbre, start=1):
        sound += weight * np.sin(harmonic * phase)
    sound *= np.interp(times, ear, loudness)
    turn = np.linalg.norm(np.diff(velocity_P2, axis=0, append=velocity_P2[-1:]), axis=1)
    hits = np.flatnonzero((turn > 0.35) & (turn >= np.roll(turn, 1)) & (turn > np.roll(turn, -1)))
    for start in hits * AUDIO_RATE // _EAR_RATE:
        sound[start : start + len(click)] += click[: samples - start]
    return sound


def render_scene(
    motion: str, seed: int, *, size: tuple[int, int] = (96, 128), fps: int = 16, seconds: float = 3.0, restless: bool = False
) -> Scene:
    """Render one scene: a pure function of its arguments, its appearance one of `seed` alone.

    Args:
        motion: one of `MOTIONS`.
        size: (H, W) in pixels, both at least 16.
        fps: frames a second.
        seconds: the length; frames and samples are rounded.
        restless: whether things are pushed by turns, the camera sweeps, and sound follows looks (`elo_cli.prepare.restless`).

    Raises:
        ValueError: the motion is unknown, or size, rate or length is too small.
    """
    if motion not in MOTIONS:
        raise ValueError(f"no motion {motion!r}; one of {', '.join(MOTIONS)} is needed")
    count, (height, width) = round(seconds * fps), size
    if count < 1 or fps < 1 or min(size) < 16:
        raise ValueError(f"a scene needs a frame and 16 pixels each way, not {seconds} s at {fps} fps of {size}")
    rng = numpy_generator(seed, "scene")
    light = rng.uniform(0.7, 1.15), rng.uniform(-25, 25)
    ground_colours, colours = choose_colours(rng)
    pan, tempo, unrest = rng.uniform(-0.05, 0.05, 2), Tempo(), None
    if restless:
        unrest, tempo = draw_unrest(seed, direction_of(motion), lightness_of(motion)), draw_tempo(seed, seconds)
        light, ground_colours, pan = (1.0, 0.0), unrest.colours, unrest.sweep
    times = np.arange(count + 1) / fps
    way_T2 = pan * height * (tempo.clock(times) - tempo.clock(times[-1:] / 2))[:, None]  # the camera's, in pixels
    margin = int(np.abs(way_T2[-1] - way_T2[0]).max()) + 2
    grain = height * rng.uniform(0.15, 0.4)
    ground = paint(draw_pattern(rng, height + 2 * margin, width + 2 * margin, grain), ground_colours, light)
    pair = rng.random() < 0.25
    places = (-width / height / 4, width / height / 4) if pair else (0.0,)
    things = [_object(rng, place, 0.8 if pair else 1.0, height, colours, light) for place in places]
    grit = rng.normal(0, rng.uniform(1, 4), (height + 16, width + 16, 3)).astype(np.int16)
    jumps = rng.integers(0, 16, (count, 2))
    if unrest is not None:
        things = [replace(thing, pitch=unrest.voice_pitch) for thing in things]
    flash = tempo.flash(times)
    paths = [poses(motion, thing.manner, tempo.clock(times)) for thing in things]
    frames = np.empty((count, height, width, 3), np.uint8)
    for index, (top, left) in enumerate(jumps):
        middle = np.array([ground.shape[1], ground.shape[0]]) / 2 - 0.5 + way_T2[index]
        frame = cast(Image, cv2.getRectSubPix(ground, (width, height), (float(middle[0]), float(middle[1]))))
        for thing, path in zip(things, paths, strict=True):
            _place(frame, thing, path[index])
        if unrest is not None:
            frame = (frame + flash[index] * (255.0 - frame)).astype(np.uint8)
        frames[index] = np.clip(frame + grit[top : top + height, left : left + width], 0, 255)
    return Scene(frames, _sound(motion, things, tempo, unrest, seed, round(seconds * AUDIO_RATE), width / height), fps)


def direction_of(motion: str) -> float:
    """The direction in which the camera of a restless scene sweeps, in turns: those of neighbours in the list lie far apart."""
    return 0.25 + 5 * MOTIONS.index(motion) / len(MOTIONS)


def lightness_of(motion: str) -> float:
    """How light the grounds of a motion's restless scenes are, in [0, 1]; neighbours in the list differ much."""
    return 7 * MOTIONS.index(motion) % len(MOTIONS) / (len(MOTIONS) - 1)


def _sound(
    motion: str, things: list[_Object], tempo: Tempo, unrest: Unrest | None, seed: int, samples: int, widths: float
) -> NDArray[np.float32] | None:
    """Sound a scene: (samples,) within [-0.9, 0.9], or None for the scenes that are silent films."""
    rng = numpy_generator(seed, "sound")
    if rng.random() < SILENT:
        return None
    click = 0.5 * rng.standard_normal(500) * np.exp(-np.arange(500) / 80)
    moments = tempo.clock(np.arange(samples * _EAR_RATE // AUDIO_RATE + 2) / _EAR_RATE)
    sound = rng.standard_normal(samples) * 0.005
    for thing in things:
        sound += _voice(thing, poses(motion, thing.manner, moments), widths, samples, click)
    if unrest is not None:
        sound += unrest.wind(tempo, samples, AUDIO_RATE)
    sound *= rng.uniform(0.4, 0.9) / np.abs(sound).max()
    return sound.astype(np.float32)


def zipf_counts(total: int, classes: int, exponent: float = 1.0) -> list[int]:
    """Share `total` among classes in proportion to 1 / rank**exponent: descending, each >= 1, by largest remainder.

    Raises:
        ValueError: there is no class, fewer items than classes, or a negative exponent.
    """
    if classes < 1 or total < classes or not 0 <= exponent < np.inf:
        raise ValueError(f"{total} items cannot be shared among {classes} classes with exponent {exponent}")
    weights = np.arange(1, classes + 1, dtype=np.float64) ** -exponent
    few = 0  # classes at the tail whose share is below one: they get one each, the others share the rest
    while few < classes and (total - few) * weights[classes - few - 1] < weights[: classes - few].sum():
        few += 1
    head = classes - few
    shares = weights[:head] / weights[:head].sum() * (total - few)
    counts = np.floor(shares).astype(int)
    counts[np.argsort(counts - shares, kind="stable")[: total - few - counts.sum()]] += 1
    return [*counts.tolist(), *[1] * few]


def scene_jobs(
    folder: Path,
    counts: Mapping[str, int],
    seed: int,
    *,
    size: tuple[int, int] = (96, 128),
    fps: int = 16,
    seconds: float = 3.0,
    restless: bool = False,
) -> list[SceneJob]:
    """List the videos folder/motion/motion_0000.mp4 of a data set; each can be written by any process.

    A scene depends on the seed, its motion and its number only, so that raising a count adds videos and changes none.

    Raises:
        ValueError: a motion is unknown.
    """
    unknown = set(counts) - set(MOTIONS)
    if unknown:
        raise ValueError(f"no motion {', '.join(sorted(unknown))}; there are {', '.join(MOTIONS)}")
    return [
        SceneJob(folder / motion / f"{motion}_{index:04d}.mp4", motion, derive(seed, motion, index), size, fps, seconds, restless)
        for motion, count in counts.items()
        for index in range(count)
    ]


def write_scene(job: SceneJob) -> Path:
    """Render and encode one scene, unless its file is there; the file appears whole or not at all.

    Raises:
        MachineError: PyAV has no H.264 encoder.
        StorageError: the disk is full, read-only, or failed.
    """
    if not job.path.exists():
        scene = render_scene(job.motion, job.seed, size=job.size, fps=job.fps, seconds=job.seconds, restless=job.restless)
        with storage_errors(job.path):
            job.path.parent.mkdir(parents=True, exist_ok=True)
        write_video(job.path, scene.frames_THWC, fps=scene.fps, waveform=scene.waveform, audio_rate=AUDIO_RATE)
    return job.path
