"""One battery for every term there is: masks, batches of one, gradients."""

import copy
import dataclasses

import pytest
import torch
from torch import Tensor

from elo_cli.core.clip import ClipBatch, View
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.weights import Term
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.term import Parts, TermLoss
from elo_cli.tasks import all_terms, build_term
from tests.support.encodings import gradients, make_case, make_parts, reach

FORMS = {
    "l2": ObjectiveSettings(distance="l2"),
    "mean": ObjectiveSettings(distance="mean"),
    "infonce": ObjectiveSettings(embed_form="infonce", align_form="match", teacher_gradient=True),
}
TERMS = all_terms(ObjectiveSettings())
SOCIAL = {"embed", "cluster"}  # alone, a clip has no video to be told from or to be with
CASES = [pytest.param(term, form, id=f"{term}-{form}") for term in TERMS for form in FORMS]


def build(term: Term, form: str) -> tuple[TermLoss, Parts]:
    torch.manual_seed(1)
    parts = make_parts(FORMS[form])
    loss = build_term(term, parts)
    if term.task == "aggregate":  # it compares clips with what was known before them
        with torch.no_grad():
            loss(*make_case(loss, parts, 4, seed=9))
    return loss, parts


def run(loss: TermLoss, encoded: dict[View, Encoding], batch: ClipBatch) -> tuple[Tensor, list[Tensor]]:
    """The value, and the gradients of parameters and then of encodings; the term itself stays as it is."""
    loss = copy.deepcopy(loss)
    loss.zero_grad(set_to_none=True)
    value = loss(encoded, batch)
    value.backward()
    own = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in loss.parameters()]
    return value.detach(), own + gradients(encoded)


def masked(batch: ClipBatch, rows: list[int], only: int | None = None) -> ClipBatch:
    """Say that these rows lack one of the sources (or all of them)."""
    present = {source: mask.clone() for source, mask in batch.present.items()}
    for number, mask in enumerate(present.values()):
        if only is None or number == only % len(present):
            mask[rows] = False
    return dataclasses.replace(batch, present=present)


@pytest.mark.parametrize(("term", "form"), CASES)
def test_a_scalar_with_a_gradient_for_everything_it_reads(term: Term, form: str) -> None:
    loss, parts = build(term, form)
    encoded, batch = make_case(loss, parts, 4)
    value, found = run(loss, encoded, batch)
    assert value.shape == () and value.dtype == torch.float32 and torch.isfinite(value) and value > 0
    assert all(torch.isfinite(gradient).all() for gradient in found)
    own = len(list(loss.parameters()))
    assert all(gradient.any() for gradient in found[:own])
    assert {view.modality for view in loss.views} <= set(term.modalities)
    taught = {View("rgb")} if term.task == "distill" and form != "infonce" else loss.views
    assert reach(encoded, found[own:]) == taught


@pytest.mark.parametrize(("term", "form"), CASES)
def test_no_valid_clip_gives_zero_and_a_zero_gradient(term: Term, form: str) -> None:
    loss, parts = build(term, form)
    for clips in (1, 3):
        encoded, batch = make_case(loss, parts, clips)
        for only in range(len(batch.present)):
            value, found = run(loss, encoded, masked(batch, list(range(clips)), only))
            assert value == 0 and not any(gradient.any() for gradient in found)


@pytest.mark.parametrize(("term", "form"), CASES)
def test_a_batch_of_one_works(term: Term, form: str) -> None:
    loss, parts = build(term, form)
    encoded, batch = make_case(loss, parts, 1)
    value, found = run(loss, encoded, batch)
    assert (value == 0) == (term.task in SOCIAL)
    assert all(torch.isfinite(gradient).all() for gradient in found)


