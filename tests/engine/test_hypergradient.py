"""The gradient by weights: one forward pass says what a backward pass for each term would, and what a step then does."""

import pytest
import torch
from torch import Tensor, nn

from elo_cli.core.train_settings import TrainSettings
from elo_cli.core.weights import LossWeights
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.hypergradient import by_weights, ignores_size, preconditioned, without_size
from elo_cli.engine.objective import Objective
from elo_cli.tasks import all_terms
from tests.support.shards import OBJECTIVE, loss, make_clips, make_objective, write_set

WEIGHTS = loss(rgb__reverse=0.5, rgb__predict=1.0, rgb_flow__embed=0.3, flow__reverse=0.7, rgb__cluster=0.4)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    return write_set(tmp_path_factory.mktemp("set"))


def make(videos: VideoSet, scale: str = "none") -> Objective:
    return make_objective(videos, WEIGHTS, settings=OBJECTIVE.model_copy(update={"scale": scale})).train()


def directions(objective: Objective, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(part.shape, generator=generator) for part in objective.encoders["rgb"].parameters()]


@pytest.mark.parametrize("scale", ["none", "initial"])
def test_it_is_the_product_of_both_gradients(videos: VideoSet, scale: str) -> None:
    objective = make(videos, scale)
    batch = make_clips(videos, objective)[0]
    direction = directions(objective)
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    found_T = by_weights(objective, batch, 0, direction)
    assert all(torch.equal(value, before[name]) for name, value in objective.state_dict().items())
    assert objective.weights == WEIGHTS.to_names()
    twin = make(videos, scale)
    summands = twin(batch, 0).summands
    for term, found in zip(objective.terms, found_T.tolist(), strict=True):
        value = summands[str(term)] / objective.weights[str(term)]
        slopes = torch.autograd.grad(value, list(twin.encoders["rgb"].parameters()), retain_graph=True, allow_unused=True)
        exact = -sum(float((one.double() * part).sum()) for one, part in zip(slopes, direction, strict=True) if one is not None)
        assert found == pytest.approx(exact, rel=1e-3, abs=1e-4), term
    assert found_T[3] == 0  # flow's own task does not touch the RGB encoder


def test_it_says_what_a_weight_does_to_the_objective_through_one_step(videos: VideoSet) -> None:
    """F = ⟨v, θ⟩ after a step of SGD, at two values of a weight."""
    direction, rate = directions(make(videos)), 1e-3

    def after(term: str, change: float) -> float:
        objective = make(videos)
        objective.weights[term] += change
        objective(make_clips(videos, objective)[0], 0).total.backward()
        moved = [
            (part.detach().double() - rate * part.grad.double(), step.double())
            for part, step in zip(objective.encoders["rgb"].parameters(), direction, strict=True)
            if part.grad is not None
        ]
        return float(sum((part * step).sum() for part, step in moved))

    objective = make(videos)
    found_T = rate * by_weights(objective, make_clips(videos, objective)[0], 0, direction)
    for number, term in enumerate(("rgb.reverse", "rgb.predict", "rgb-flow.embed")):
        slope = (after(term, 0.1) - after(term, -0.1)) / 0.2
        assert float(found_T[number]) == pytest.approx(slope, rel=0.01, abs=1e-6)


def test_every_term_there_is_can_be_differentiated(videos: VideoSet) -> None:
    objective = make_objective(videos, LossWeights.uniform(all_terms(OBJECTIVE))).train()
    batch = make_clips(videos, objective)[0]
    found_T = by_weights(objective, batch, 0, directions(objective))
    touching = {
        str(term) for term in objective.terms if "rgb" in term.modalities[:1] or term.task in ("embed", "align", "distill")
    }
    moved = {str(term) for term, found in zip(objective.terms, found_T.tolist(), strict=True) if found}
    assert moved <= touching and len(moved) >= 15
    nothing = [torch.zeros_like(part) for part in directions(objective)]
    assert not by_weights(objective, batch, 0, nothing).any()


def test_what_is_no_finite_number_moves_no_weight(videos: VideoSet) -> None:
    objective = make(videos)
    direction = [torch.full_like(part, float("inf")) for part in directions(objective)]
    assert torch.isfinite(by_weights(objective, make_clips(videos, objective)[0], 0, direction)).all()


def test_to_multiply_all_weights_changes_nothing_where_the_step_ignores_the_size_of_the_loss() -> None:
    """Clipped SGD on two linear terms, of which one is much steeper: the formula alone has a sign wrong."""
    slope_T, weights_T = torch.tensor([-0.1, -1.0]), torch.tensor([0.5, 0.5])
    kept_T = without_size(slope_T, weights_T)
    assert float(kept_T @ weights_T) == pytest.approx(0, abs=1e-7)
    assert kept_T[0] > 0 > kept_T[1]
    beside_T = without_size(torch.tensor([-0.1, -1.0, 0.0]), torch.tensor([0.5, 0.5, 0.5]))
    assert torch.equal(beside_T[:2], kept_T) and beside_T[2] == 0, "a term that does not touch the encoder is left alone"
    zero_T = torch.zeros(2)
    assert torch.equal(without_size(slope_T, zero_T), slope_T)
    layer = nn.Linear(2, 2)
    adamw, sgd = torch.optim.AdamW(layer.parameters()), torch.optim.SGD(layer.parameters())
    assert ignores_size(adamw, TrainSettings(clip_norm=0.0)) and ignores_size(sgd, TrainSettings(clip_norm=1.0))
    assert not ignores_size(sgd, TrainSettings(clip_norm=0.0))


def test_adamw_is_preconditioned_as_its_own_step() -> None:
    layer = nn.Linear(4, 3)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.01, betas=(0.0, 0.99), weight_decay=0.0)
    parameters = list(layer.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.randn(5, 4)).square().sum().backward()
        before = [parameter.detach().clone() for parameter in parameters]
        optimizer.step()
    moved = [(old - new.detach()) / 0.01 for old, new in zip(before, parameters, strict=True)]
    slopes = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for one, other in zip(moved, preconditioned(slopes, parameters, optimizer), strict=True):
        assert torch.allclose(one, other, rtol=1e-3)
    plain = torch.optim.SGD(layer.parameters(), lr=0.01)
    assert all(one is other for one, other in zip(slopes, preconditioned(slopes, parameters, plain), strict=True))
