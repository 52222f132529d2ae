"""Tests of lettering: whatever comes is legible and fits."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.figures.lettering import ELLIPSIS, fitted, font, printable

LETTERS = font(14)


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("λ plain.mp4", "λ plain.mp4"),
        ("a\nb\tc\x07", r"a\nb\tc\x07"),
        ("中.mp4", r"\u4e2d.mp4"),
        ("\U0001f9ff", r"\U0001f9ff"),  # newer than the font
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("", ""),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, drawn: str) -> None:
    assert "".join(printable(text)) == drawn


def test_a_long_text_loses_its_middle_and_keeps_what_tells_it_apart() -> None:
    text = "folder/" + "x" * 200 + "_07.mp4"
    short = fitted(text, 200, LETTERS)
    begin, _, end = short.partition(ELLIPSIS)
    assert text.startswith(begin) and text.endswith(end) and begin.startswith("folder/") and end.endswith("_07.mp4")
    assert 180 < LETTERS.getlength(short) <= 200
    assert fitted(text, 10_000, LETTERS) == text


@given(st.text(max_size=60), st.integers(20, 400))
def test_no_text_is_wider_than_its_room(text: str, width: int) -> None:
    drawn = fitted(text, width, LETTERS)
    assert LETTERS.getlength(drawn) <= width and drawn.isprintable()


def test_an_escape_is_never_cut_in_two() -> None:
    for width in range(30, 400, 7):
        drawn = fitted("\x07" * 40, width, LETTERS)
        assert set(drawn.replace(r"\x07", "").replace(ELLIPSIS, "")) == set()
