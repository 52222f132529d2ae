"""Networks that follow others, and the queue of keys."""

import numpy as np
import torch
from torch import nn

from elo_cli.nets.momentum import Follower, Queue, projection_head


def network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_parameters_are_the_moving_mean_from_the_first_copy_on() -> None:
    leader = network(0)
    follower = Follower(leader, 0.9)
    expected = {name: value.detach().numpy().astype(np.float64) for name, value in leader.named_parameters()}
    for step in range(5):
        with torch.no_grad():
            for parameter in leader.parameters():
                parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(step))
        follower.follow(leader)
        for name, value in leader.named_parameters():
            expected[name] = 0.9 * expected[name] + 0.1 * value.detach().numpy()
    for name, value in follower.network.named_parameters():
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-5, atol=1e-6)
    assert int(follower.steps) == 5


def test_running_statistics_follow_too_and_the_first_are_taken_over() -> None:
    leader = network(0).train()
    follower = Follower(leader, 0.8)
    seen: list[torch.Tensor] = []
    expected = torch.zeros(4)
    for step in range(8):
        leader(torch.randn(6, 3, generator=torch.Generator().manual_seed(step)))
        follower.follow(leader)
        seen.append(leader[1].running_mean.clone())
        share = 1 - min(0.8, step / (step + 1))
        expected = seen[0] if step == 0 else (1 - share) * expected + share * seen[-1]
        torch.testing.assert_close(follower.network[1].running_mean, expected)
    assert int(follower.network[1].num_batches_tracked) == 8


def test_it_stays_in_evaluation_mode_and_keeps_its_gradients_to_itself() -> None:
    leader = network(0)
    outer = nn.ModuleList([leader, Follower(leader, 0.5)]).train()
    follower = outer[1]
    assert leader.training and not any(module.training for module in follower.modules())
    assert not any(parameter.requires_grad for parameter in follower.parameters())
    inputs = torch.randn(4, 3, requires_grad=True)
    before = follower.network[1].running_mean.clone()
    assert not follower(inputs).requires_grad
    assert torch.equal(follower.network[1].running_mean, before)
    # What a clip's key is does not hang on the clips beside it.
    with torch.no_grad():
        torch.testing.assert_close(follower(inputs)[:1], follower(inputs[:1]))


def test_keys_leave_in_the_order_in_which_they_came() -> None:
    queue = Queue(5, 2)
    assert queue.video_K.tolist() == [-1] * 5
    pushed = []
    for step, count in enumerate([2, 2, 3, 1, 4]):
        keys = torch.full((count, 2), float(step)) + torch.arange(count)[:, None] / 10
        videos = torch.arange(count) + 10 * step
        queue.push(keys, videos, torch.ones(count, dtype=torch.bool))
        pushed += list(zip(videos.tolist(), keys[:, 0].tolist(), strict=True))
        newest = pushed[-5:]
        order = [(int(queue.next) + place) % 5 for place in range(5)]  # the oldest first
        held = [(int(queue.video_K[place]), float(queue.keys_KD[place, 0])) for place in order]
        assert [entry for entry in held if entry[0] >= 0] == newest


def test_more_keys_than_places_leave_the_newest() -> None:
    queue = Queue(3, 1)
    queue.push(torch.arange(7.0)[:, None], torch.arange(7), torch.ones(7, dtype=torch.bool))
    assert sorted(queue.video_K.tolist()) == [4, 5, 6]


def test_keys_that_are_masked_or_no_numbers_stay_out() -> None:
    queue = Queue(4, 2)
    keys = torch.ones(4, 2)
    keys[1, 0], keys[2, 1] = float("nan"), float("inf")
    queue.push(keys, torch.arange(4), torch.tensor([True, True, True, False]))
    assert queue.video_K.tolist() == [0, -1, -1, -1] and int(queue.next) == 1
    queue.push(keys[:0], torch.arange(0), torch.zeros(0, dtype=torch.bool))
    assert int(queue.next) == 1


def test_a_queue_goes_on_from_its_state() -> None:
    one, other = Queue(4, 2), Queue(4, 2)
    one.push(torch.randn(3, 2), torch.arange(3), torch.ones(3, dtype=torch.bool))
    other.load_state_dict(one.state_dict())
    for queue in (one, other):
        queue.push(torch.ones(2, 2), torch.tensor([7, 8]), torch.ones(2, dtype=torch.bool))
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_a_head_has_the_published_form() -> None:
    plain = projection_head(5, 2048, 128)
    assert [tuple(layer.weight.shape) for layer in plain if isinstance(layer, nn.Linear)] == [(2048, 5), (128, 2048)]
    assert [type(layer) for layer in plain] == [nn.Linear, nn.ReLU, nn.Linear]
