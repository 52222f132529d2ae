"""What contrast keeps of the past: networks that follow others slowly, and keys of earlier clips (MoCo: He et al. 2020).

Keys never see batch statistics: a network that makes keys normalises with running statistics, which follow those of its
leader (EMAN: Cai et al. 2021). So nothing in a key tells which other clips were in its batch, in one process and in many,
and no ranks need to shuffle clips among one another.

Shape legend: B clips, K places of the queue, D dimensions of a key.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from elo_cli import dist


class Follower(nn.Module):
    """A copy of a network whose parameters are a moving mean of its leader's: θ ← m θ + (1 − m) θ_leader at each step.

    The running statistics of its batch norm follow likewise; as those that it begins with are of nothing, the first ones are
    taken over as they are, and m rises to its value as fast as a plain mean would have it. It is always in evaluation
    mode, and no gradient reaches it.

    Args:
        leader: the network; its parameters are copied.
        momentum: m, in [0, 1).

    Attributes:
        network: the copy.
        steps: how often it has followed.
    """

    steps: Tensor

    def __init__(self, leader: nn.Module, momentum: float) -> None:
        super().__init__()
        self.network, self.momentum = copy.deepcopy(leader).requires_grad_(False), momentum
        self.register_buffer("steps", torch.tensor(0))
        self.train(False)

    def train(self, mode: bool = True) -> "Follower":
        """Stay in evaluation mode, whatever is asked for."""
        return super().train(False)

    @torch.no_grad()
    def follow(self, leader: nn.Module) -> None:
        """Go a step towards the leader; where ranks train together, towards the mean of their running statistics."""
        for own_parameter, its_parameter in zip(self.network.parameters(), leader.parameters(), strict=True):
            own_parameter.lerp_(its_parameter, 1 - self.momentum)
        done = int(self.steps)
        share = 1 - min(self.momentum, done / (done + 1))
        pairs = list(zip(self.network.buffers(), leader.buffers(), strict=True))
        statistics = [its.flatten() for _, its in pairs if its.is_floating_point()]
        # Each rank has its own where batch norm is over the clips of each alone; all at once, as ranks wait for one another.
        means = iter(torch.split(dist.mean(torch.cat(statistics)), [len(each) for each in statistics]) if statistics else ())
        for own, its in pairs:
            if its.is_floating_point():
                own.lerp_(next(means).view_as(own), share)
            else:
                own.copy_(its)
        self.steps += 1

    @torch.no_grad()
    def forward(self, input: Tensor) -> Any:
        return self.network(input)


class Queue(nn.Module):
    """The newest keys, first in, first out, and the video of each; those of all ranks, in their order, on every rank.

    All of it is buffers: a checkpoint holds them, and a resumed run goes on with them.

    Args:
        places: K, how many keys it holds.
        dimension: D.

    Attributes:
        keys_KD: unit vectors; zeros where there was none yet.
        video_K: the video of each; -1 where there was none yet.
        next: the place of the next key, that of the oldest one.
    """

    keys_KD: Tensor
    video_K: Tensor
    next: Tensor

    def __init__(self, places: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("keys_KD", torch.zeros(places, dimension))
        self.register_buffer("video_K", torch.full((places,), -1))
        self.register_buffer("next", torch.tensor(0))

    @torch.no_grad()
    def push(self, key_BD: Tensor, video_B: Tensor, valid_B: Tensor) -> None:
        """Take in the keys of all ranks that are valid and finite, in their order; the oldest leave."""
        key_BD, video_B, valid_B = (dist.everyone(each) for each in (key_BD.float(), video_B, valid_B))
        usable_B = valid_B & torch.isfinite(key_BD).all(1)
        places = len(self.keys_KD)
        keys_BD, videos_B = key_BD[usable_B][-places:], video_B[usable_B][-places:]
        place_B = (self.next + torch.arange(len(keys_BD), device=keys_BD.device)) % places
        self.keys_KD[place_B] = keys_BD
        self.video_K[place_B] = videos_B
        self.next.copy_((self.next + len(keys_BD)) % places)


def projection_head(dimension: int, hidden: int, out: int) -> nn.Sequential:
    """Build the layers between an encoder and what is contrasted: two linear ones with a ReLU between them."""
    return nn.Sequential(nn.Linear(dimension, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out))
