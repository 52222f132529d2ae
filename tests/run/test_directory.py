"""A run's directory keeps its settings, refuses others, and is never written by two."""

import json
import os
import stat
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from elo_cli.core.errors import LockedError, StorageError, UsageError
from elo_cli.core.strict_yaml import load_yaml
from elo_cli.run.directory import RunDirectory, fresh_root, newest_root, numbered_roots

SETTINGS = {"seed": 1, "lr": 1e-4, "loader": {"workers": 2, "batch": 32}, "terms": ["rgb.reverse"], "name": "no"}


def open_run(root: Path, settings: dict[str, Any] | None = None, **options: Any) -> AbstractContextManager[RunDirectory]:
    return RunDirectory.open(root, SETTINGS if settings is None else settings, command="elo pretrain", **options)


def test_it_is_made_with_settings_and_environment(tmp_path: Path) -> None:
    with open_run(tmp_path / "runs" / "pretrain", threads=2) as run:
        assert run.root == tmp_path / "runs" / "pretrain"
        assert json.loads(run.owner.read_text())["command"] == "elo pretrain"
        assert json.loads(run.environment.read_text())["threads"] == 2
        assert load_yaml(run.settings, "settings") == SETTINGS
        assert run.settings.read_text().startswith("loader:\n  batch: 32\n  workers: 2\nlr: ")
        assert run.environment_changes == ()
    assert {path.name for path in run.root.iterdir()} == {"settings.yaml", "environment.json", "lock", "log.jsonl"}


def test_every_path_has_a_name_of_its_own(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    paths = [getattr(run, name) for name, kind in vars(RunDirectory).items() if isinstance(kind, property)]
    assert {path.parent for path in paths} == {tmp_path}
    assert len(set(paths)) == len(paths)


def test_the_same_settings_resume(tmp_path: Path) -> None:
    for _ in range(2):
        with open_run(tmp_path, SETTINGS | {"nan": float("nan"), "pair": (1, 2)}) as run:
            assert run.root == tmp_path


def test_other_settings_are_refused_with_the_differences(tmp_path: Path) -> None:
    with open_run(tmp_path):
        pass
    before = (tmp_path / "settings.yaml").read_bytes()
    other = SETTINGS | {"seed": True, "loader": {"workers": 4, "batch": 32}, "new": {"a": 1}, "terms": []}
    del other["name"]
    with pytest.raises(UsageError) as caught, open_run(tmp_path, other):
        pass
    assert caught.value.message.splitlines()[1:] == [
        "  loader.workers: 2 → 4",
        "  name: no → (absent)",
        "  new: (absent) → {'a': 1}",
        "  seed: 1 → True",
        "  terms: ['rgb.reverse'] → []",
    ]
    assert caught.value.hint == "--fresh starts a new run beside it; or give the former settings."
    assert (tmp_path / "settings.yaml").read_bytes() == before
    with open_run(tmp_path):
        pass


def test_many_differences_are_cut_short(tmp_path: Path) -> None:
    with open_run(tmp_path, {f"key{number:02}": 0 for number in range(25)}):
        pass
    with pytest.raises(UsageError) as caught, open_run(tmp_path, {f"key{number:02}": 1 for number in range(25)}):
        pass
    lines = caught.value.message.splitlines()
    assert len(lines) == 12
    assert lines[-1] == "  … and 15 more"


def test_free_settings_may_differ_and_are_brought_up_to_date(tmp_path: Path) -> None:
    with open_run(tmp_path):
        pass
    other = SETTINGS | {"seed": 2, "loader": {"workers": 8, "batch": 32}}
    with open_run(tmp_path, other, free=frozenset({"loader", "seed"})) as run:
        assert load_yaml(run.settings, "settings") == other
    with pytest.raises(UsageError, match="seed: 2 → 1"), open_run(tmp_path, free=frozenset({"see", "loader.workers"})):
        pass


def test_a_damaged_settings_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("seed: 1\nseed: 2\n")
    with pytest.raises(UsageError, match=r"settings\.yaml, line 2"), open_run(tmp_path):
        pass


def test_a_changed_environment_is_told(tmp_path: Path) -> None:
    with open_run(tmp_path, threads=1):
        pass
    with open_run(tmp_path, threads=2) as run:
        assert run.environment_changes == ("threads: 1 → 2",)
    run.environment.write_text("[1")
    with open_run(tmp_path, threads=3) as run:
        assert run.environment_changes == ()


def test_it_is_never_opened_twice(tmp_path: Path) -> None:
    with open_run(tmp_path), pytest.raises(LockedError, match=str(os.getpid())), open_run(tmp_path):
        pass


def test_fresh_starts_beside_what_is_there(tmp_path: Path) -> None:
    base = tmp_path / "runs" / "pretrain"
    for name in ("pretrain", "pretrain-2", "pretrain-3"):
        with open_run(base, {"name": name}, fresh=True) as run:
            assert run.root == base.with_name(name)
            with open_run(base, {"name": "at once"}, fresh=True) as second:
                assert second.root != run.root
        second.settings.unlink()
        for path in second.root.iterdir():
            path.unlink()
        second.root.rmdir()
    assert load_yaml(base / "settings.yaml", "settings") == {"name": "pretrain"}


def test_fresh_passes_over_files_and_dangling_links(tmp_path: Path) -> None:
    base = tmp_path / "run"
    assert fresh_root(base) == base
    base.symlink_to("nowhere")
    (tmp_path / "run-2").touch()
    assert fresh_root(base) == tmp_path / "run-3"


def test_the_newest_is_the_highest_number_that_has_the_file(tmp_path: Path) -> None:
    base = tmp_path / "run.v1"
    assert newest_root(base, "result.json") is None
    assert newest_root(tmp_path / "none" / "run", "result.json") is None
    for name in ("run.v1", "run.v1-2", "run.v1-10", "run.v1-x", "runxv1-20", "run.v1-030", "run.v1-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").touch()
    (tmp_path / "run.v1-11").mkdir()
    assert newest_root(base, "result.json") == tmp_path / "run.v1-10"
    assert numbered_roots(base, "result.json") == [tmp_path / name for name in ("run.v1-10", "run.v1-2", "run.v1")]
    assert numbered_roots(tmp_path / "none" / "run", "result.json") == []
    (tmp_path / "run.v1-10" / "result.json").unlink()
    assert newest_root(base, "result.json") == tmp_path / "run.v1-2"
    (tmp_path / "run.v1-2" / "result.json").unlink()
    assert newest_root(base, "result.json") == base


@pytest.mark.parametrize("fresh", [False, True])
def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught, open_run(tmp_path / "file" / "run", fresh=fresh):
        pass
    assert caught.value.exit_code == 74


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_is_a_storage_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"), open_run(tmp_path):
        pass


def test_a_strict_umask_is_respected(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with open_run(tmp_path / "run") as run:
            paths = [run.root, run.settings, run.environment, run.owner]  # the lock file is empty
            modes = {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in paths}
    finally:
        os.umask(before)
    assert modes == {0}
