"""Features of videos: averaged over clips, independent of how clips are batched, and the trivial ones."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from elo_cli.core.clip import Source
from elo_cli.data.evaluation import Views, evaluation_views
from elo_cli.data.loader import ClipReader
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.extract import TRIVIAL, _colour_histogram, _flow_histogram, _thumbnail, extract, extract_trivial
from elo_cli.engine.objective import build_encoder
from tests.support.shards import CLIP, ENCODER, PLAIN, write_set


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    return write_set(tmp_path_factory.mktemp("set"), videos=5)


@pytest.fixture(scope="module")
def reader(videos: VideoSet) -> ClipReader:
    return ClipReader(videos, CLIP)


def trained_a_little() -> nn.Module:
    """An encoder whose norms have seen something, so that training and evaluation mode differ."""
    encoder = build_encoder("rgb", ENCODER, 0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        encoder(torch.randn(4, 3, 4, 16, 16, generator=generator))
    return encoder


@pytest.mark.parametrize(("clips", "batch"), [(1, 1), (3, 32), (3, 4), (2, 1), (2, 5)])
def test_features_are_means_over_clips(videos: VideoSet, reader: ClipReader, clips: int, batch: int) -> None:
    encoder, done = trained_a_little(), []
    features = extract(encoder, reader, videos.videos, views=Views(clips), batch=batch, precision=PLAIN, progress=done.append)
    assert features.ids == tuple(video.id for video in videos.videos) and features.labels == (
        "even",
        "odd",
        "even",
        "odd",
        "even",
    )
    assert done[-1] == 5 and done == sorted(done) and not encoder.training
    assert features.matrix_ND.dtype == np.float32 and features.matrix_ND.shape == (5, 32)
    for row, tensors in enumerate(evaluation_views(reader, videos.videos, Source("rgb"), Views(clips))):
        with torch.no_grad():
            wanted = torch.stack([encoder(tensor[None]).vector_BD[0] for tensor in tensors]).mean(0)
        np.testing.assert_allclose(features.matrix_ND[row], wanted, rtol=1e-4, atol=1e-5)


def test_extraction_changes_no_parameter_or_statistic(videos: VideoSet, reader: ClipReader) -> None:
    encoder = trained_a_little()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    extract(encoder, reader, videos.videos, views=Views(), batch=2, precision=PLAIN, progress=lambda done: None)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize(("kind", "dimensions"), list(zip(TRIVIAL, (48, 192, 32), strict=True)))
def test_trivial_features(videos: VideoSet, reader: ClipReader, kind: str, dimensions: int) -> None:
    features = extract_trivial(kind, reader, videos.videos, views=Views(2))
    assert features.matrix_ND.shape == (5, dimensions) and np.isfinite(features.matrix_ND).all()


def test_histograms_count_every_pixel_and_vector() -> None:
    generator = torch.Generator().manual_seed(0)
    for value in (0.0, 1.0):  # black and white, after normalisation
        plain: Tensor = torch.full((3, 2, 4, 4), value)
        mean, deviation = (
            torch.tensor(numbers).view(3, 1, 1, 1) for numbers in ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
        )
        assert _colour_histogram((plain - mean) / deviation).reshape(3, 16).sum(1) == pytest.approx([1, 1, 1])
    flow = torch.randn(2, 3, 5, 5, generator=generator) * 3
    flow[:, 0, 0] = 0
    flow[:, 1, 0] = 1000
    flow[1, 2, 0], flow[0, 2, 0] = 0, -1  # straight to the left, at the seam of the angles
    assert _flow_histogram(flow).sum() == pytest.approx(1)


def test_thumbnails_show_the_middle_frame() -> None:
    clip = torch.arange(4.0).view(1, 4, 1, 1).expand(3, 4, 16, 16)
    assert _thumbnail(clip).tolist() == [2.0] * 192
