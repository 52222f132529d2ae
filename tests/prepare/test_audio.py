"""The log-mel spectrogram: its shape, its values, and that it plays backwards."""

import numpy as np
import pytest

from elo_cli.prepare.audio import FLOOR, log_mel, mel_filters

RATE = 16000


def noise(samples: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, samples).astype(np.float32)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (79, 0), (81, 1), (160, 1), (16000, 100), (16079, 100), (16081, 101)])
def test_one_frame_for_each_hop(samples: int, frames: int) -> None:
    spectrogram = log_mel(noise(samples))
    assert spectrogram.shape == (80, frames)
    assert spectrogram.dtype == np.float32


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("window_s", [0.025, 0.0321, 0.040])
def test_the_reversed_waveform_gives_the_flipped_spectrogram(rate: int, window_s: float) -> None:
    waveform = noise(rate // 100 * 37)
    forward, backward = (log_mel(wave, rate, window_s=window_s) for wave in (waveform, waveform[::-1]))
    np.testing.assert_allclose(backward, forward[:, ::-1], atol=1e-5)


def test_silence_is_the_floor() -> None:
    np.testing.assert_allclose(log_mel(np.zeros(3200, np.float32)), np.log(FLOOR), rtol=1e-6)


def test_a_frame_is_centred_on_the_middle_of_its_hop() -> None:
    waveform = np.zeros(1600, np.float32)
    waveform[5 * 160 + 79 : 5 * 160 + 81] = 1.0
    power = log_mel(waveform).mean(axis=0)
    assert power.argmax() == 5
    assert power[4] == pytest.approx(power[6], abs=1e-4)


@pytest.mark.parametrize("hertz", [300.0, 1000.0, 4000.0])
def test_a_tone_lands_in_its_filter(hertz: float) -> None:
    tone = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
    top = 2595 * np.log10(1 + 8000 / 700)
    band = 2595 * np.log10(1 + hertz / 700) / top * 81 - 1
    assert log_mel(tone)[:, 50].argmax() == pytest.approx(band, abs=1)


def test_power_is_the_sum_of_squares_of_the_spectrum() -> None:
    waveform = noise(1600)
    spectrum = np.fft.rfft(waveform[5 * 160 + 80 - 200 : 5 * 160 + 80 + 200] * _taper(400), 512)
    expected = np.log(mel_filters(RATE, 512, 80) @ np.abs(spectrum) ** 2 + FLOOR)
    np.testing.assert_allclose(log_mel(waveform)[:, 5], expected, rtol=1e-5)


def _taper(samples: int) -> np.ndarray:
    taper = np.sin(np.pi * np.arange(1, samples + 1) / (samples + 1)) ** 2
    return taper / np.sqrt(np.sum(taper**2))


@pytest.mark.parametrize(("mels", "n_fft"), [(80, None), (128, None), (128, 512), (40, 400)])
def test_no_filter_is_empty(mels: int, n_fft: int | None) -> None:
    spectrogram = log_mel(noise(3200), mels=mels, n_fft=n_fft)
    assert spectrogram.shape == (mels, 20)
    assert spectrogram.min() > np.log(FLOOR) + 1


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="one-dimensional"):
        log_mel(np.zeros((2, 100)))
    with pytest.raises(ValueError, match="no spectrogram"):
        log_mel(np.zeros(100), n_fft=256)
