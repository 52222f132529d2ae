"""Features of videos: the RGB encoder's, and trivial ones that any encoder must beat."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from elo_cli.core.clip import Source
from elo_cli.core.features import Features
from elo_cli.data.evaluation import Views, evaluation_views
from elo_cli.data.loader import ClipReader
from elo_cli.data.video_set import Video
from elo_cli.engine.precision import Precision

Progress = Callable[[int], None]
TRIVIAL = ("colour-histogram", "thumbnail", "flow-histogram")


def extract(
    encoder: nn.Module,
    reader: ClipReader,
    videos: Sequence[Video],
    *,
    views: Views,
    batch: int,
    precision: Precision,
    progress: Progress,
    workers: int = 0,
) -> Features:
    """Take the RGB encoder's representation of each view of each video.

    Args:
        encoder: an RGB encoder; it is put into evaluation mode.
        reader: of the preprocessed set that holds the videos.
        views: of a video.
        batch: views of one forward pass, or those of one video where these are more.
        progress: is told how many videos are done.
        workers: processes that read ahead.

    Returns:
        Features of N videos × V views × D.
    """
    precision.place(encoder).eval()
    rows: list[np.ndarray] = []
    group = max(1, batch // views.count)
    for chunk in _chunks(evaluation_views(reader, videos, Source("rgb"), views, workers), group):
        with torch.inference_mode(), precision.autocast():
            vectors = encoder(precision.send(torch.cat(chunk))).vector_BD
        rows.extend(vectors.float().view(len(chunk), views.count, -1).cpu().numpy())
        progress(len(rows))
    return _features(rows, videos)


def extract_trivial(kind: str, reader: ClipReader, videos: Sequence[Video], *, views: Views) -> Features:
    """Compute features that know nothing of the world, of the same views.

    Args:
        kind: `colour-histogram` (16 bins for each channel), `thumbnail` (8×8 of the middle frame), or
            `flow-histogram` (4 lengths × 8 directions).
    """
    source = Source("flow") if kind == "flow-histogram" else Source("rgb")
    measure = {"colour-histogram": _colour_histogram, "thumbnail": _thumbnail, "flow-histogram": _flow_histogram}[kind]
    rows = [np.stack([measure(view) for view in seen]) for seen in evaluation_views(reader, videos, source, views)]
    return _features(rows, videos)


def _features(rows_VD: list[np.ndarray], videos: Sequence[Video]) -> Features:
    return Features.of_views(np.stack(rows_VD), tuple(video.id for video in videos), tuple(video.label for video in videos))


def _chunks(items: Iterator[Tensor], size: int) -> Iterator[list[Tensor]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _colour_histogram(clip_CTHW: Tensor) -> np.ndarray:
    counts = [torch.histc(channel, 16, -2.0, 3.0) for channel in clip_CTHW]  # black is -1.9, white 2.9
    return (torch.cat(counts) / clip_CTHW[0].numel()).numpy()


def _thumbnail(clip_CTHW: Tensor) -> np.ndarray:
    middle_CHW = clip_CTHW[:, clip_CTHW.shape[1] // 2]
    return functional.adaptive_avg_pool2d(middle_CHW, 8).flatten().numpy()


def _flow_histogram(flow_CTHW: Tensor) -> np.ndarray:
    # In float32 the angle of what moves straight to the left is greater than π, and would fall off the last bin.
    x, y = flow_CTHW[0].double().numpy().ravel(), flow_CTHW[1].double().numpy().ravel()
    length, direction = np.hypot(x, y), np.arctan2(y, x)
    edges = np.array([0.0, 0.5, 2.0, 6.0, np.inf])  # hundredths of the clip's side for each stored frame
    counts, _, _ = np.histogram2d(length, direction, bins=[edges, np.linspace(-np.pi, np.pi, 9)])
    shares: np.ndarray = (counts / len(x)).ravel()
    return shares