@pytest.mark.parametrize(("term", "form"), CASES)
def test_the_content_of_masked_rows_changes_nothing(term: Term, form: str) -> None:
    loss, parts = build(term, form)
    encoded, batch = make_case(loss, parts, 5)
    for only in (None, 0, 1, 2):
        lacking = masked(batch, [1, 4], only)
        value, found = run(loss, encoded, lacking)
        with torch.no_grad():
            for view, encoding in encoded.items():
                for tensor in (*encoding.stages, encoding.vector_BD):
                    tensor[~lacking.present[view.source]] = 1e3
            for source, tensor in batch.inputs.items():
                tensor[~lacking.present[source]] = -1e3
        again, found_again = run(loss, encoded, lacking)
        assert torch.equal(value, again)
        for one, other in zip(found, found_again, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize(("term", "form"), CASES)
def test_mixed_precision_gives_nearly_the_same(term: Term, form: str) -> None:
    loss, parts = build(term, form)
    encoded, batch = make_case(loss, parts, 6)
    with torch.no_grad():
        loss(encoded, batch)  # fills the banks of pseudo-labels
    exact, slopes = run(loss.eval(), encoded, batch)
    halved = {
        view: Encoding(
            tuple(stage.detach().bfloat16().requires_grad_() for stage in encoding.stages),  # type: ignore[arg-type]
            encoding.vector_BD.detach().bfloat16().requires_grad_(),
        )
        for view, encoding in encoded.items()
    }
    with torch.autocast("cpu", torch.bfloat16):
        rounded, found = run(loss, halved, batch)
    assert rounded.dtype == torch.float32 and rounded.item() == pytest.approx(exact.item(), rel=0.03)
    assert all(torch.isfinite(slope).all() for slope in found)
    one, other = (torch.cat([slope.flatten().float() for slope in part]) for part in (slopes, found))
    assert torch.nn.functional.cosine_similarity(one, other, dim=0) > 0.95


# tests/tasks/test_embed.py and test_pseudo_labels.py have the means of these.
@pytest.mark.parametrize("term", [term for term in TERMS if term.task not in SOCIAL], ids=str)
def test_the_value_is_the_mean_over_valid_clips(term: Term) -> None:
    loss, parts = build(term, "l2")
    encoded, batch = make_case(loss.eval(), parts, 4)
    alone = []
    for row in (0, 2, 3):
        one = {view: encoding.rows(row, row + 1) for view, encoding in encoded.items()}
        inputs = {source: tensor[row : row + 1] for source, tensor in batch.inputs.items()}
        present = {source: mask[row : row + 1] for source, mask in batch.present.items()}
        alone.append(loss(one, ClipBatch(inputs, present, ("x",), batch.video_B[row : row + 1])).item())
    assert loss(encoded, masked(batch, [1])).item() == pytest.approx(sum(alone) / 3, rel=1e-4)


@pytest.mark.parametrize(("term", "form"), CASES)
def test_gradients_are_finite_differences(term: Term, form: str) -> None:
    loss, parts = build(term, form)
    encoded, batch = make_case(loss, parts, 4)
    with torch.no_grad():
        loss(encoded, batch)  # fills the banks of pseudo-labels, which take no gradient
    loss.eval()
    _, found = run(loss, encoded, batch)
    own = list(loss.parameters())
    leaves = [tensor for view in sorted(encoded) for tensor in (*encoded[view].stages, encoded[view].vector_BD)]
    generator = torch.Generator().manual_seed(2)
    taught = {"distill"} if form != "infonce" else set()
    errors = []
    for _ in range(7):
        # The teacher of distillation has no gradient by intention: only what RGB does is moved.
        still = [term.task in taught and view.modality != "rgb" for view in sorted(encoded) for _ in range(5)]
        directions = [torch.randn(p.shape, generator=generator) for p in own]
        directions += [
            torch.zeros(t.shape) if at_rest else torch.randn(t.shape, generator=generator)
            for t, at_rest in zip(leaves, still, strict=True)
        ]
        # Half along the gradient, so that there is a slope to be seen, half anywhere.
        size, steep = (sum(float(part.square().sum()) for part in part_list) ** 0.5 for part_list in (directions, found))
        directions = [one / size + gradient / steep for one, gradient in zip(directions, found, strict=True)]
        size = sum(float(direction.square().sum()) for direction in directions) ** 0.5
        values = []
        for step in (4e-3, -4e-3):
            with torch.no_grad():
                for tensor, direction in zip([*own, *leaves], directions, strict=True):
                    tensor.add_(direction, alpha=step / size)
                values.append(float(loss(encoded, batch)))
                for tensor, direction in zip([*own, *leaves], directions, strict=True):
                    tensor.sub_(direction, alpha=step / size)
        slope = sum(float((gradient * direction).sum()) for gradient, direction in zip(found, directions, strict=True)) / size
        errors.append(abs((values[0] - values[1]) / 8e-3 - slope) / (abs(slope) + 1e-2))
    assert sorted(errors)[3] < 0.05  # half of the directions: a kink may lie on the others


@pytest.mark.parametrize("term", TERMS, ids=str)
def test_terms_are_written_and_read(term: Term) -> None:
    assert Term.parse(str(term)) == term
