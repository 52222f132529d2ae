"""A preprocessed set: what its shards are called and hold, failures, and going on."""

import json
from pathlib import Path
from typing import Any

import pytest

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.settings import PreprocessSettings
from elo_cli.data.video_set import SHARDS, VideoSet
from elo_cli.workflows.events import Unwatched
from elo_cli.workflows.packing import shard_size
from tests.support.commands import elo, files, finish, hashes, start, write_film
from tests.support.packing import SETTINGS, SHARD_FILES, pack, spoil


def test_good_videos_do_not_notice_bad_ones(folder: Path, tmp_path: Path) -> None:
    pack(tmp_path / "good", folder)
    spoil(folder)
    result = pack(tmp_path / "mixed", folder, workers=2)
    assert (result["videos"], result["failed"]) == (4, 3)
    assert result["failures"] == {"empty-file": 1, "not-a-video": 2}
    assert hashes(tmp_path / "good", SHARD_FILES) == hashes(tmp_path / "mixed", SHARD_FILES)
    assert VideoSet(tmp_path / "good").fingerprint == VideoSet(tmp_path / "mixed").fingerprint


def test_failures_are_told_in_full(folder: Path, tmp_path: Path) -> None:
    spoil(folder)
    pack(tmp_path / "set", folder)
    lines = [json.loads(line) for line in (tmp_path / "set" / "failures.jsonl").read_text().splitlines()]
    assert [line["video"] for line in lines] == ["000.mp4", "01b.mp4", "zz.avi"]
    assert [line["reason"] for line in lines] == ["not-a-video", "empty-file", "not-a-video"]
    for line in lines:
        assert line.keys() == {"path", "video", "stage", "reason", "message", "check"}
        assert line["path"] == str(folder / line["video"]) and line["stage"] == "open" and line["video"] in line["message"]


def test_shards_may_hold_many(folder: Path, tmp_path: Path) -> None:
    pack(tmp_path / "one", folder)
    pack(tmp_path / "three", folder, videos_per_shard=3)
    assert [len(hashes(tmp_path / name, SHARD_FILES)) for name in ("one", "three")] == [4, 2]
    assert VideoSet(tmp_path / "one").fingerprint == VideoSet(tmp_path / "three").fingerprint
    settings = PreprocessSettings.model_validate(SETTINGS)
    assert [shard_size(settings, videos) for videos in (1, 9_999, 10_000, 2_000_000)] == [1, 1, 64, 64]


