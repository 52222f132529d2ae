"""What the loss of one term reaches on clips that it has not seen, beside what guessing gets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import adjusted_mutual_info_score
from torch import Tensor
from torch.nn import functional

from elo_cli.core.clip import ClipBatch, View
from elo_cli.core.settings import Settings
from elo_cli.data.loader import training_clips
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import Objective
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.decoding import Decoding
from elo_cli.nets.telling import Telling
from elo_cli.nets.term import TermLoss
from elo_cli.tasks.aggregate import Aggregation
from elo_cli.tasks.align import Alignment, Matching
from elo_cli.tasks.cluster import Clustering
from elo_cli.tasks.distill import Distillation
from elo_cli.tasks.embed import Contrast

AMONG = 32  # videos that the right one is sought among
BATCHES = 10  # of 32 clips

Clips = list[tuple[ClipBatch, Mapping[View, Encoding]]]


@dataclass(frozen=True)
class Reached:
    """One measure.

    Attributes:
        measure: its name; of all but `error` more is better.
        guessing: what is got without a look at the clip.
        reached: what the term gets.
        margin: how far beyond guessing, and beyond the control, counts as having learned; None where nothing is asked.
    """

    measure: str
    guessing: float
    reached: float
    margin: float | None

    def needed(self, control: float) -> float | None:
        """What counts as having learned, beside what a network gets that did not learn; None where nothing is asked."""
        if self.margin is None:
            return None
        if self.measure == "error":
            return min(self.guessing, control) - self.margin
        return max(self.guessing, control) + self.margin

    def alive(self, control: float) -> bool | None:
        """Whether it has learned; None where nothing is asked."""
        needed = self.needed(control)
        if needed is None:
            return None
        return self.reached <= needed if self.measure == "error" else self.reached >= needed


@torch.no_grad()
def measure(training: Training[Objective], trained: VideoSet, unseen: VideoSet, settings: Settings, seed: int) -> list[Reached]:
    """Measure the only term of a training's objective.

    Args:
        training: done or not; afterwards it is as it was.
        trained, unseen: the videos of training, and labelled others.
        settings: the geometry of clips.
        seed: of the clips; not that of training.
    """
    objective = training.objective
    mode = objective.training
    objective.eval()
    [loss] = objective.losses.values()
    assert isinstance(loss, TermLoss)
    others = list(_clips(training, unseen, settings, seed))
    if isinstance(loss, Telling | Alignment | Matching):
        found = [Reached("accuracy", 0.5, _accuracy(loss, others), 0.05)]
    elif isinstance(loss, Decoding | Distillation):
        known = list(_clips(training, trained, settings, seed))
        found = [Reached("error", 1.0, _error(loss, others, known), 0.03)]
    elif isinstance(loss, Clustering):
        known = list(_clips(training, trained, settings, seed))
        found = [_own_cluster(loss, known), _agreement(loss, others, unseen)]
    elif isinstance(loss, Aggregation):
        known = list(_clips(training, trained, settings, seed))
        found = [_own_place(loss, known), _neighbours(loss, others, unseen)]
    else:
        found = [Reached("retrieval", 1 / AMONG, _retrieved(loss, others), 1 / AMONG)]
    objective.train(mode)
    return found


def _clips(
    training: Training[Objective], videos: VideoSet, settings: Settings, seed: int
) -> Iterator[tuple[ClipBatch, Mapping[View, Encoding]]]:
    clips = training_clips(videos, settings.pretrain.clip, training.objective.sources, batch=AMONG, seed=seed)
    for step in range(BATCHES):
        batch = training.send(clips[step])
        yield batch, training.objective.encode(batch, step)


def _accuracy(loss: Telling | Alignment | Matching, clips: Clips) -> float:
    right: list[Tensor] = []
    for batch, encoded in clips:
        valid = loss.valid(batch)
        if isinstance(loss, Matching):
            right.append(loss.decide(encoded)[valid] > 0)
        else:
            so, otherwise = loss.decide(encoded)
            right += [so[valid] > 0, otherwise[valid] < 0]
    return float(torch.cat(right).float().mean())


def _error(loss: Decoding | Distillation, clips: Clips, known: Clips) -> float:
    """Squared error over that of guessing the mean of what training had to match."""

    def pair(batch: ClipBatch, encoded: Mapping[View, Encoding]) -> tuple[Tensor, Tensor]:
        if isinstance(loss, Distillation):
            made, wanted = loss.pair(encoded)
        else:
            made, wanted = loss.decoder(encoded[loss.view].stages[-1]), batch.inputs[loss.target]
        valid = loss.valid(batch)
        return made[valid].double(), wanted[valid].double()

    mean = torch.cat([pair(*clip)[1] for clip in known]).mean(0)
    pairs = [pair(*clip) for clip in clips]
    error, guess = (
        sum(float((wanted - guessed).square().sum()) for wanted, guessed in those)
        for those in ([(wanted, made) for made, wanted in pairs], [(wanted, mean) for _, wanted in pairs])
    )
    return error / guess


def _retrieved(loss: TermLoss, clips: Clips) -> float:
    """How often the other modality of the same video is the nearest among `AMONG`."""
    right: list[Tensor] = []
    for batch, encoded in clips:
        vectors = [encoded[view].vector_BD[loss.valid(batch)].float() for view in sorted(loss.views)]
        if isinstance(loss, Contrast):  # it looks at angles
            vectors = [functional.normalize(vector_BD, dim=1) for vector_BD in vectors]
        right.append(torch.cdist(vectors[0], vectors[1]).argmin(1) == torch.arange(len(vectors[0]), device=vectors[0].device))
    return float(torch.cat(right).float().mean())


def _heads(loss: Clustering | Aggregation, clips: Clips) -> tuple[Tensor, Tensor]:
    """What the head makes of all valid clips, and their videos."""
    head = loss.head if isinstance(loss, Clustering) else loss.embedding
    made = [head(encoded[loss.view].vector_BD)[loss.valid(batch)] for batch, encoded in clips]
    return torch.cat(made), torch.cat([batch.video_B[loss.valid(batch)] for batch, _ in clips])


def _own_cluster(loss: Clustering, known: Clips) -> Reached:
    """How often other clips of the training videos are put into their video's cluster."""
    logits, video = _heads(loss, known)
    label = loss.bank.labels_HN[0][video]
    share = max(1 / logits.shape[1], float(torch.bincount(label[label >= 0], minlength=2).max() / len(label)))
    return Reached("own cluster", share, float((logits.argmax(1) == label).float().mean()), 0.1 * share)


