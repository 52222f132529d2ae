"""Seeds for one purpose: stable, distinct, and far from NumPy's global generator."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.core.seeds import derive, numpy_generator

PARTS = st.lists(st.integers(-(2**70), 2**70) | st.text(max_size=5), max_size=3)


@given(st.integers(0, 2**63 - 1), PARTS, PARTS)
def test_equal_purposes_give_equal_seeds_and_no_others(seed: int, first: list[int | str], second: list[int | str]) -> None:
    assert 0 <= derive(seed, *first) < 2**63
    assert (derive(seed, *first) == derive(seed, *second)) == (first == second)


def test_a_number_is_not_its_digits() -> None:
    assert len({derive(1, 2), derive(1, "2"), derive(12), derive(1, 2, ""), derive(1)}) == 5


def test_values_never_change() -> None:
    # A change here would make every run of an earlier version impossible to repeat.
    assert derive(0, "clips", 1, 2) == 5026678086334758681


def test_the_global_generator_is_left_alone() -> None:
    before = np.random.get_state()[1].tolist()
    first = numpy_generator(5, "x").random(4)
    assert np.array_equal(first, numpy_generator(5, "x").random(4))
    assert np.random.get_state()[1].tolist() == before
