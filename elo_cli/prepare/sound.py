"""The sound of stretches of a video, as one waveform each that starts with the stretch's first frame."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from elo_cli.core.errors import VideoError
from elo_cli.prepare.container import Log, open_container, read_packets, trim

SILENCE_PEAK = 1e-4  # below this a 16-bit recording holds nothing but rounding
PREROLL_S = 0.3  # decoders of AAC and Opus need some sound before the first right sample
MAX_GAP_S = 0.05  # a larger jump of the timestamps is a hole in the sound


def read_waveforms(path: Path, spans: list[tuple[float, int]], rate_hz: int, max_pixels: int) -> list[np.ndarray | None]:
    """Decode the sound of each span, given as a start in seconds of the container's clock and a number of samples.

    Returns:
        For each span float32 of its length, mono in [-1, 1], or None where there is no sound, silence,
        or a track that cannot be decoded: bad sound never costs the video.
    """
    found: list[np.ndarray | None] = [None] * len(spans)
    try:
        with open_container(path, max_pixels) as (container, log):
            stream = _best_stream(container)
            if stream is None:
                return found
            stream.codec_context.thread_type = "NONE"
            for index, (start_s, samples) in enumerate(spans):
                if index or start_s > 1.0:  # before that, reading from the beginning is the surest
                    _seek(container, stream, start_s - PREROLL_S)
                waveform = _waveform(_frames(container, stream, log), start_s, samples, rate_hz)
                # Written so that NaN counts as silence.
                found[index] = waveform if float(np.abs(waveform).max(initial=0.0)) >= SILENCE_PEAK else None
    except VideoError:
        return found  # what was heard before the track broke is right
    return found


def has_sound(container: InputContainer) -> bool:
    """Say whether a decodable sound track is announced."""
    return _best_stream(container) is not None


def _best_stream(container: InputContainer) -> AudioStream | None:
    """Choose the default sound track, else the first."""
    default = Disposition.default
    usable = [stream for stream in container.streams.audio if stream.codec_context is not None]
    return min(usable, key=lambda stream: not stream.disposition & default, default=None)


def _seek(container: InputContainer, stream: AudioStream, time_s: float) -> None:
    """Go to a place at or before `time_s`, or to the beginning where that fails."""
    try:
        container.seek(math.floor(time_s / float(stream.time_base or 1)), stream=stream, backward=True)
    except av.error.FFmpegError:
        container.seek(0, backward=True)


def _frames(container: InputContainer, stream: AudioStream, log: Log) -> Iterator[tuple[float | None, AudioFrame]]:
    """Yield frames of sound with their times in seconds; None where the container gives none."""
    unit = float(stream.time_base or 0)
    for packet in read_packets(container, [stream]):
        try:
            frames: list[Any] = [] if packet is None else packet.decode()
        except av.error.FFmpegError:  # a hole; the next packet may be whole
            frames = []
        trim(log)
        for frame in frames:
            if frame.samples and frame.sample_rate:
                yield (None if frame.pts is None or not unit else frame.pts * unit), frame


def _waveform(frames: Iterator[tuple[float | None, AudioFrame]], start_s: float, samples: int, rate_hz: int) -> np.ndarray:
    """Resample frames into (samples,) float32 by their times; zeros where there is no sound."""
    waveform = np.zeros(samples, np.float32)
    resampler, kind, place = AudioResampler("fltp", "mono", rate_hz), None, 0
    expected_s: float | None = None
    for stamp_s, frame in frames:
        time_s = stamp_s if stamp_s is not None else (expected_s if expected_s is not None else start_s)
        if time_s >= start_s + samples / rate_hz:
            break
        found = (frame.format.name, frame.layout.name, frame.sample_rate)
        if found != kind or expected_s is None or abs(time_s - expected_s) > MAX_GAP_S:
            _place(waveform, resampler.resample(None) if kind else [], place)
            resampler, kind = AudioResampler("fltp", "mono", rate_hz), found
            place = round((time_s - start_s) * rate_hz)
        expected_s = time_s + frame.samples / frame.sample_rate
        place = _place(waveform, resampler.resample(frame), place)
    _place(waveform, resampler.resample(None) if kind else [], place)
    return np.clip(np.nan_to_num(waveform, copy=False), -1.0, 1.0, out=waveform)


def _place(waveform: np.ndarray, blocks: Sequence[AudioFrame | None], place: int) -> int:
    """Write blocks one after the other from `place` on, cut to the waveform; return the place after them."""
    for block in blocks:
        if block is None:  # a flushed resampler that had nothing to convert
            continue
        sound = block.to_ndarray()[0]
        first, last = max(place, 0), min(place + len(sound), len(waveform))
        if first < last:
            waveform[first:last] = sound[first - place : last - place]
        place += len(sound)
    return place
