"""Files are written whole or not at all."""

import json
import os
from pathlib import Path

import pytest

from elo_cli.core.errors import StorageError
from elo_cli.core.files import PART, atomic_file, drafted, this_owner, write_atomic, write_json


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


def test_json_takes_names_that_are_not_utf_8(tmp_path: Path) -> None:
    value = {"videos": ["a\udcff\\b", "\\udcff", "ü"]}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value


def test_a_stream_shows_nothing_before_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with atomic_file(path) as stream:
        stream.write(b"new ")
        stream.write(b"content")
        stream.seek(0)
        stream.write(b"N")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"New content"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_any_exception_leaves_the_old_content_and_no_part(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def begin() -> None:
        with atomic_file(path) as stream:
            stream.write(b"new")
            raise error

    with pytest.raises(error):
        begin()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_what_the_disk_says_inside_the_block_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"a\.bin cannot be written: No space left"), atomic_file(tmp_path / "a.bin"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_content_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(descriptor: int) -> None:
        done.append("sync of " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def spy_replace(old: Path, new: Path) -> None:
        done.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    write_atomic(tmp_path / "a", b"content")
    assert done == ["sync of a" + PART, "rename", f"sync of {tmp_path.name}"]


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


def test_a_draft_moves_with_its_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.bin"
    for content, names in (("old", ["a.bin"]), ("new", ["a.bin", "a.bin.data"])):
        with drafted(path) as draft:
            assert draft.name == path.name and draft.parent != path.parent
            assert oct(draft.parent.stat().st_mode)[-3:] == "700"
            for name in names:
                draft.with_name(name).write_text(content)
        assert sorted(entry.name for entry in path.parent.iterdir()) == names
        assert {entry.read_text() for entry in path.parent.iterdir()} == {content}


def test_a_draft_that_fails_changes_nothing_and_those_of_the_dead_go(tmp_path: Path) -> None:
    path, others = tmp_path / "a.bin", tmp_path / "b.bin.nobody-1.part"
    path.write_text("old")
    host = this_owner().rpartition("-")[0]
    for folder in (tmp_path / f"a.bin.{host}-99999999.part", tmp_path / f"a.bin.{this_owner()}.part", others):
        folder.mkdir()
        (folder / "a.bin").write_text("half")

    def begin(error: type[BaseException]) -> None:
        with drafted(path) as draft:
            draft.write_text("new")
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            begin(error)
    assert path.read_text() == "old" and sorted(entry.name for entry in tmp_path.iterdir()) == ["a.bin", others.name]
    with pytest.raises(StorageError), drafted(path):
        pass  # nothing was written
    with pytest.raises(StorageError), drafted(path / "inside a file"):
        pass
