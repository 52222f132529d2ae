"""Terms as they are written, and losses as vectors, mappings and digests."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.core.errors import UsageError
from elo_cli.core.weights import LossWeights, Term

WORDS = st.sampled_from(["rgb", "grey", "flow", "audio", "depth2"])
TASKS = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)


@st.composite
def terms(draw: st.DrawFn) -> Term:
    pair = draw(st.lists(WORDS, min_size=1, max_size=2))
    directed = len(pair) == 2 and draw(st.booleans())
    return Term(draw(TASKS), tuple(pair), directed, draw(st.none() | st.integers(0, 30)))


@given(terms())
def test_a_term_is_read_back_as_it_was_written(term: Term) -> None:
    assert Term.parse(str(term)) == term


def test_terms_print_as_the_field_writes_them() -> None:
    assert str(Term("reverse", ("rgb",))) == "rgb.reverse"
    assert str(Term("align", ("rgb", "audio"))) == "rgb-audio.align"
    assert str(Term("distill", ("flow", "rgb"), True, 3)) == "flow-to-rgb.distill.3"


@pytest.mark.parametrize(
    "text", ["", "rgb", "rgb.", ".reverse", "RGB.reverse", "rgb.reverse.x", "a-b-c.align", "rgb.reverse\n", "rgb reverse"]
)
def test_what_is_no_term_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not the name of a term"):
        Term.parse(text)


@given(st.dictionaries(terms(), st.floats(0, 1), min_size=1, max_size=6))
def test_vectors_and_names_keep_every_weight_and_the_order(weights: dict[Term, float]) -> None:
    loss = LossWeights(weights)
    assert list(loss.items()) == list(weights.items())
    assert LossWeights.from_vector(weights, loss.to_vector()) == loss
    assert LossWeights.from_names(loss.to_names(), weights) == loss
    assert set(loss.active()) == {term for term, weight in weights.items() if weight > 0}


@given(st.dictionaries(terms(), st.floats(0, 1), min_size=1, max_size=6), terms(), st.randoms())
def test_the_digest_knows_neither_order_nor_zeros(weights: dict[Term, float], extra: Term, random: Random) -> None:
    names = list(weights)
    random.shuffle(names)
    shuffled = LossWeights({term: weights[term] for term in names} | ({} if extra in weights else {extra: 0.0}))
    assert shuffled.digest() == LossWeights(weights).digest()
    changed = {**weights, extra: 0.25 if weights.get(extra) != 0.25 else 0.75}
    assert LossWeights(changed).digest() != shuffled.digest()


@pytest.mark.parametrize("weight", [-0.001, 1.001, math.nan, math.inf, True, "0.5", None])
def test_weights_outside_the_unit_interval_are_refused(weight: object) -> None:
    with pytest.raises(UsageError, match=r"rgb\.reverse"):
        LossWeights({Term("reverse", ("rgb",)): weight})  # type: ignore[dict-item]


def test_a_misspelt_term_is_answered_with_the_nearest() -> None:
    known = [Term("reverse", ("rgb",)), Term("shuffle", ("rgb",))]
    with pytest.raises(UsageError) as caught:
        LossWeights.from_names({"rgb.revers": 1.0}, known)
    assert "'rgb.reverse'" in caught.value.hint
    assert LossWeights.from_names({"rgb.shuffle": 0.5}, known).to_vector() == [0.0, 0.5]
    # A loss found with sound serves where there is none, if it did not need the sound.
    assert LossWeights.from_names({"audio.reverse": 0.0, "rgb.shuffle": 0.5}, known).to_vector() == [0.0, 0.5]


def test_a_vector_of_the_wrong_length_is_our_own_bug() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        LossWeights.from_vector([Term("reverse", ("rgb",))], [0.1, 0.2])
