"""The videos that are measured: made once with real codecs, kept in a folder, the same for everybody."""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.stream import Stream
from numpy.typing import NDArray

from elo_cli.core.seeds import derive
from elo_cli.prepare.encode import write_video
from elo_cli.prepare.motions import MOTIONS
from elo_cli.prepare.scenes import render_scene

FPS = 25
SOUND_RATE = 48_000  # 16 s of it are 750 whole AAC packets, so that repeated packets follow one another
LOOP_S = 16
LINKS = 10_000  # of one file; file systems allow some 65,000
Image = NDArray[np.uint8]


def short_clips(cache: Path, count: int, copies: int) -> Path:
    """Make clips of 7 s at 320x240 like those of action data sets: half MPEG-4 and MP3 in AVI, half H.264 and AAC in MP4.

    Each is there `copies` times, as hard links: so a run takes long beside its start, and making them does not.
    """
    folder = cache / f"short-{count}-{copies}"
    for number in range(count):
        name = f"clip_{number:02}{'.avi' if number % 2 else '.mp4'}"
        for copy in range(copies):
            path, first = folder / str(copy) / name, folder / "0" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                continue
            if copy:
                os.link(first, path)
            else:
                scene = render_scene(MOTIONS[number % len(MOTIONS)], number, size=(240, 320), fps=FPS, seconds=7)
                write_video(path, scene.frames_THWC, fps=FPS, waveform=_sound(7, number), audio_rate=SOUND_RATE)
    return folder


def minutes(cache: Path, count: int) -> Path:
    """Make files of 64 s, 80 s, 96 s, … at 1280x720 in H.264 and AAC, each a loop of 16 s."""
    folder = cache / f"minutes-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"film_{number}.mp4"
        if not path.exists():
            repeat(_loop(cache, 720, 1280, number, {"preset": "veryfast", "crf": "23"}), path, 4 + number)
    return folder


def long_film(cache: Path, seconds: int) -> Path:
    """Make a folder with one file of 1920x1080 in H.264 and AAC, a loop of 16 s at a low bit rate."""
    folder = cache / f"long-{seconds}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "film.mp4"
    if not path.exists():
        # Decoded fast: three hours of it are decoded to the end.
        options = {"preset": "veryfast", "tune": "fastdecode", "crf": "50"}
        repeat(_loop(cache, 1080, 1920, 0, options), path, seconds // LOOP_S)
    return folder


def tiny_clips(cache: Path, count: int) -> Path:
    """Make a folder of so many silent clips of 0.6 s at 32x32; most are hard links of one another."""
    folder, originals = cache / f"tiny-{count}", cache / "tiny"
    folder.mkdir(parents=True, exist_ok=True)
    originals.mkdir(exist_ok=True)
    for number in range(count):
        original, path = originals / f"{number // LINKS}.mp4", folder / f"{number:06}.mp4"
        if not original.exists():
            write_video(original, render_scene("orbit", number, size=(32, 32), fps=FPS, seconds=0.6).frames_THWC, fps=FPS)
        if not path.exists():
            os.link(original, path)
    return folder


def repeat(source: Path, target: Path, times: int) -> None:
    """Copy the packets of a file so many times, one after the other; nothing is encoded again."""
    part = target.with_name(target.name + ".part")
    with av.open(os.fspath(part), "w", format="mp4") as output:
        streams: dict[int, Stream] = {}
        for turn in range(times):
            with av.open(os.fspath(source)) as container:
                if not streams:
                    streams = {stream.index: output.add_stream_from_template(stream) for stream in container.streams}
                starts: dict[int, int] = {}
                for packet in container.demux():
                    if packet.dts is None or packet.pts is None:
                        continue
                    index, length = packet.stream.index, round(LOOP_S / packet.time_base)
                    if packet.dts - starts.setdefault(index, packet.dts) >= length:
                        continue  # what a sound codec adds at its end
                    packet.pts, packet.dts = packet.pts + turn * length, packet.dts + turn * length
                    packet.stream = streams[index]
                    output.mux(packet)
    os.replace(part, target)


def _loop(cache: Path, height: int, width: int, seed: int, options: dict[str, str]) -> Path:
    """Make 16 s of film, once."""
    path = cache / f"loop-{height}-{seed}-{'-'.join(options.values())}.mp4"
    if not path.exists():
        frames, sound = _film(height, width, LOOP_S * FPS, seed), _sound(LOOP_S, seed)
        write_video(path, frames, fps=Fraction(FPS), waveform=sound, audio_rate=SOUND_RATE, codec="libx264", options=options)
    return path


def _film(height: int, width: int, frames: int, seed: int) -> Iterator[Image]:
    """Film a textured ground that drifts, with three textured discs that swing before it, through grain.

    The textures have about the spectrum of natural pictures, so that they compress as film does.
    """
    rng = np.random.default_rng(derive(seed, "film"))
    margin = height // 8
    ground = _texture(rng, height + 2 * margin, width + 2 * margin)
    radius = height // 6
    disc = np.hypot(*np.mgrid[-radius:radius, -radius:radius]) < radius
    sprites = [(_texture(rng, 2 * radius, 2 * radius), rng.uniform(0, 6.3, 2), rng.uniform(0.05, 0.2, 2)) for _ in range(3)]
    grains = [rng.integers(0, 9, (height, width, 3)).astype(np.uint8) for _ in range(8)]
    for number in range(frames):
        turn = 2 * np.pi * number / frames
        middle = (width / 2 + margin + 0.8 * margin * np.sin(turn), height / 2 + margin + 0.8 * margin * np.cos(turn))
        frame = cv2.getRectSubPix(ground, (width, height), middle)
        for texture, phase, hertz in sprites:
            y, x = 0.5 + 0.4 * np.sin(phase + 2 * np.pi * hertz * number / FPS)
            top, left = round(y * (height - 2 * radius)), round(x * (width - 2 * radius))
            frame[top : top + 2 * radius, left : left + 2 * radius][disc] = texture[disc]
        yield np.asarray(cv2.add(frame, grains[number % len(grains)]), np.uint8)


def _texture(rng: np.random.Generator, height: int, width: int) -> Image:
    """Draw a cloudy pattern (H, W, 3): noise whose amplitude falls with frequency, mostly in brightness, a little in colour."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 2 / height
    spectrum = np.fft.rfft2(rng.standard_normal((4, height, width))) / frequency**1.3
    noise = np.fft.irfft2(spectrum, s=(height, width)).transpose(1, 2, 0)
    noise /= noise.std()
    return np.ascontiguousarray(np.clip(120 + 45 * noise[..., :1] + 15 * noise[..., 1:], 0, 245).astype(np.uint8))


def _sound(seconds: float, seed: int) -> NDArray[np.float32]:
    """Make noise that swells and ebbs, within [-1, 1]."""
    times = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    noise = np.random.default_rng(derive(seed, "sound")).standard_normal(len(times))
    return np.asarray(np.clip(0.15 * noise * (1 + np.sin(3 * times)), -1, 1), np.float32)
