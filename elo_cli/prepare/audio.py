"""The log-mel spectrogram of a waveform, in NumPy alone.

Frame n is centred on (n + 1/2) hops, so that frames lie in the middle of their hop and the
spectrogram of a waveform played backwards is the spectrogram played backwards.
"""

import functools

import numpy as np

FLOOR = 1e-6  # added to the mel power before the logarithm: silence becomes log(1e-6) = -13.8


def log_mel(
    waveform: np.ndarray,
    rate: int = 16000,
    *,
    window_s: float = 0.025,
    hop_s: float = 0.010,
    mels: int = 80,
    n_fft: int | None = None,
) -> np.ndarray:
    """Return the natural logarithm of the mel power, float32 (mels, frames).

    frames = round(samples / rate / hop_s); the power is that of a symmetric Hann window of unit
    energy, with zeros beyond both ends of the waveform. When the waveform is a whole number of
    hops, and a hop a whole number of samples, log_mel(waveform[::-1]) = log_mel(waveform)[:, ::-1].

    Args:
        waveform: (samples,) floats, nominally in [-1, 1].
        rate: samples per second.
        window_s, hop_s: length of the window and distance of the frames, in seconds.
        mels: filters, equally wide on the mel scale of HTK from 0 Hz to rate / 2.
        n_fft: length of the transform; by default the next power of two that holds the window. It is
            doubled until every filter covers at least one frequency.

    Raises:
        ValueError: the waveform is not one-dimensional, or an argument is not positive.
    """
    window, hop = round(window_s * rate), hop_s * rate
    if waveform.ndim != 1:
        raise ValueError(f"a waveform is one-dimensional, not {waveform.ndim}-dimensional")
    if window < 2 or hop <= 0 or mels < 1 or (n_fft is not None and n_fft < window):
        raise ValueError(f"no spectrogram with {window} samples a window, {hop:g} a hop, {mels} mels, n_fft {n_fft}")
    if (window - round(hop)) % 2:
        window += 1  # or no window could be centred on the middle of a hop
    frames = round(len(waveform) / hop)
    if not frames:
        return np.zeros((mels, 0), np.float32)
    taper = np.hanning(window + 2)[1:-1]  # without the two zeros at its ends
    taper /= np.sqrt(np.sum(taper**2))
    # An integer whenever a hop is a whole number of samples, thanks to the window's parity.
    first = np.rint((np.arange(frames) + 0.5) * hop - window / 2).astype(np.int64)
    padded = np.zeros(len(waveform) + 2 * window + int(np.ceil(hop)), np.float32)
    padded[window : window + len(waveform)] = waveform
    framed = np.lib.stride_tricks.sliding_window_view(padded, window)[first + window]
    filters = mel_filters(rate, _enough(rate, mels, n_fft or _next_power(window)), mels)
    spectrum = np.fft.rfft(framed * taper.astype(np.float32), 2 * (filters.shape[1] - 1), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
    spectrogram: np.ndarray = np.log(filters.astype(np.float32) @ power.T + np.float32(FLOOR))
    return spectrogram


@functools.lru_cache(maxsize=8)
def mel_filters(rate: int, n_fft: int, mels: int) -> np.ndarray:
    """Return (mels, n_fft / 2 + 1) triangles with a peak of 1, on the scale mel(f) = 2595 log10(1 + f / 700) of HTK.

    Some are empty where `n_fft` is too small for so many.
    """
    top = 2595.0 * np.log10(1.0 + rate / 2 / 700.0)
    corners = 700.0 * (10.0 ** (np.linspace(0.0, top, mels + 2) / 2595.0) - 1.0)
    hertz = np.fft.rfftfreq(n_fft, 1.0 / rate)
    low, peak, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    filters: np.ndarray = np.maximum(0.0, np.minimum((hertz - low) / (peak - low), (high - hertz) / (high - peak)))
    filters.setflags(write=False)  # shared by all callers
    return filters


def _enough(rate: int, mels: int, n_fft: int) -> int:
    """Double `n_fft` until no filter is empty."""
    while not mel_filters(rate, n_fft, mels).any(axis=1).all():
        n_fft *= 2
    return n_fft


def _next_power(samples: int) -> int:
    """The smallest power of two that is no smaller."""
    return 1 << (samples - 1).bit_length()