def _own_place(loss: Aggregation, known: Clips) -> Reached:
    """How often another clip of a training video is nearest to that video's vector in the bank."""
    vectors, video = _heads(loss, known)
    nearest = (functional.normalize(vectors, dim=1) @ loss.bank.vectors_ND.T).argmax(1)
    chance = 1 / len(loss.bank.seen_N)
    return Reached("own place", chance, float((nearest == video).float().mean()), 2 * chance)


def _motions(videos: VideoSet, video: Tensor) -> np.ndarray:
    return np.array([videos.videos[int(number)].label for number in video])


def _agreement(loss: Clustering, clips: Clips, videos: VideoSet) -> Reached:
    """Adjusted mutual information of the cluster that an unseen clip is put into and the motion that it shows."""
    logits, video = _heads(loss, clips)
    agreement = adjusted_mutual_info_score(_motions(videos, video), logits.argmax(1).cpu().numpy())
    return Reached("agreement", 0.0, float(agreement), 0.01)


def _neighbours(loss: Aggregation, clips: Clips, videos: VideoSet) -> Reached:
    """How often the nearest clip of another video shows the same motion; the looks of most modalities do not tell it."""
    vectors, video = _heads(loss, clips)
    unit, motion = functional.normalize(vectors, dim=1), _motions(videos, video)
    other = video[:, None] != video[None]
    nearest = (unit @ unit.T).masked_fill(~other, -2).argmax(1).cpu().numpy()
    alike = other.cpu().numpy() & (motion[:, None] == motion[None])
    return Reached("neighbour", float(alike.sum() / other.sum()), float((motion[nearest] == motion).mean()), None)
