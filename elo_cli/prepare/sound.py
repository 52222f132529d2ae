"""The sound of stretches of a video, as one waveform each that starts with the stretch's first frame."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal, cast

import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.frame import Frame
from av.stream import Disposition

from elo_cli.prepare.container import DECODING_ERRORS
from elo_cli.prepare.reel import Reel

SILENCE_PEAK = 1e-4  # below this a 16-bit recording holds nothing but rounding
PREROLLS_S = (0.3, 3.0, 30.0)  # decoders of AAC and Opus need some sound before the first right sample
BLOCK_S = 1.0  # so much sound is resampled at once
MIXED_CHANNELS = 8  # more are averaged; so many, FFmpeg mixes into one as it does for any listener
LEAD_S = 0.05  # so much before the first sample warms the resampler up
MAX_GAP_S = 0.05  # a larger jump of the timestamps is a hole in the sound

# What became of the sound: heard in at least one stretch; no track, or none at that time; digital
# silence; a track that cannot be decoded; not asked for.
Hearing = Literal["heard", "none", "silent", "broken", "off"]


def sound_stream(container: InputContainer) -> AudioStream | None:
    """Choose the default sound track that can be decoded, else the first; ready to decode on one thread."""
    default = Disposition.default
    usable = [stream for stream in container.streams.audio if stream.codec_context is not None]
    best = min(usable, key=lambda stream: not stream.disposition & default, default=None)
    if best is not None:
        best.codec_context.thread_type = "NONE"
    return best


class SoundReader:
    """Reads stretches of one sound track.

    Bad sound never costs the video: it is absent, and `hearing` says why.

    Args:
        reel: what holds the track.
        stream: the track; None where there is none that can be decoded.
        rate_hz: samples per second of what is read; 0 if no sound is wanted.
        tracks: how many sound tracks the file announces.

    Attributes:
        bad_packets: packets that the decoder refused or complained about: holes in what is heard.
    """

    def __init__(self, reel: Reel, stream: AudioStream | None, rate_hz: int, *, tracks: int) -> None:
        self.bad_packets = 0
        self._reel, self._stream, self._rate_hz, self._tracks = reel, stream, rate_hz, tracks
        self._unit = float(stream.time_base or 0) if stream else 0.0
        self._loud = self._decoded = False

    @property
    def hearing(self) -> Hearing:
        """What became of the sound of what has been read."""
        if not self._rate_hz:
            return "off"
        if self._loud:
            return "heard"
        if self._decoded:
            return "silent"
        return "broken" if self.bad_packets or (self._tracks and self._stream is None) else "none"

    def read(self, start_s: float, samples: int) -> np.ndarray | None:
        """Read so many samples from a time of the container's clock on.

        Returns:
            float32 (samples,), mono in [-1, 1]; None where there is nothing to hear.
        """
        if self._stream is None:
            return None
        try:
            waveform = _waveform(self._from(self._stream, start_s), start_s, samples, self._rate_hz)
        except DECODING_ERRORS:
            self.bad_packets += 1
            return None
        # Written so that NaN counts as silence.
        loud = float(np.abs(waveform).max(initial=0.0)) >= SILENCE_PEAK
        self._loud = self._loud or loud
        return waveform if loud else None

    def _frames(self, stream: AudioStream, from_s: float) -> Iterator[tuple[float | None, AudioFrame]]:
        """Yield frames of sound from about `from_s` on, with their times in seconds; None where the container gives none."""
        for frames, bad in self._decode(stream, from_s):
            self.bad_packets += bad
            for frame in cast(list[AudioFrame], frames):
                if frame.samples and frame.sample_rate:
                    self._decoded = True
                    yield (None if frame.pts is None or not self._unit else frame.pts * self._unit), frame

    def _from(self, stream: AudioStream, start_s: float) -> Iterator[tuple[float | None, AudioFrame]]:
        """Yield frames of sound that begin before `start_s`, if there are such."""
        bad = self.bad_packets
        for preroll_s in PREROLLS_S:
            self.bad_packets = bad  # a seek may land in the middle of a packet: that is no damage
            frames = self._frames(stream, start_s - preroll_s)
            first = next(frames, None)
            if self._reel.held or first is None or first[0] is None or first[0] <= start_s:
                break
        return iter(()) if first is None else itertools.chain([first], frames)

    def _decode(self, stream: AudioStream, from_s: float) -> Iterator[tuple[list[Frame], bool]]:
        if from_s <= 1.0:  # reading from the beginning is the surest
            return self._reel.decode(stream)
        try:
            return self._reel.decode(stream, from_s)
        except av.error.FFmpegError:
            return self._reel.decode(stream)


def _waveform(frames: Iterator[tuple[float | None, AudioFrame]], start_s: float, samples: int, rate_hz: int) -> np.ndarray:
    """Resample frames into (samples,) float32 by their times; zeros where there is no sound."""
    tape = _Tape(start_s, samples, rate_hz)
    expected_s: float | None = None
    for stamp_s, frame in frames:
        time_s = stamp_s if stamp_s is not None else (expected_s if expected_s is not None else start_s)
        if time_s >= start_s + samples / rate_hz:
            break
        end_s = time_s + frame.samples / frame.sample_rate
        if end_s > start_s - LEAD_S:
            tape.add(frame, time_s, follows=expected_s is not None and abs(time_s - expected_s) <= MAX_GAP_S)
        expected_s = end_s
    tape.finish()
    return np.clip(np.nan_to_num(tape.waveform, copy=False), -1.0, 1.0, out=tape.waveform)


class _Tape:
    """A waveform that is being filled.

    Attributes:
        waveform: float32, zeros where nothing has been put.
    """

    def __init__(self, start_s: float, samples: int, rate_hz: int) -> None:
        self.waveform = np.zeros(samples, np.float32)
        self._start_s, self._rate_hz = start_s, rate_hz
        self._resampler: AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None
        self._channels = 1  # of what the resampler gives
        self._place = self._waiting = 0
        self._blocks: list[np.ndarray] = []  # frames of sound are short: many are resampled at once

    def add(self, frame: AudioFrame, time_s: float, *, follows: bool) -> None:
        """Add a frame that sounds at `time_s`, right after the one before it or not."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind or not follows:
            self.finish()
            self._kind, self._place = kind, round((time_s - self._start_s) * self._rate_hz)
            # FFmpeg cannot mix so many channels, and PyAV reads past the end of such frames unless they are interleaved.
            many = frame.layout.nb_channels > MIXED_CHANNELS
            self._channels = frame.layout.nb_channels if many else 1
            self._resampler = AudioResampler("flt" if many else "fltp", frame.layout if many else "mono", self._rate_hz)
        assert self._resampler is not None
        if self._channels > 1:
            self._put(self._resampler.resample(frame))
            return
        self._blocks.append(frame.to_ndarray())
        self._waiting += frame.samples
        if self._waiting >= frame.sample_rate * BLOCK_S:
            self._resample()

    def finish(self) -> None:
        """Put down what is still waiting, in here and in the resampler."""
        if self._resampler is not None:
            self._resample()
            self._put(self._resampler.resample(None))
            self._resampler = None

    def _resample(self) -> None:
        if self._blocks and self._resampler is not None and self._kind is not None:
            block = AudioFrame.from_ndarray(np.concatenate(self._blocks, axis=1), self._kind[0], self._kind[1])
            block.sample_rate = self._kind[2]
            self._blocks, self._waiting = [], 0
            self._put(self._resampler.resample(block))

    def _put(self, blocks: Sequence[AudioFrame | None]) -> None:
        """Write resampled sound one block after the other, cut to the waveform."""
        for block in blocks:
            if block is None:  # a flushed resampler that had nothing to convert
                continue
            sound = block.to_ndarray()[0].reshape(-1, self._channels).mean(axis=1)
            first, last = max(self._place, 0), min(self._place + len(sound), len(self.waveform))
            if first < last:
                self.waveform[first:last] = sound[first - self._place : last - self._place]
            self._place += len(sound)