def test_videos_that_come_later_are_taken_up(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    pack(root, folder)
    before = hashes(root, SHARD_FILES)
    write_film(folder / "00-first.mp4", "orbit", 9)
    assert pack(root, folder)["videos"] == 5
    after = hashes(root, SHARD_FILES)
    assert len(after) == 5 and before.items() <= after.items()


def test_a_mended_video_is_tried_again_when_asked(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    good = sorted(folder.iterdir())[2]
    content = good.read_bytes()
    good.write_bytes(content[:100])
    for _ in range(2):
        result = pack(root, folder, videos_per_shard=2)
        assert (result["videos"], result["failed"]) == (3, 1)
    good.write_bytes(content)
    assert pack(root, folder, videos_per_shard=2)["failed"] == 1
    assert pack(root, folder, videos_per_shard=2, retry=True)["failed"] == 0
    pack(tmp_path / "whole", folder, videos_per_shard=2)
    assert hashes(root, f"{SHARDS}/*", "failures.jsonl") == hashes(tmp_path / "whole", f"{SHARDS}/*", "failures.jsonl")


@pytest.mark.parametrize("changes", [{"on_error": "stop"}, {"max_failures": 0}, {"max_failures": 2}])
def test_too_many_failures_stop_the_run(folder: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    spoil(folder)
    allowed = changes.get("max_failures", 0)
    for _ in range(2):  # the second time they are known
        with pytest.raises(DataError, match=f"{allowed + 1} videos? cannot be used, and {allowed} may fail") as caught:
            pack(tmp_path / "set", folder, **changes)
        assert "not-a-video" in caught.value.message and "--retry-failed" in caught.value.hint
    assert pack(tmp_path / "set", folder, max_failures=3)["videos"] == 4


def test_a_worker_that_dies_costs_one_video_and_is_tried_twice(folder: Path, tmp_path: Path) -> None:
    victim = sorted(folder.iterdir())[1].name
    settings = " ".join(f"--set preprocess.{key}={value}" for key, value in (SETTINGS | {"videos_per_shard": 2}).items())
    code, said, complained = finish(
        start(f"preprocess videos --out set --json {settings}", tmp_path, die_at=f"open:{victim}:1:SEGV:alone")
    )
    assert code == 0, complained
    assert json.loads(said)["failures"] == {"crash": 1} and json.loads(said)["videos"] == 3
    (line,) = [json.loads(line) for line in (tmp_path / "set" / "failures.jsonl").read_text().splitlines()]
    assert (line["video"], line["stage"], line["reason"]) == (victim, "open", "crash") and "SIGSEGV" in line["message"]
    # What took the worker down is gone: asked again, everything is there.
    line_again = f"preprocess videos --out set --retry-failed {settings}"
    code, _, complained = finish(start(line_again, tmp_path))
    assert code == 0, complained
    pack(tmp_path / "whole", folder, videos_per_shard=2)
    assert hashes(tmp_path / "set", SHARD_FILES) == hashes(tmp_path / "whole", SHARD_FILES)


def test_a_worker_that_dies_once_costs_nothing(folder: Path, tmp_path: Path) -> None:
    """The second worker reads the plan's film as its first one, and the count of the first is beyond it."""
    settings = " ".join(f"--set preprocess.{key}={value}" for key, value in SETTINGS.items())
    # Every worker dies at its third video, so each video but the first two of a worker takes a second worker.
    code, said, complained = finish(
        start(f"preprocess videos --out set --json {settings}", tmp_path, die_at="open:.safetensors.part:3:KILL:alone")
    )
    assert code == 0, complained
    assert json.loads(said)["failed"] == 0 and json.loads(said)["videos"] == 4
    pack(tmp_path / "whole", folder)
    assert hashes(tmp_path / "set", SHARD_FILES) == hashes(tmp_path / "whole", SHARD_FILES)


def test_the_command_line_knows_all_of_it(folder: Path, tmp_path: Path) -> None:
    spoil(folder)
    (tmp_path / "elo.yaml").write_text("preprocess: " + json.dumps(SETTINGS))
    shown = elo("preprocess videos --on-error stop", tmp_path)
    assert shown.exit_code == 3 and "may fail" in shown.stderr and "--on-error skip" in shown.stderr
    shown = elo("preprocess videos --max-failures 3 --part 1/1", tmp_path)
    assert shown.exit_code == 0 and "elo evolve" not in shown.stdout
    assert elo("preprocess videos --max-failures 3", tmp_path).exit_code == 0
    shown = elo("preprocess videos --engine nothing", tmp_path)
    assert shown.exit_code == 2 and "local" in shown.stderr
    assert elo("preprocess", tmp_path).exit_code == 2
    (tmp_path / "lists").mkdir()
    names = [path.name for path in folder.glob("02-*.mp4")]
    (tmp_path / "lists" / "some.csv").write_text("path,label,start,end\n" + "".join(f"{name},walk,0.2,1.4\n" for name in names))
    shown = elo("preprocess lists/some.csv --root videos --out part", tmp_path)
    assert shown.exit_code == 0, shown.stderr
    (video,) = VideoSet(tmp_path / "part").videos
    assert (video.id, video.label) == (f"{names[0]}#t=0.2,1.4", "walk")


def test_a_kill_during_planning_or_packing_leaves_no_trace(folder: Path, tmp_path: Path) -> None:
    settings = " ".join(f"--set preprocess.{key}={value}" for key, value in SETTINGS.items())
    line = f"preprocess videos --out set {settings}"
    for moment in ("open:plan.jsonl:1", "os.rename:.safetensors:2", "os.rename:result.json:1"):
        assert finish(start(line, tmp_path, die_at=moment))[0] == -9
    assert finish(start(line, tmp_path))[0] == 0
    pack(tmp_path / "whole", folder)
    kept = (SHARD_FILES, "failures.jsonl", "plan.jsonl", "result.json")
    assert hashes(tmp_path / "set", *kept) == hashes(tmp_path / "whole", *kept)
    assert not [name for name in files(tmp_path / "set") if name.endswith(".part")]


@pytest.mark.parametrize("size", [1, 2])
def test_a_video_that_is_gone_is_no_failure(folder: Path, tmp_path: Path, size: int) -> None:
    spoil(folder)
    with pytest.raises(DataError):
        pack(tmp_path / "set", folder, on_error="stop", videos_per_shard=size)
    for name in ("000.mp4", "01b.mp4", "zz.avi"):
        (folder / name).unlink()
    result = pack(tmp_path / "set", folder, on_error="stop", retry=True, videos_per_shard=size)
    assert (result["videos"], result["failed"]) == (4, 0)


def test_a_list_that_says_something_else_is_refused(folder: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    listed = folder / "list.csv"
    listed.write_text("path,label\n" + "".join(f"{name},one\n" for name in names))
    pack(tmp_path / "set", listed)
    listed.write_text("path,label\n" + "".join(f"{name},two\n" for name in names))
    with pytest.raises(UsageError, match=f"{names[0]} was planned as label one, and is listed as label two now"):
        pack(tmp_path / "set", listed)


def test_failures_count_once(folder: Path, tmp_path: Path) -> None:
    spoil(folder)
    pack(tmp_path / "set", folder, videos_per_shard=9)
    (shard,) = (tmp_path / "set").glob(SHARD_FILES)
    shard.unlink()
    (tmp_path / "set" / "failures.jsonl").write_text("someone has been here")
    assert pack(tmp_path / "set", folder, videos_per_shard=9, max_failures=3)["failed"] == 3
    assert len((tmp_path / "set" / "failures.jsonl").read_text().splitlines()) == 3


def test_a_source_that_changed_is_told(folder: Path, tmp_path: Path) -> None:
    said: list[str] = []

    class Notes(Unwatched):
        def warn(self, message: str) -> None:
            said.append(message)

    pack(tmp_path / "set", folder, Notes())
    assert not said
    path = sorted(folder.iterdir())[0]
    path.write_bytes(path.read_bytes() + b"more")
    pack(tmp_path / "set", folder, Notes())
    assert "1 source files are not as large" in said[0]
