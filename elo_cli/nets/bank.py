"""A running representation of every training video, and clusters of them: what tasks with pseudo-labels learn from."""

import warnings

import numpy as np
import torch
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional

from elo_cli import dist
from elo_cli.core.seeds import derive

MANY = 20_000  # rows from which on k-means works on batches


class Bank(nn.Module):
    """One vector of unit length for each video: the moving mean of its clips' representations (Wu et al. 2018).

    The vectors are clustered anew whenever twice as many videos have been seen as the last time, when the last
    video has been seen, and every `every` steps. So pseudo-labels exist from the first steps on, at no forward pass of
    their own, and every video has them once all have been seen.
    All of it is buffers: a checkpoint holds the bank, and a resumed run goes on with it. Where several processes train
    together each has the whole bank, and all are alike: every rank takes in the clips of all, and rank 0 clusters.

    Args:
        videos: how many there are, N.
        drawn: how many of them training ever draws: the others are too short, or held out.
        dimension: of their vectors, D.
        clusters: k, at most; never more than half of the videos seen.
        clusterings: independent runs of k-means, H.
        every: steps from one clustering to the next.
        momentum: what a vector keeps of itself when its video is seen again, in [0, 1).
        seed: of k-means.

    Attributes:
        vectors_ND: unit vectors; zeros for videos not seen yet.
        seen_N: whether a video has been seen.
        labels_HN: the cluster of each video in each clustering; -1 before its first.
        rounds: how often it has been clustered.
    """

    vectors_ND: Tensor
    seen_N: Tensor
    labels_HN: Tensor
    rounds: Tensor
    clips: Tensor
    clustered: Tensor

    def __init__(
        self, videos: int, drawn: int, dimension: int, clusters: int, clusterings: int, every: int, momentum: float, seed: int
    ) -> None:
        super().__init__()
        self.drawn, self.clusters, self.every, self.momentum, self.seed = drawn, clusters, every, momentum, seed
        self.register_buffer("vectors_ND", torch.zeros(videos, dimension))
        self.register_buffer("seen_N", torch.zeros(videos, dtype=torch.bool))
        self.register_buffer("labels_HN", torch.full((clusterings, videos), -1))
        self.register_buffer("rounds", torch.tensor(0))
        self.register_buffer("clips", torch.tensor(0))  # since the last clustering
        self.register_buffer("clustered", torch.tensor(0))  # videos that had been seen then

    @torch.no_grad()
    def update(self, video_B: Tensor, vector_BD: Tensor, valid_B: Tensor, step_clips: int | None = None) -> bool:
        """Take in the representations of a batch, of all ranks, and cluster if it is time; a video counts once.

        Args:
            video_B, vector_BD, valid_B: the clips of this rank.
            step_clips: clips of a whole step on all ranks, where this is but a part of them.

        Returns:
            Whether the clusters are new.
        """
        video_B, vector_BD, valid_B = (dist.everyone(each) for each in (video_B, vector_BD, valid_B))
        usable_B = valid_B & torch.isfinite(vector_BD).all(1)
        rows, vectors_BD = video_B[usable_B], functional.normalize(vector_BD[usable_B].float(), dim=1)
        old_BD = self.vectors_ND[rows]
        keep_B1 = torch.where(self.seen_N[rows], self.momentum, 0.0)[:, None]
        self.vectors_ND[rows] = functional.normalize(keep_B1 * old_BD + (1 - keep_B1) * vectors_BD, dim=1)
        self.seen_N[rows] = True
        self.clips += len(valid_B)
        seen = int(self.seen_N.sum())
        known = int(self.clustered)
        complete = seen == self.drawn > known
        if seen >= 4 and (seen >= 2 * known or complete or int(self.clips) >= self.every * (step_clips or len(valid_B))):
            self._cluster(seen)
            return True
        return False

    def _cluster(self, seen: int) -> None:
        if dist.rank() == 0:
            rows_N = self.seen_N.nonzero()[:, 0]
            vectors = self.vectors_ND[rows_N].cpu().numpy()
            for run in range(len(self.labels_HN)):
                state = derive(self.seed, "bank", int(self.rounds), run) % 2**32
                labels = _kmeans(vectors, min(self.clusters, seen // 2), state)
                self.labels_HN[run, rows_N] = torch.from_numpy(labels.astype(np.int64)).to(rows_N.device)
        self.labels_HN.copy_(dist.first(self.labels_HN))  # other processors might round otherwise
        self.rounds += 1
        self.clips.zero_()
        self.clustered.fill_(seen)


def _kmeans(vectors: np.ndarray, clusters: int, state: int) -> np.ndarray:
    """Return the cluster of each row, numbered from 0; there may be fewer than asked for where rows are alike."""
    kind = MiniBatchKMeans if len(vectors) > MANY else KMeans
    with threadpool_limits(limits=1), warnings.catch_warnings():  # threads add up in any order: runs would differ
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal rows: fewer clusters, which is no harm
        labels: np.ndarray = kind(clusters, n_init=1, random_state=state).fit_predict(vectors)
    return np.unique(labels, return_inverse=True)[1]
