"""Eq. 1: what costs nothing, what is shared, what is masked, and where gradients go."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elo_cli.core.clip import ClipBatch, Source, View
from elo_cli.core.errors import UsageError
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.weights import LossWeights
from elo_cli.data.video_set import VideoSet
from elo_cli.engine.objective import LossReport, Objective, build_encoder
from elo_cli.tasks import all_terms
from tests.support.shards import ENCODER, OBJECTIVE, loss, make_clips, make_objective, random_batch, shapes, write_set


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    return write_set(tmp_path_factory.mktemp("set"))


def run(objective: Objective, batch: ClipBatch, step: int = 0) -> LossReport:
    objective.zero_grad(set_to_none=True)
    report: LossReport = objective(batch, step)
    report.total.backward()
    return report


def encoder_grads(objective: Objective) -> dict[str, bool]:
    return {
        name: any(p.grad is not None and bool(p.grad.any()) for p in encoder.parameters())
        for name, encoder in objective.encoders.items()
    }


def test_a_zero_weight_costs_nothing(videos: VideoSet) -> None:
    zeros = dict.fromkeys(all_terms(OBJECTIVE), 0.0)
    some = loss(rgb__reverse=0.5, rgb_flow__embed=0.25)
    without, within = make_objective(videos, some), make_objective(videos, LossWeights({**zeros, **some}))
    assert list(without.state_dict()) == list(within.state_dict())
    for one, other in zip(without.state_dict().values(), within.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert without.sources == within.sources == {Source("rgb"), Source("flow")}, "sound and grey are not even loaded"
    assert without.views == within.views == {View("rgb"), View("rgb", "reversed"), View("flow")}
    assert set(within.encoders) == {"rgb", "flow"} and len(within.losses) == 2
    batch = make_clips(videos, without)[0]
    assert set(batch.inputs) == {Source("rgb"), Source("flow")}
    assert torch.equal(run(without, batch).total, run(within, batch).total)


def test_the_total_is_the_weighted_sum(videos: VideoSet) -> None:
    weights = loss(rgb__reverse=0.5, flow__reconstruct=0.25, rgb_audio__align=1.0)
    objective = make_objective(videos, weights)
    report = run(objective, make_clips(videos, objective)[0])
    assert list(report.parts) == ["rgb.reverse", "flow.reconstruct", "rgb-audio.align"]
    assert report.total.item() == pytest.approx(sum(w * report.parts[str(t)].item() for t, w in weights.items()), rel=1e-6)


def test_each_view_is_encoded_once(videos: VideoSet) -> None:
    everything = LossWeights.uniform(all_terms(OBJECTIVE))
    objective = make_objective(videos, everything)
    rows: dict[str, list[int]] = {name: [] for name in objective.encoders}
    for name, encoder in objective.encoders.items():

        def count(module: Any, given: tuple[torch.Tensor], result: Any, name: str = name) -> None:
            rows[name].append(len(given[0]))

        encoder.register_forward_hook(count)
    batch = random_batch({source: shapes(videos)[source] for source in objective.sources}, clips=4)
    run(objective, batch)
    # Clean, shuffled and reversed; align reads the shifted window of the second of its pair, never rgb's.
    assert rows == {"rgb": [12], "grey": [16], "flow": [16], "audio": [16]}
    assert set(encoder_grads(objective).values()) == {True}


def test_seeds_alone_decide_the_first_parameters(videos: VideoSet) -> None:
    state = torch.get_rng_state()
    first = make_objective(videos, loss(rgb__reverse=1.0))
    assert torch.equal(torch.get_rng_state(), state), "building draws nothing from the global generator"
    torch.rand(3)
    np.random.default_rng(0)
    more = make_objective(videos, loss(audio__reconstruct=1.0, rgb__shuffle=0.5, rgb__reverse=1.0))
    for name, value in first.state_dict().items():
        if name != "initial":
            assert torch.equal(value, more.state_dict()[name]), name
    other = make_objective(videos, loss(rgb__reverse=1.0), seed=4)
    same = [torch.equal(one, two) for one, two in zip(first.parameters(), other.parameters(), strict=True) if one.dim() > 1]
    assert not any(same)
    encoders = [build_encoder(name, ENCODER, 0).state_dict()["layer1.0.conv1.0.0.weight"] for name in ("rgb", "flow")]
    assert not torch.equal(*encoders), "each modality has its own draw"


def test_the_content_of_absent_clips_changes_nothing(videos: VideoSet) -> None:
    objective = make_objective(videos, LossWeights.uniform(all_terms(OBJECTIVE)))
    batch = random_batch({source: shapes(videos)[source] for source in objective.sources}, clips=5, absent=("audio", "flow"))
    buffers = {name: value.clone() for name, value in objective.named_buffers()}
    clean = run(objective, batch)
    gradients = {name: p.grad.clone() for name, p in objective.named_parameters() if p.grad is not None}
    statistics = {name: value.clone() for name, value in objective.named_buffers()}
    for name, value in objective.named_buffers():
        value.copy_(buffers[name])
    for source, tensor in batch.inputs.items():
        tensor[~batch.present[source]] = 1e4
    dirty = run(objective, batch)
    assert torch.equal(clean.total, dirty.total)
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None and torch.equal(parameter.grad, gradients[name]), name
    for name, value in objective.named_buffers():
        assert torch.equal(value, statistics[name]), name


@pytest.mark.parametrize("clips_with_sound", [0, 1])
def test_too_little_sound_gives_zero_for_its_terms(videos: VideoSet, clips_with_sound: int) -> None:
    objective = make_objective(videos, LossWeights.uniform(all_terms(OBJECTIVE)))
    batch = random_batch({source: shapes(videos)[source] for source in objective.sources})
    for source in batch.present:
        if source.modality == "audio":
            batch.present[source][clips_with_sound:] = False
    report = run(objective, batch)
    assert torch.isfinite(report.total)
    for name, value in report.parts.items():
        if "to-audio" in name:  # sound is no more than a target: one clip of it is something to compare with
            assert (value > 0) == bool(clips_with_sound), name
        elif "audio" in name:
            assert value == 0, name
        else:  # four videos: the close ones may be all that are near
            assert value > 0 or name.endswith(".aggregate"), name
    assert encoder_grads(objective) == {"rgb": True, "grey": True, "flow": True, "audio": False}
    assert all(torch.isfinite(p.grad).all() for p in objective.parameters() if p.grad is not None)


def test_a_single_sound_is_still_a_target_where_another_term_would_encode_it(videos: VideoSet) -> None:
    target = loss(rgb_to_audio__transfer=1.0)
    alone, beside = (
        make_objective(videos, target),
        make_objective(videos, LossWeights({**target, **loss(audio__reconstruct=1.0)})),
    )
    batch = random_batch({source: shapes(videos)[source] for source in beside.sources}, clips=4)
    batch.present[Source("audio")][1:] = False
    parts = run(beside, batch).parts
    assert parts["audio.reconstruct"] == 0, "an encoder with batch norm needs two clips"
    assert parts["rgb-to-audio.transfer"] > 0
    torch.testing.assert_close(parts["rgb-to-audio.transfer"], run(alone, batch).parts["rgb-to-audio.transfer"])


def test_a_loss_of_sound_alone_survives_a_silent_batch(videos: VideoSet) -> None:
    objective = make_objective(videos, loss(audio__shuffle=1.0, rgb_audio__embed=1.0))
    batch = random_batch({source: shapes(videos)[source] for source in objective.sources})
    silent = {source: mask & (source.modality != "audio") for source, mask in batch.present.items()}
    report: LossReport = objective(dataclasses.replace(batch, present=silent), 0)
    assert report.total == 0


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("teacher", ["flow", "audio", "grey"])
def test_distillation_teaches_rgb_alone(videos: VideoSet, teacher: str, asked: bool) -> None:
    settings = OBJECTIVE.model_copy(update={"teacher_gradient": asked})
    weights = LossWeights.from_names({f"{teacher}-to-rgb.distill.{site}": 1.0 for site in (1, 3)}, all_terms(settings))
    objective = make_objective(videos, weights, settings=settings)
    batch = random_batch({source: shapes(videos)[source] for source in objective.sources})
    report = run(objective, batch)
    assert report.total > 0
    assert encoder_grads(objective) == {"rgb": True, teacher: asked}


def test_scale_initial_makes_every_term_one_at_first(videos: VideoSet) -> None:
    settings = OBJECTIVE.model_copy(update={"scale": "initial"})
    weights = loss(rgb__reverse=0.5, rgb__reconstruct=0.25, audio__shuffle=1.0)
    objective = make_objective(videos, weights, settings=settings)
    sources = {source: shapes(videos)[source] for source in objective.sources}
    batch = random_batch(sources)
    silent = {source: mask & (source.modality != "audio") for source, mask in batch.present.items()}
    first = run(objective, dataclasses.replace(batch, present=silent))
    assert first.total.item() == pytest.approx(0.75), "sound has no value yet"
    initial = objective.state_dict()["initial"]
    assert initial.tolist() == [first.parts["rgb.reverse"], first.parts["rgb.reconstruct"], 0]
    second = run(objective, random_batch(sources, seed=5), 1)
    wanted = [weight * second.parts[str(term)] / value for (term, weight), value in zip(weights.items(), initial, strict=True)]
    assert second.total.item() == pytest.approx(float(wanted[0] + wanted[1]) + 1.0, rel=1e-5)
    assert initial.tolist()[:2] == objective.state_dict()["initial"].tolist()[:2]
    assert second.parts["audio.shuffle"] == objective.state_dict()["initial"][2]
    objective.eval()
    saved = objective.state_dict()["initial"].clone()
    objective(random_batch(sources, seed=9), 2)
    assert torch.equal(saved, objective.state_dict()["initial"])


def test_nothing_to_learn_is_said(videos: VideoSet) -> None:
    with pytest.raises(UsageError, match="nothing to learn"):
        make_objective(videos, loss(rgb__reverse=0.0))


def test_rgb_is_there_even_where_no_term_reads_it(videos: VideoSet) -> None:
    objective = make_objective(videos, loss(flow__reverse=1.0))
    assert set(objective.encoders) == {"rgb", "flow"}
    assert objective.sources == {Source("flow"), Source("flow", "clip", True)}
    run(objective, make_clips(videos, objective)[0])
    assert encoder_grads(objective) == {"rgb": False, "flow": True}


def test_what_is_only_a_target_has_no_encoder(videos: VideoSet) -> None:
    weights = loss(rgb_to_audio__transfer=1.0, rgb_to_flow__transfer=1.0)
    objective = make_objective(videos, weights)
    assert set(objective.encoders) == {"rgb"} and not any("encoders.flow" in name for name in objective.state_dict())
    assert run(objective, make_clips(videos, objective)[0]).total > 0


def test_every_term_runs_alone_on_real_clips(tmp_path: Path) -> None:
    videos = write_set(tmp_path / "set", videos=6, deaf=(2,))
    settings = ObjectiveSettings(distill_sites=(4,))
    for term in all_terms(settings):
        objective = make_objective(videos, LossWeights({term: 1.0}), settings=settings)
        clips = make_clips(videos, objective, batch=6)
        if term.task == "aggregate":  # compares with what was known before
            assert run(objective, clips[0]).total == 0
        report = run(objective, clips[1])
        assert torch.isfinite(report.total) and report.total > 0, term
        unused = [name for name, p in objective.losses.named_parameters() if p.grad is None]
        assert not unused, (term, unused)
