"""Objectives on held-out videos: the numbers of the fitness itself, and gradients that differences confirm."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from elo_cli.core.errors import TrainingError
from elo_cli.core.features import Features
from elo_cli.core.search_settings import FitnessSettings
from elo_cli.core.seeds import derive
from elo_cli.data.loader import ClipReader
from elo_cli.engine.held_out import TEMPERATURE, gradient, objective, scale
from elo_cli.engine.objective import build_encoder
from elo_cli.engine.precision import Precision
from elo_cli.fitness.rankme import measure as rankme
from elo_cli.fitness.zipf import zipf_divergence
from elo_cli.vectors.clusters import k_means
from elo_cli.vectors.scaling import SCALINGS
from elo_cli.vectors.scaling import scale as plain_scale
from tests.support.shards import CLIP, ENCODER, PLAIN, write_set

GIVEN = FitnessSettings(clusters=4, runs=3, exponent=1.3, two_sigma_squared=2.0, bandwidth="absolute")


def rows(count: int = 24, dimension: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    groups = torch.randn(4, dimension, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
    return 3 * groups[torch.arange(count) % 4] + noise + 5


@pytest.mark.parametrize("scaling", SCALINGS)
def test_zipf_is_the_fitness_itself(scaling: str) -> None:
    given, matrix_ND = GIVEN.model_copy(update={"scaling": scaling}), rows()
    scaled_ND = plain_scale(matrix_ND.numpy(), scaling)
    assert np.allclose(scale(matrix_ND, scaling).numpy(), scaled_ND)
    centres = [k_means(scaled_ND, 4, derive(9, "held-out", run) % 2**32).cluster_centers_ for run in range(3)]
    wanted = np.mean([zipf_divergence(scaled_ND, one, exponent=1.3, two_sigma_squared=2.0) for one in centres])
    assert float(objective("zipf", matrix_ND, given, 9)) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("scaling", SCALINGS)
def test_zipf_under_a_relative_width_is_the_fitness_itself(scaling: str) -> None:
    given, matrix_ND = GIVEN.model_copy(update={"scaling": scaling, "bandwidth": "relative"}), rows()
    scaled_ND = scale(matrix_ND, scaling).numpy()
    runs = [k_means(scaled_ND, 4, derive(9, "held-out", run) % 2**32) for run in range(3)]
    values = [
        zipf_divergence(scaled_ND, one.cluster_centers_, exponent=1.3, two_sigma_squared=2 * one.inertia_ / len(scaled_ND))
        for one in runs
    ]
    assert float(objective("zipf", matrix_ND, given, 9)) == pytest.approx(np.mean(values), rel=1e-6)


@pytest.mark.parametrize("scaling", ["none", "standardize", "unit", "rms"])
def test_a_scaling_has_the_gradient_that_differences_show(scaling: str) -> None:
    assert torch.autograd.gradcheck(lambda matrix: scale(matrix, scaling), rows(7, 3).requires_grad_())


def test_the_gradient_of_zipf_is_what_differences_show_where_centres_stay() -> None:
    """Under the letter of the paper nothing is scaled, so that rows far from every border leave the centres' change alone."""
    given = GIVEN.model_copy(update={"scaling": "none", "two_sigma_squared": 50.0, "runs": 1})
    matrix_ND = rows().requires_grad_()
    objective("zipf", matrix_ND, given, 1).backward()
    centres = k_means(matrix_ND.detach().numpy(), 4, derive(1, "held-out", 0) % 2**32).cluster_centers_
    for place in ((0, 0), (5, 3), (17, 2)):
        values = []
        for step in (1e-5, -1e-5):
            moved = matrix_ND.detach().clone()
            moved[place] += step
            values.append(zipf_divergence(moved.numpy(), centres, exponent=1.3, two_sigma_squared=50.0))
        assert matrix_ND.grad is not None
        assert float(matrix_ND.grad[place]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)


def test_rankme_is_the_fitness_itself_with_its_gradient() -> None:
    matrix_ND = rows()
    names = tuple(str(number) for number in range(len(matrix_ND)))
    wanted = rankme(Features(matrix_ND.numpy(), names, (None,) * len(names)), seed=0).value
    assert float(objective("rankme", matrix_ND, GIVEN, 0)) == pytest.approx(-wanted, rel=1e-9)
    assert torch.autograd.gradcheck(lambda matrix: objective("rankme", matrix, GIVEN, 0), rows(9, 4).requires_grad_())


def test_contrast_is_info_nce_between_two_clips() -> None:
    matrix_ND = rows(8, 5)
    unit = matrix_ND.numpy() / np.linalg.norm(matrix_ND.numpy(), axis=1, keepdims=True)
    similarity = unit[0::2] @ unit[1::2].T / TEMPERATURE
    log = [np.log(np.exp(one[k]) / np.exp(one).sum()) for matrix in (similarity, similarity.T) for k, one in enumerate(matrix)]
    assert float(objective("contrast", matrix_ND, GIVEN, 0)) == pytest.approx(-np.mean(log), rel=1e-9)


def test_collapsed_features_are_an_error_by_name() -> None:
    for matrix_ND in (torch.ones(12, 4, dtype=torch.float64), torch.full((12, 4), math.nan, dtype=torch.float64)):
        with pytest.raises(TrainingError, match="held-out videos are collapsed"):
            objective("zipf", matrix_ND, GIVEN, 0)


@pytest.mark.parametrize("name", ["zipf", "contrast"])
def test_all_videos_count_at_once_however_few_fit_into_a_batch(tmp_path: Path, name: str) -> None:
    videos = write_set(tmp_path, videos=9)
    encoder = build_encoder("rgb", ENCODER, 0).train()
    reader, listed = ClipReader(videos, CLIP), list(videos.videos)

    def at(batch: int, precision: Precision = PLAIN) -> tuple[float, list[Tensor]]:
        return gradient(name, encoder, reader, listed, GIVEN, batch=batch, seed=3, precision=precision)

    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    value, whole = at(100)
    again, parts = at(2)
    assert value == pytest.approx(again, rel=1e-5)
    assert max(float(part.abs().max()) for part in whole) > 0
    for one, other in zip(whole, parts, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5 * float(one.abs().max()) + 1e-9)
    assert encoder.training and all(parameter.grad is None for parameter in encoder.parameters())
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
