"""Tests of the numbers of a set: each against one that is known."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.core.errors import DataError
from elo_cli.data import statistics
from elo_cli.data.records import VideoFailure
from elo_cli.data.shard import Shard
from elo_cli.data.statistics import SetStatistics, fit_zipf
from elo_cli.fitness.zipf import zipf_prior
from tests.support.known_sets import FRAMES, HEIGHT, SETTINGS, WIDTH, flip, video, write_shard


@pytest.mark.parametrize("exponent", [0.0, 0.3, 1.0, 2.5])
def test_the_fit_finds_the_law_that_made_the_counts(exponent: float) -> None:
    counts = np.rint(1e12 * zipf_prior(30, exponent)).astype(int).tolist()
    fit = fit_zipf(counts[::-1])
    assert fit is not None and fit.exponent == pytest.approx(exponent, abs=1e-6)
    assert fit.divergence == pytest.approx(0, abs=1e-9)
    if exponent == 1.0:
        assert fit.divergence_at_one == pytest.approx(0, abs=1e-9)


def test_even_labels_have_exponent_0_and_a_known_divergence_from_1() -> None:
    fit = fit_zipf([5] * 4)
    # KL(1/4 ‖ i^-1 / H_4) = log(H_4 / 4) + log(4!) / 4
    expected = math.log((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4) + math.log(24) / 4
    assert fit is not None and (fit.exponent, fit.divergence) == (0.0, 0.0)
    assert fit.divergence_at_one == pytest.approx(expected, rel=1e-9)


def test_two_labels_are_met_exactly() -> None:
    fit = fit_zipf([8000, 1000, 0])  # 2^-s = 1/8
    assert fit is not None and fit.exponent == pytest.approx(3.0, abs=1e-6) and fit.divergence == pytest.approx(0, abs=1e-12)


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=40))
def test_no_other_exponent_fits_better(counts: list[int]) -> None:
    fit = fit_zipf(counts)
    assert fit is not None and fit.divergence <= fit.divergence_at_one
    p_K = np.sort(np.array(counts) / sum(counts))[::-1]
    for other in (0.0, fit.exponent + 0.01, max(0.0, fit.exponent - 0.01), 2.0):
        assert np.sum(p_K * np.log(p_K / zipf_prior(len(p_K), other))) >= fit.divergence - 1e-9


@pytest.mark.parametrize("counts", [[], [7], [7, 0]])
def test_fewer_than_two_labels_have_no_fit(counts: list[int]) -> None:
    assert fit_zipf(counts) is None


def counted(*paths: Path) -> SetStatistics:
    numbers = SetStatistics()
    for path in paths:
        numbers.add(Shard(path))
    return numbers


def test_everything_is_counted(tmp_path: Path) -> None:
    first = write_shard(
        tmp_path, "a", {"a": video(label="run", split="train"), "b": video(label="run", bad_packets=2, codec="vp9")}, segments=2
    )
    bare = video(label="sit", sound="silent", flow="vp9 has none", source_fps=29.97003, promised_s=14.5)
    second = write_shard(tmp_path, "b", {"c": bare, "d": video(promised_s=12.9)}, flow=None, sound=0)
    numbers = counted(first, second)
    assert (numbers.videos, numbers.segments, numbers.frames) == (4, 6, 6 * FRAMES)
    assert numbers.seconds == pytest.approx(6 * FRAMES / SETTINGS.fps)
    assert (numbers.segments_with_flow, numbers.segments_with_sound) == (4, 4)
    assert numbers.bytes == first.stat().st_size + second.stat().st_size
    frame = HEIGHT * WIDTH * FRAMES
    assert numbers.modality_bytes == {
        "rgb": 6 * 3 * frame, "flow": 4 * (2 * 2 * frame + 2 * 4 * FRAMES), "audio": 4 * 2 * SETTINGS.mels * 12,
    }  # fmt: skip
    assert numbers.labels == {"run": 2, "sit": 1} and numbers.splits == {"train": 1}
    assert numbers.sound == {"heard": 3, "silent": 1} and numbers.flowless == {"vp9 has none": 1}
    assert numbers.codecs == {"h264": 3, "vp9": 1} and numbers.source_fps == {25.0: 3, 29.97: 1}
    assert numbers.source_sizes == {(240, 320): 4} and numbers.stored_sizes == {(HEIGHT, WIDTH): 6}
    assert list(numbers.durations_s) == [12.0] * 4 and len(numbers.settings) == 1
    assert numbers.suspects == [("b", 2, 0.0), ("c", 0, 2.5)]  # 0.9 s may be missing of any film


def test_failures_are_counted_by_stage_and_reason() -> None:
    numbers = SetStatistics()
    numbers.add_failures([VideoFailure("a", "open", "empty-file", ""), VideoFailure("b", "open", "empty-file", "")])
    numbers.add_failures([VideoFailure("c", "decode", "timeout", "")])
    assert numbers.failures == {("open", "empty-file"): 2, ("decode", "timeout"): 1}


def test_the_flow_is_measured_in_pixels(tmp_path: Path) -> None:
    still = write_shard(tmp_path, "a", {"a": video()}, flow=(0.0, 0.0))
    moving = write_shard(tmp_path, "b", {"b": video()}, flow=(3.0, 4.0))
    figures = counted(still, moving).flow()
    assert figures is not None and figures.complete and (figures.segments, figures.frames) == (2, 2 * FRAMES)
    assert figures.magnitude_px == pytest.approx(2.5, rel=1e-6)  # of 0 and of 5
    assert figures.error_bound_px == pytest.approx(0.05, rel=1e-6)
    assert counted(write_shard(tmp_path, "c", {"c": video()}, flow=None)).flow() is None


def test_the_sample_does_not_depend_on_the_order_of_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SAMPLED_SEGMENTS", 3)
    paths = [write_shard(tmp_path, f"s{n}", {f"v{n}": video()}, segments=2, flow=(n / 2, 0.0)) for n in range(6)]
    figures = counted(*paths).flow()
    assert figures is not None and (figures.segments, figures.complete) == (3, False)
    assert counted(*reversed(paths)).flow() == figures


def test_a_long_segment_is_looked_at_in_a_few_places(tmp_path: Path) -> None:
    figures = counted(write_shard(tmp_path, "a", {"a": video()}, frames=100)).flow()
    assert figures is not None and figures.frames == statistics.SAMPLED_FRAMES


def test_damage_to_the_header_is_an_error_and_not_a_count(tmp_path: Path) -> None:
    path = write_shard(tmp_path, "a", {"a": video()})
    flip(path, 200)
    with pytest.raises(DataError, match=r"a\.safetensors"):
        counted(path)
