"""Files are written whole or not at all."""

import json
from pathlib import Path

import pytest

from elo_cli.core.errors import StorageError
from elo_cli.core.files import PART, write_atomic, write_json


def test_content_replaces_content(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    for content in (b"one", b"", b"three" * 1000):
        write_atomic(path, content)
        assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_json_is_readable_and_ends_with_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"λ": 0.5})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.endswith("}\n") and "λ" in text and json.loads(text) == {"λ": 0.5}


def test_a_failure_leaves_the_old_content_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    (path / "inside").write_text("kept")
    with pytest.raises(StorageError, match="taken"):
        write_atomic(path, b"new")  # a folder with content cannot be replaced by a file
    assert (path / "inside").read_text() == "kept"
    assert not (tmp_path / ("taken" + PART)).exists()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere") as caught:
        write_atomic(tmp_path / "nowhere" / "a", b"")
    assert caught.value.hint
