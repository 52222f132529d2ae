"""MoDist's terms: InfoNCE against NumPy, the queue's turn, and where the gradient goes."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from elo_cli.core.clip import ClipBatch, View
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.weights import LossWeights, Term
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.cost import term_costs
from elo_cli.engine.objective import Objective
from elo_cli.nets.blocks import Encoding
from elo_cli.tasks import all_terms, build_term
from elo_cli.tasks.contrast import QueueContrast, terms
from tests.support.encodings import make_parts
from tests.support.shards import CONTRAST, ENCODER, make_objective, make_training, random_batch, shapes, write_set

NAMES = ["rgb.contrast", "motion.contrast", "rgb-to-motion.contrast", "motion-to-rgb.contrast"]


def settings(**contrast: object) -> ObjectiveSettings:
    return CONTRAST.model_copy(update={"contrast": CONTRAST.contrast.model_copy(update=contrast)})


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    return write_set(tmp_path_factory.mktemp("set") / "set", videos=8, deaf=())


def build(name: str, **contrast: object) -> QueueContrast:
    loss = build_term(Term.parse(name), make_parts(settings(**contrast)))
    assert isinstance(loss, QueueContrast)
    return loss.train()


def case(
    loss: QueueContrast, videos: list[int], seed: int, absent: tuple[int, ...] = ()
) -> tuple[Mapping[View, Encoding], ClipBatch]:
    random = torch.Generator().manual_seed(seed)
    nothing = torch.zeros(len(videos), 1)
    encoded = {
        view: Encoding((nothing,) * 4, torch.randn(len(videos), 4, generator=random).requires_grad_())
        for view in (loss.query, loss.key)
    }
    present = {source: torch.tensor([row not in absent for row in range(len(videos))]) for source in loss.sources}
    return encoded, ClipBatch({}, present, tuple(map(str, videos)), torch.tensor(videos))


def by_numpy(
    query_BD: np.ndarray, key_BD: np.ndarray, videos: list[int], queue: list[tuple[int, np.ndarray]], tau: float
) -> list[float]:
    """InfoNCE, written out: one value for each clip that has a negative."""
    unit = [[row / np.linalg.norm(row) for row in each.astype(np.float64)] for each in (query_BD, key_BD)]
    losses = []
    for query, key, video in zip(*unit, videos, strict=True):
        negatives = [np.exp(query @ other / tau) for owner, other in queue if owner != video]
        if negatives:
            near = np.exp(query @ key / tau)
            losses.append(-np.log(near / (near + sum(negatives))))
    return losses


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("together", [False, True], ids=["queue", "with the batch"])
def test_infonce_is_that_of_numpy_over_many_steps(name: str, together: bool) -> None:
    loss = build(name, batch_negatives=together, temperature=0.2)
    queue: list[tuple[int, np.ndarray]] = []
    for step in range(6):
        videos = [(3 * step + clip) % 7 for clip in range(4)]  # a video comes again while its key is still there
        encoded, batch = case(loss, videos, step)
        query, key = (encoded[view].vector_BD.detach().numpy() for view in (loss.query, loss.key))
        own = [(video, row / np.linalg.norm(row)) for video, row in zip(videos, key.astype(np.float64), strict=True)]
        if together:
            queue = (queue + own)[-12:]
        expected = by_numpy(query, key, videos, queue, 0.2)
        value = loss(encoded, batch)
        assert float(value.detach()) == pytest.approx(np.mean(expected) if expected else 0.0, rel=1e-5)
        if not together:
            queue = (queue + own)[-12:]
    assert len(queue) == 12


def test_the_first_step_has_no_negative_and_no_gradient() -> None:
    loss = build("rgb.contrast")
    encoded, batch = case(loss, [0, 1, 2], 0)
    value = loss(encoded, batch)
    value.backward()
    assert float(value.detach()) == 0 and not encoded[loss.query].vector_BD.grad.any()  # type: ignore[union-attr]


def test_no_gradient_reaches_the_key_and_evaluation_leaves_the_queue() -> None:
    loss = build("motion-to-rgb.contrast")
    loss(*case(loss, [0, 1, 2], 0))
    encoded, batch = case(loss, [3, 4, 5], 1)
    loss(encoded, batch).backward()
    assert encoded[loss.query].vector_BD.grad.any() and encoded[loss.key].vector_BD.grad is None  # type: ignore[union-attr]
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss.eval()(*case(loss, [6, 7, 0], 2))
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


def test_clips_without_a_partner_are_masked_and_stay_out_of_the_queue() -> None:
    loss = build("rgb.contrast")
    loss(*case(loss, [0, 1, 2], 0))
    encoded, batch = case(loss, [3, 4, 5], 1, absent=(1,))
    loss(encoded, batch).backward()
    reached = encoded[loss.query].vector_BD.grad.abs().sum(1) > 0  # type: ignore[union-attr]
    assert reached.tolist() == [True, False, True]
    assert loss.queue.video_K.tolist()[:5] == [0, 1, 2, 3, 5]


def reached(objective: Objective, batch: ClipBatch) -> set[str]:
    """The networks that the gradient of the second step reaches."""
    objective.train()
    objective(batch, 0)
    objective(batch, 1).total.backward()
    found = {name for name, parameter in objective.named_parameters() if parameter.grad is not None and parameter.grad.any()}
    return {".".join(name.split(".")[:2]) for name in found}


@pytest.mark.parametrize(("name", "pathway"), [(name, name.removesuffix(".contrast").split("-to-")[-1]) for name in NAMES])
def test_a_term_teaches_the_pathway_of_its_queries_alone(videos: VideoSet, name: str, pathway: str) -> None:
    objective = make_objective(videos, LossWeights({Term.parse(name): 1.0}), settings=settings(batch_negatives=True))
    batch = random_batch({source: shapes(videos)[source] for source in objective.sources})
    assert reached(objective, batch) == {f"encoders.{pathway}", f"heads.{pathway}"}
    assert list(objective.key_encoders) == [name.split(".")[0].split("-to-")[0]]


def test_momentum_networks_follow_after_each_step_and_not_the_optimiser(videos: VideoSet) -> None:
    weights = LossWeights.uniform(all_terms(CONTRAST))
    training = make_training(videos, weights, settings=settings(batch_negatives=True), steps=3)
    objective = training.objective
    chosen = [("encoders.motion.", "key_encoders.motion.network."), ("heads.rgb.", "key_heads.rgb.network.")]
    parameters = dict(objective.named_parameters())
    expected = {name: value.detach().clone() for name, value in parameters.items()}
    for _ in training.run(0):
        for leader, follower in chosen:
            for name in [name for name in parameters if name.startswith(follower)]:
                expected[name] = 0.9 * expected[name] + 0.1 * parameters[leader + name.removeprefix(follower)].detach()
                torch.testing.assert_close(parameters[name], expected[name], rtol=1e-4, atol=1e-6)
    assert not any(name.split(":")[1].startswith("key_") for name in training.tensors() if name.startswith("optimizer:"))


def test_what_a_term_costs_counts_its_head(videos: VideoSet) -> None:
    costs = term_costs(all_terms(CONTRAST), CONTRAST, ENCODER, shapes(videos), 8)
    objective = make_objective(videos, LossWeights.uniform(all_terms(CONTRAST)), settings=CONTRAST)
    head = sum(parameter.numel() for parameter in objective.heads["rgb"].parameters())
    assert {cost.parameters for cost in costs.values()} == {head}
    assert {len(cost.views) for cost in costs.values()} == {2}


def test_terms_exist_where_motion_is_seen_and_only_contrast_sees_it() -> None:
    assert [str(term) for term in terms(("rgb", "motion"), ())] == NAMES
    assert terms(("rgb", "flow"), ()) == [] and [str(term) for term in terms(("flow", "motion"), ())] == ["motion.contrast"]
    every = all_terms(ObjectiveSettings(modalities=("rgb", "grey", "flow", "audio", "motion")))
    assert len(every) == 59 + 4
    assert [term for term in every if "motion" in term.modalities or term.task == "contrast"] == [Term.parse(n) for n in NAMES]
