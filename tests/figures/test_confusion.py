"""Pictures of confusion matrices: bounded whatever is in them, and what is in them can be seen."""

import numpy as np
import pytest
from PIL import Image

from elo_cli.figures.confusion import confusion_picture

HOSTILE = ["中文", "x" * 5000, "a\nb\x1b[31m\x07", "$\\frac{", "_under", "\udcff", "جرى", "", "👩‍👩‍👧", "‮evil"]


def drawn(table_CD: np.ndarray, names: list[str] | None = None, title: str = "elo, linear", line: str = "hmdb51") -> Image.Image:
    return confusion_picture(table_CD, names or [f"class {number}" for number in range(len(table_CD))], title, line)


def darkness(picture: Image.Image) -> np.ndarray:
    return 255 - np.asarray(picture.convert("L")).astype(float)


def matrix_box(one: Image.Image, other: Image.Image) -> tuple[int, int, int, int]:
    """Where two pictures of one size differ."""
    assert one.size == other.size
    rows, columns = np.nonzero(np.abs(darkness(one) - darkness(other)) > 30)
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


@pytest.mark.parametrize("count", [1, 2, 12, 51, 101, 174, 400, 1000, 2500])
@pytest.mark.parametrize("unreadable", [False, True])
def test_pictures_are_bounded_and_the_diagonal_is_dark(count: int, unreadable: bool) -> None:
    table_CD = np.hstack([np.eye(count), np.ones((count, 1))]) if unreadable else np.eye(count)
    picture = drawn(table_CD)
    assert 500 <= picture.width <= 1250 and 400 <= picture.height <= 1400
    assert (darkness(picture) > 100).mean() > 0.001


@pytest.mark.parametrize("count", [2, 12, 51, 174, 400])
def test_rows_are_true_classes_and_columns_predicted_ones(count: int) -> None:
    right = drawn(np.eye(count))
    first_for_last, nothing = np.eye(count), np.eye(count)
    first_for_last[0] = 0
    first_for_last[0, -1] = 1
    nothing[0, 0] = 0
    confused = drawn(first_for_last)
    left, top, _, _ = matrix_box(right, drawn(nothing))
    _, above, beyond, _ = matrix_box(confused, drawn(nothing))
    assert above == top, "the row of the true class"
    assert beyond > left + min(60, count), "the column of the predicted class"


def test_rows_are_drawn_as_shares_of_themselves() -> None:
    many = np.array([[900, 100], [1, 3]])
    few = np.array([[9, 1], [25, 75]])
    assert np.array_equal(np.asarray(drawn(many)), np.asarray(drawn(few)))
    assert not np.array_equal(np.asarray(drawn(many)), np.asarray(drawn(many.T)))


def test_more_is_darker_and_the_diagonal_stands_out() -> None:
    table = np.full((51, 51), 1.0) + 30 * np.eye(51)
    dark = darkness(drawn(table))
    left, top, right, _ = matrix_box(drawn(np.ones((51, 51))), drawn(table))
    cell = (right - left + 1) / 51
    places = [int(cell * (number + 0.5)) for number in range(51)]
    diagonal = [dark[top + place, left + place] for place in places]
    beside = [dark[top + place, left + other] for place, other in zip(places, [*places[1:], places[0]], strict=True)]
    assert min(diagonal) > 2 * max(beside) > 0


def test_classes_without_videos_are_no_errors_and_no_zeros() -> None:
    table = np.array([[3, 1, 0], [0, 0, 0], [0, 1, 4]])
    empty, zero = drawn(table), drawn(np.array([[3, 1, 0], [0, 1, 0], [0, 1, 4]]))
    assert np.isfinite(darkness(empty)).all() and not np.array_equal(np.asarray(empty), np.asarray(zero))


def test_what_could_not_be_read_has_a_column_of_its_own() -> None:
    table = np.array([[8, 2], [1, 9]])
    with_one = drawn(np.hstack([table, [[0], [0]]]))
    with_some = drawn(np.hstack([table, [[4], [0]]]))
    assert with_one.size == with_some.size and not np.array_equal(np.asarray(with_one), np.asarray(with_some))
    assert not np.array_equal(np.asarray(drawn(table)), np.asarray(with_one))


@pytest.mark.parametrize("count", [10, 60])
def test_names_of_any_kind(count: int) -> None:
    names = [HOSTILE[number % len(HOSTILE)] for number in range(count)]
    hostile = drawn(np.eye(count), names, title="t" * 4000, line="\x07" * 999)
    plain = drawn(np.eye(count))
    assert hostile.size == plain.size
    assert not np.array_equal(np.asarray(hostile), np.asarray(plain))
    margin = darkness(hostile)[:, :20]
    assert margin.max() == 0, "nothing runs over the margin"


def test_every_one_of_sixty_names_is_drawn() -> None:
    names, blank = [f"class {number}" for number in range(60)], [""] * 60
    dark = np.abs(darkness(drawn(np.eye(60), names)) - darkness(drawn(np.eye(60), blank)))
    left, top, right, bottom = matrix_box(drawn(np.eye(60)), drawn(np.ones((60, 60))))
    beside_H = dark[top : bottom + 1, :left].max(axis=1)
    cell = (bottom - top + 1) / 60
    assert all(beside_H[int(cell * row) : int(cell * (row + 1))].max() > 100 for row in range(60))
    above_W = dark[:top, left : right + 1].max(axis=0)
    assert all(above_W[int(cell * column) : int(cell * (column + 1))].max() > 100 for column in range(60))
