"""YAML is read strictly, and what is written is read back as it was."""

import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elo_cli.core.errors import UsageError
from elo_cli.core.strict_yaml import MAX_BYTES, MAX_DEPTH, dump_yaml, load_yaml

BILLION_LAUGHS = 'a: &a ["lol","lol"]\nb: &b [*a,*a]\nc: [*b,*b]\n'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.5E3", 1500.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("010", 10),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("1_000", "1_000"),
        ("'1e-4'", "1e-4"),
        ("!!str 12", "12"),
        ("!!float 3", 3.0),
        ("[1, {a: b}]", [1, {"a": "b"}]),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    read = load_yaml(f"key: {text}", "the text")["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "The text, line 3: the key 'a' stands here twice."),
        ("a:\n  b: 1\n  b: 1", "The text, line 3: the key 'b' stands here twice."),
        ("a: 1\n2: 3", "The text, line 2: the key 2 is not text; put it in quotes."),
        ("a: 1\n? [b]\n: 3", r"The text, line 2: the key \['b'\] is not text"),
        (BILLION_LAUGHS, "The text, line 1: anchors and aliases"),
        ("a: 1\nb: *a", "The text, line 2: anchors and aliases"),
        ("a: 1\n<<: {b: 2}\n<<: {c: 3}", "The text, line 3: the key '<<' stands here twice."),
        ("a: !!python/object/apply:os.system [id]", "The text, line 1: could not determine a constructor"),
        ("a: !!timestamp 2024-01-31", "The text, line 1: could not determine a constructor"),
        ("a: !!int x", "The text, line 1: 'x' is not a whole number."),
        ("a: !!float x", "The text, line 1: 'x' is not a number."),
        ("a: !!bool x", "The text, line 1: 'x' is neither true nor false."),
        ("a: !!map [1]", "The text, line 1: expected a mapping node"),
        ("a: !!map x", "The text, line 1: expected a mapping node"),
        ("a: " + "9" * 5000, "is not a whole number"),
        ("a: 1\n\tb: 2", "The text, line 2: "),
        ("a: [1", "The text, line 1: "),
        ("a: 1\nb: \x00", "The text, line 2: a character that cannot stand in YAML text."),
        ("a: 1\n---\nb: 2", "The text, line 2: but found another document"),
        ("[1, 2]", "The text holds no mapping."),
        ("a: " + "[" * 100_000, "The text, line 1: nested deeper than 32 levels."),
        ("a: " + "x" * MAX_BYTES, "The text is larger than 1 MiB."),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_yaml(text, "the text")


def test_depth_is_bounded_exactly() -> None:
    nested: Any = 1
    for _ in range(MAX_DEPTH):
        nested = {"a": nested}
    assert load_yaml(dump_yaml(nested), "the text") == nested
    with pytest.raises(UsageError, match="nested deeper"):
        load_yaml(dump_yaml({"a": nested}), "the text")


def test_an_empty_document_is_an_empty_mapping() -> None:
    assert load_yaml("# nothing set\n", "the text") == {}


def test_files_are_named_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("\ufeffa: 1e-3\n", encoding="utf-8")
    assert load_yaml(path, "the preset") == {"a": 1e-3}
    path.write_text("a: 1\na: 1\n")
    with pytest.raises(UsageError, match=r"The preset .*mine\.yaml, line 2: the key 'a'"):
        load_yaml(path, "the preset")
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(UsageError, match=r"mine\.yaml, line 2: not UTF-8"):
        load_yaml(path, "the preset")
    path.write_bytes(b"\xc3\xa9" * MAX_BYTES)  # é, and the bound falls into one
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        load_yaml(path, "the preset")


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_yaml(tmp_path / "missing.yaml", "the preset")
    with pytest.raises(UsageError, match="is not a file"):
        load_yaml(tmp_path, "the preset")
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(UsageError, match="is not a file"):
        load_yaml(tmp_path / "pipe.yaml", "the preset")


TEXT = st.text(st.characters(exclude_categories=()))  # with the lone surrogates that stand for bytes in file names
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
TRICKY = st.from_regex(
    r"\A(0[ox]?[0-9a-f]{1,3}|[-+]?[0-9._]{1,4}(e[-+]?[0-9])?|[0-9]:[0-9]{2}|yes|no|on|null|~|<<|=|- |&a|\*a)\Z"
)
VALUES = st.recursive(
    SCALARS | TRICKY, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | TRICKY, inner, max_size=4)
)


@given(st.dictionaries(TEXT | TRICKY, VALUES, max_size=4))
def test_what_is_written_is_read_back(value: dict[str, object]) -> None:
    assert load_yaml(dump_yaml(value), "the text") == value


def test_a_list_in_two_places_is_written_twice() -> None:
    shared = [1, 2]
    assert load_yaml(dump_yaml({"a": shared, "b": shared}), "the text") == {"a": [1, 2], "b": [1, 2]}
