"""Parts of one set: made side by side, one after the other, or in different places, they are the whole."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from elo_cli.core.errors import LockedError, UsageError
from elo_cli.core.files import partial_path, this_owner
from elo_cli.core.settings import Settings
from elo_cli.data.video_set import SHARDS
from elo_cli.run.directory import RunDirectory
from elo_cli.run.lock import hold
from elo_cli.workflows import packing, preprocess
from elo_cli.workflows.packing import Part
from tests.support.commands import files, finish, hashes, start
from tests.support.packing import SETTINGS, SHARD_FILES, pack, spoil


@pytest.mark.parametrize("size", ["auto", 2])
def test_parts_unite_to_the_whole(folder: Path, tmp_path: Path, size: object) -> None:
    spoil(folder)
    whole = pack(tmp_path / "whole", folder, videos_per_shard=size)
    shares = []
    for number in (2, 3, 1):
        assert not (tmp_path / "parts" / "result.json").exists()
        shares.append(pack(tmp_path / "parts", folder, part=Part(number, 3), videos_per_shard=size))
    assert sum(share["videos"] for share in shares) == 4 and sum(share["failed"] for share in shares) == 3
    assert json.loads((tmp_path / "parts" / "result.json").read_text()) == whole
    assert hashes(tmp_path / "whole", f"{SHARDS}/*", "failures.jsonl") == hashes(
        tmp_path / "parts", f"{SHARDS}/*", "failures.jsonl"
    )
    # Parts that were done in different places are laid together.
    for number in (1, 2):
        pack(tmp_path / f"place{number}", folder, part=Part(number, 2), videos_per_shard=size)
    shutil.copytree(tmp_path / "place2" / SHARDS, tmp_path / "place1" / SHARDS, dirs_exist_ok=True)
    assert pack(tmp_path / "place1", folder, videos_per_shard=size) == whole
    assert hashes(tmp_path / "whole", f"{SHARDS}/*") == hashes(tmp_path / "place1", f"{SHARDS}/*")


def test_the_plans_of_parts_add_up(folder: Path, tmp_path: Path) -> None:
    settings = Settings.model_validate({"preprocess": SETTINGS | {"videos_per_shard": 3}})
    ask: dict[str, Any] = {"settings": settings, "source": folder, "out": tmp_path / "set", "fresh": False}
    whole, *shares = (preprocess.plan(**ask, part=part).result for part in (None, "1/3", "2/3", "3/3"))
    assert [share["videos"] for share in shares] == [3, 1, 0]
    for count in ("videos", "shards", "source_bytes", "bytes_at_most"):
        assert sum(share[count] for share in shares) == whole[count] > 0
    assert not (tmp_path / "set").exists()


def test_parts_leave_each_others_unfinished_files_alone(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    plan = [json.loads(line) for line in self_planned(root, folder).read_text().splitlines()]
    child = subprocess.Popen(["true"])
    child.wait()
    dead = this_owner().rpartition("-")[0] + f"-{child.pid}"
    leftovers = {
        (number, owner): partial_path(root / SHARDS / plan[number]["shard"], owner)
        for number in (0, 1)
        for owner in (dead, this_owner(), "another-host-1")
    }
    for path in leftovers.values():
        path.touch()
    os.utime(leftovers[0, "another-host-1"], (0, 0))
    pack(root, folder, part=Part(1, 4))
    gone = {key for key, path in leftovers.items() if not path.exists()}
    # This process's own partial file became the shard; the one of another machine was a day old.
    assert gone == {(0, dead), (0, this_owner()), (0, "another-host-1")}


def self_planned(root: Path, folder: Path) -> Path:
    """Plan a set and do a last part of it; return the plan."""
    pack(root, folder, part=Part(4, 4))
    return root / "plan.jsonl"


def test_parts_wait_while_another_plans(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "set"
    root.mkdir()
    directory = RunDirectory(root)
    monkeypatch.setattr(packing, "PLANNING_WAIT_S", 0.5)
    with hold(directory.lock, directory.owner, "elo preprocess"), pytest.raises(LockedError):
        pack(root, folder, part=Part(1, 2))
    pack(root, folder, part=Part(1, 2))


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/", "-1/4", "1/4/2", ""])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(UsageError, match="no part"):
        Part.parse(text)


def test_a_part_and_fresh_do_not_go_together(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="each part"):
        pack(tmp_path / "set", folder, part=Part(1, 2), fresh=True)


def test_parts_and_a_plain_run_may_be_at_work_at_once(folder: Path, tmp_path: Path) -> None:
    settings = " ".join(f"--set preprocess.{key}={value}" for key, value in SETTINGS.items())
    line = f"preprocess videos --out set {settings}"
    running = [start(f"{line}{more}", tmp_path) for more in ("", " --part 1/2", " --part 2/2", " --part 1/3")]
    codes = [finish(process)[0] for process in running]
    assert set(codes) <= {0, 4}  # a plain run does not wait for another one to sum up
    assert finish(start(line, tmp_path))[0] == 0
    pack(tmp_path / "whole", folder)
    assert hashes(tmp_path / "set", SHARD_FILES) == hashes(tmp_path / "whole", SHARD_FILES)
    assert not [name for name in files(tmp_path / "set") if name.endswith(".part")]
