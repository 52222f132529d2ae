"""Eq. 6 and Eq. 7 as the tasks use them: what is decoded from what, and told from what."""

import numpy as np
import pytest

from elo_cli.core.clip import Source, View
from elo_cli.core.settings import ObjectiveSettings
from elo_cli.core.weights import Term
from elo_cli.nets.decoding import Decoding
from elo_cli.tasks import build_term
from tests.support.encodings import make_case, make_parts

DECODED = [
    ("rgb.reconstruct", View("rgb"), Source("rgb")),
    ("audio.reconstruct", View("audio"), Source("audio")),
    ("flow.predict", View("flow"), Source("flow", "future")),
    ("audio.predict", View("audio"), Source("audio", "future")),
    ("grey-to-rgb.transfer", View("grey"), Source("rgb")),
    ("audio-to-rgb.transfer", View("audio"), Source("rgb")),
    ("rgb-to-audio.transfer", View("rgb"), Source("audio")),
]


@pytest.mark.parametrize(("name", "view", "target"), DECODED, ids=[name for name, _, _ in DECODED])
@pytest.mark.parametrize("form", ["l2", "mean"])
def test_equation_6(name: str, view: View, target: Source, form: str) -> None:
    parts = make_parts(ObjectiveSettings.model_validate({"distance": form}))
    loss = build_term(Term.parse(name), parts)
    assert isinstance(loss, Decoding) and loss.views == {view} and loss.targets == {target}
    encoded, batch = make_case(loss, parts, 3)
    batch.present[target][1] = False
    decoded = loss.decoder(encoded[view].stages[-1]).detach().numpy().astype(np.float64)
    difference = (decoded - batch.inputs[target].numpy()).reshape(3, -1)[[0, 2]]
    wanted = np.mean(np.sqrt((difference**2).sum(1)) if form == "l2" else (difference**2).mean(1))
    assert loss(encoded, batch).item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("name", ["rgb.shuffle", "audio.shuffle", "rgb.reverse", "flow.reverse"])
def test_equation_7_of_two_forms(name: str) -> None:
    parts, term = make_parts(), Term.parse(name)
    loss = build_term(term, parts)
    form = "shuffled" if term.task == "shuffle" else "reversed"
    clean, changed = (next(view for view in loss.views if view.form == wanted) for wanted in ("clean", form))
    encoded, batch = make_case(loss, parts, 3)
    weight, bias = (parameter.detach().numpy().astype(np.float64) for parameter in loss.parameters())
    rows = []
    for row in range(3):
        scores = [float(weight[0] @ encoded[view].vector_BD[row].detach().numpy() + bias[0]) for view in (clean, changed)]
        probabilities = [1 / (1 + np.exp(-score)) for score in scores]
        rows.append(-(np.log(probabilities[0]) + np.log(1 - probabilities[1])) / 2)
    assert loss(encoded, batch).item() == pytest.approx(np.mean(rows), rel=1e-4)


def test_equation_7_of_pairs_in_time() -> None:
    parts = make_parts()
    loss = build_term(Term.parse("rgb-audio.align"), parts)
    assert loss.views == {View("rgb"), View("audio"), View("audio", "shifted")}
    encoded, batch = make_case(loss, parts, 4)
    batch.present[Source("audio", "shifted")][2] = False  # its segment is too short for another stretch
    first_w, first_b, second_w, second_b = (parameter.detach().numpy().astype(np.float64) for parameter in loss.parameters())

    def score(view: View, row: int) -> float:
        pair = np.concatenate([encoded[v].vector_BD[row].detach().numpy() for v in (View("rgb"), view)])
        return float((second_w @ np.maximum(first_w @ pair + first_b, 0) + second_b)[0])

    rows = [
        (np.log1p(np.exp(-score(View("audio"), row))) + np.log1p(np.exp(score(View("audio", "shifted"), row)))) / 2
        for row in (0, 1, 3)
    ]
    assert loss(encoded, batch).item() == pytest.approx(np.mean(rows), rel=1e-4)


def test_moments_are_matched_by_all_four_pairs() -> None:
    parts = make_parts(ObjectiveSettings(align_form="match"))
    loss = build_term(Term.parse("rgb-audio.align"), parts)
    views = [View(name, form) for name in ("rgb", "audio") for form in ("clean", "shifted")]  # type: ignore[arg-type]
    assert loss.views == set(views)
    encoded, batch = make_case(loss, parts, 4)
    batch.present[Source("audio", "shifted")][2] = False
    into_first, into_second = (parameter.detach().numpy().astype(np.float64) for parameter in loss.parameters())
    vectors = {view: encoded[view].vector_BD.detach().numpy().astype(np.float64) for view in views}

    def score(first: View, second: View, row: int) -> float:
        return float((into_first @ vectors[first][row]) @ (into_second @ vectors[second][row]) / np.sqrt(len(into_first)))

    rows = []
    for row in (0, 1, 3):
        right = score(views[0], views[2], row) + score(views[1], views[3], row)
        wrong = score(views[0], views[3], row) + score(views[1], views[2], row)
        rows.append(np.log1p(np.exp(wrong - right)))
    assert loss(encoded, batch).item() == pytest.approx(np.mean(rows), rel=1e-4)


def test_flow_runs_backwards_as_the_flow_of_the_reversed_video() -> None:
    loss = build_term(Term.parse("flow.reverse"), make_parts())
    assert {view.source for view in loss.views} == {Source("flow"), Source("flow", "clip", True)}
    other = build_term(Term.parse("rgb.reverse"), make_parts())
    assert {view.source for view in other.views} == {Source("rgb")}
