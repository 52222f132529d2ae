"""What lies beside a shard: the failures of its videos."""

from pathlib import Path

import pytest

from elo_cli.core.errors import DataError, StorageError
from elo_cli.data.records import VideoFailure, failures_path, read_failures, write_failures

FAILURES = [
    VideoFailure("a.mp4", "decode", "timeout", "it hung"),
    VideoFailure("ü/\udcff.avi", "open", "not-a-video", "Invalid data\nfound"),
]


def test_failures_come_back_and_are_beside_the_shard(tmp_path: Path) -> None:
    shard = tmp_path / "shard-1.2.safetensors"
    assert read_failures(shard) == []
    write_failures(shard, FAILURES)
    assert read_failures(shard) == FAILURES
    assert [path.name for path in tmp_path.iterdir()] == [failures_path(shard).name] == ["shard-1.2.failures.json"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"failures": [{"video": "a"}]}', '{"failures": 3}', "[" * 100_000, "\udcff"]
)
def test_damage_is_named(tmp_path: Path, content: str) -> None:
    shard = tmp_path / "s.safetensors"
    failures_path(shard).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"s\.failures\.json is not a readable list") as caught:
        read_failures(shard)
    assert "elo preprocess" in caught.value.hint


def test_the_vocabulary_is_closed() -> None:
    for stage, reason in (("cooking", "timeout"), ("open", "bad luck")):
        with pytest.raises(ValueError, match="vocabulary"):
            VideoFailure("a", stage, reason, "")


def test_no_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        write_failures(tmp_path / "nowhere" / "s.safetensors", FAILURES)
