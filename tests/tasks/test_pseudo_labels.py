"""The cluster and aggregate tasks against plain NumPy."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.core.clip import ClipBatch, Source, View
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.nets.blocks import Encoding
from elo_cli.tasks.aggregate import Aggregation
from elo_cli.tasks.cluster import Clustering
from tests.support.encodings import VIDEOS, make_parts

RGB = View("rgb")


def encoded(vectors: np.ndarray) -> dict[View, Encoding]:
    return {RGB: Encoding((torch.zeros(0),) * 4, torch.from_numpy(vectors).float().requires_grad_())}


def batch(video: np.ndarray, valid: np.ndarray) -> ClipBatch:
    return ClipBatch({}, {Source("rgb"): torch.from_numpy(valid)}, ("x",) * len(video), torch.from_numpy(video))


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """A bank in any state and a batch."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    clips = draw(st.integers(1, 6))
    seen = random.random(VIDEOS) < draw(st.sampled_from([0.0, 0.5, 0.9]))
    labels = np.where(seen & (random.random(VIDEOS) < 0.9), random.integers(0, draw(st.integers(1, 3)), (2, VIDEOS)), -1)
    labels = np.where((labels < 0).any(0), -1, labels)  # a video is in all clusterings or in none
    return {
        "vectors": random.normal(size=(clips, 5)), "video": random.permutation(VIDEOS)[:clips],
        "valid": random.random(clips) < 0.8, "seen": seen, "labels": labels, "random": random,
    }  # fmt: skip


@given(cases())
def test_cluster_is_a_cross_entropy_in_which_clusters_count_alike(case: dict[str, Any]) -> None:
    torch.manual_seed(0)
    settings = ObjectiveSettings.model_validate({"cluster": {"number": 4}})
    loss = Clustering(RGB, make_parts(settings)).eval()
    labels = case["labels"][0]
    loss.bank.labels_HN[0] = torch.from_numpy(labels)
    got = loss(given := encoded(case["vectors"]), batch(case["video"], case["valid"]))
    weight, bias = (parameter.detach().double().numpy() for parameter in (loss.head.weight, loss.head.bias))
    sizes = {label: int((labels == label).sum()) for label in set(labels) - {-1}}
    expected = []
    for vector, video, valid in zip(case["vectors"], case["video"], case["valid"], strict=True):
        if valid and labels[video] >= 0:
            logits = {label: float(weight[label] @ vector + bias[label]) for label in sizes}
            entropy = math.log(sum(math.exp(logit) for logit in logits.values())) - logits[labels[video]]
            expected.append(entropy * sum(sizes.values()) / len(sizes) / sizes[labels[video]])
    assert got.item() == pytest.approx(sum(expected) / max(len(expected), 1), rel=1e-4, abs=1e-6)
    got.backward()
    gradient = given[RGB].vector_BD.grad
    assert gradient is not None and torch.isfinite(gradient).all()


@given(cases(), st.integers(2, VIDEOS + 3), st.floats(0.05, 2))
def test_aggregate_is_local_aggregation(case: dict[str, Any], neighbours: int, temperature: float) -> None:
    torch.manual_seed(0)
    form = {"clusterings": 2, "neighbours": neighbours, "temperature": temperature}
    loss = Aggregation(RGB, make_parts(ObjectiveSettings.model_validate({"aggregate": form}))).eval()
    bank = case["random"].normal(size=(VIDEOS, 128)) * case["seen"][:, None]
    bank /= np.maximum(np.linalg.norm(bank, axis=1, keepdims=True), 1e-12)
    loss.bank.vectors_ND.copy_(torch.from_numpy(bank))
    loss.bank.seen_N.copy_(torch.from_numpy(case["seen"]))
    loss.bank.labels_HN.copy_(torch.from_numpy(case["labels"]))
    got = loss(given := encoded(case["vectors"]), batch(case["video"], case["valid"]))
    weight, bias = (parameter.detach().double().numpy() for parameter in (loss.embedding.weight, loss.embedding.bias))
    expected = []
    for vector, video, valid in zip(case["vectors"], case["video"], case["valid"], strict=True):
        if not valid or case["labels"][0, video] < 0:
            continue
        embedded = weight @ vector + bias
        likeness = bank @ embedded / np.linalg.norm(embedded) / temperature
        near = sorted(np.flatnonzero(case["seen"]), key=lambda other: -likeness[other])[:neighbours]
        background = set(near) | {video}
        close = {other for other in background if (case["labels"][:, other] == case["labels"][:, video]).any()}
        total, part = (sum(math.exp(likeness[other]) for other in chosen) for chosen in (background, close))
        expected.append(math.log(total) - math.log(part))
    assert got.item() == pytest.approx(sum(expected) / max(len(expected), 1), rel=1e-3, abs=1e-4)
    got.backward()
    gradient = given[RGB].vector_BD.grad
    assert gradient is not None and torch.isfinite(gradient).all()


@pytest.mark.parametrize("kind", [Clustering, Aggregation])
def test_only_training_takes_clips_into_the_bank(kind: Any) -> None:
    loss = kind(RGB, make_parts())
    clips = encoded(np.random.default_rng(0).normal(size=(6, 5))), batch(np.arange(6), np.ones(6, bool))
    loss.eval()(*clips)
    assert not loss.bank.seen_N.any()
    first = loss.train()(*clips)
    assert loss.bank.seen_N.sum() == 6 and int(loss.bank.rounds) == 1
    # Aggregation compares clips with what was known before they came, so at first with nothing.
    assert (first == 0) == (kind is Aggregation) and loss(*clips) > 0


def test_a_clip_is_compared_with_the_bank_as_it_was_before() -> None:
    loss, random = Aggregation(RGB, make_parts()), np.random.default_rng(0)
    everyone = batch(np.arange(6), np.ones(6, bool))
    loss.train()(encoded(random.normal(size=(6, 5))), everyone)
    clips = encoded(random.normal(size=(6, 5)))
    expected = loss.eval()(clips, everyone)
    assert torch.equal(loss.train()(clips, everyone), expected)
    assert not torch.equal(loss.eval()(clips, everyone), expected), "now they are in the bank"


def test_the_classifier_starts_anew_with_new_clusters_whatever_else_draws() -> None:
    heads = []
    for other_seed in (1, 2):
        torch.manual_seed(0)
        loss = Clustering(RGB, make_parts())
        torch.manual_seed(other_seed)
        loss(encoded(np.eye(5)), batch(np.arange(5), np.ones(5, bool)))
        heads.append(loss.head.weight.detach().clone())
    assert torch.equal(*heads) and 0.005 < float(heads[0].std()) < 0.02


@pytest.mark.parametrize("kind", [Clustering, Aggregation])
def test_a_single_cluster_has_nothing_to_teach(kind: type[Clustering] | type[Aggregation]) -> None:
    loss = kind(RGB, make_parts()).eval()
    loss.bank.vectors_ND.copy_(torch.nn.functional.normalize(torch.randn(loss.bank.vectors_ND.shape), dim=1))
    loss.bank.seen_N.fill_(True)
    loss.bank.labels_HN.zero_()
    got = loss(given := encoded(np.random.default_rng(0).normal(size=(4, 5))), batch(np.arange(4), np.ones(4, bool)))
    assert got.item() == pytest.approx(0, abs=1e-6)
    got.backward()
    gradient = given[RGB].vector_BD.grad
    assert gradient is not None and gradient.abs().max() < 1e-6
