"""The header of a shard: it says which file is none, and lets nobody read what lies elsewhere."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from safetensors.numpy import save

from elo_cli.core.errors import DataError, UsageError
from elo_cli.data import header
from elo_cli.data.shard import Shard


@pytest.mark.parametrize("schema", [1, 3])
def test_another_schema_is_said(tmp_path: Path, schema: int) -> None:
    path = tmp_path / "s.safetensors"
    elo = json.dumps({"schema": 1, "segments": [], "failures": []})
    metadata = {"elo": elo} if schema == 1 else {"schema": "3", "form": "new"}
    path.write_bytes(save({"empty": np.zeros(1, np.uint8)}, metadata))
    with pytest.raises(DataError, match=f"schema version {schema}; this elo reads 2") as caught:
        Shard(path)
    assert "again" in caught.value.hint


@pytest.mark.parametrize("elo", ["[]", "null", '"text"', "{}", "{", "[" * 100_000])
def test_another_safetensors_file_is_no_shard(tmp_path: Path, elo: str) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(save({"empty": np.zeros(1, np.uint8)}, {"elo": elo}))
    with pytest.raises(DataError, match=r"other\.safetensors is not a readable shard"):
        Shard(path)


PARTS: dict[str, Any] = {"settings": {}, "videos": {}, "segments": [], "digests": {}}


@pytest.mark.parametrize(
    "description",
    [
        [],
        {**PARTS, "segments": [{"video": "a"}]},
        {**PARTS, "segments": [3]},
        {**PARTS, "segments": None},
        {**PARTS, "videos": {"a": {"label": "b"}}},
        {**PARTS, "videos": ["a"]},
        {key: value for key, value in PARTS.items() if key != "digests"},
    ],
)
def test_metadata_of_another_form_are_named(tmp_path: Path, description: Any) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(header.build(description, {}))
    with pytest.raises(DataError, match=r"odd\.safetensors is not a readable shard: its metadata"):
        _ = Shard(path).videos, Shard(path).segments


def forged(path: Path, entry: dict[str, Any], size: int = 100) -> None:
    """Write a header that vouches for itself, with an entry that is not true."""
    content = header.build(PARTS, {"0.rgb": header.Tensor(np.dtype("u1"), (size, 1, 1, 1), "0f")})
    true = json.dumps({"dtype": "U8", "shape": [size, 1, 1, 1], "data_offsets": [0, size]}, separators=(",", ":"))
    text = content[8:].decode().rstrip().replace(true, json.dumps(entry, separators=(",", ":")))
    blank = header._HEAD.match(text.encode())
    assert blank is not None
    digits = blank[2].decode()
    text = text.replace(digits, "0" * 32)
    text = text.replace("0" * 32, xxhash.xxh3_128_hexdigest(text.encode()), 1)
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode() + bytes(size))


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [200, 1, 1, 1]},
        {"shape": [100, 0, 1, 1]},
        {"shape": [-100, -1, 1, 1]},
        {"shape": [2**62, 4, 1, 1]},
        {"shape": "many"},
        {"dtype": "F64"},
        {"dtype": ["U8"]},
        {"data_offsets": [0, 101], "shape": [101, 1, 1, 1]},
        {"data_offsets": [-100, 0]},
        {"data_offsets": [100, 200]},
        {"data_offsets": [50]},
        {"data_offsets": None},
    ],
)
def test_a_forged_entry_reads_nothing_from_elsewhere(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "forged.safetensors"
    entry = {"dtype": "U8", "shape": [100, 1, 1, 1], "data_offsets": [0, 100]}
    forged(path, entry)
    assert np.array_equal(Shard(path).read(0, "rgb", 0, 100), np.zeros((100, 1, 1, 1)))
    forged(path, entry | change)
    with pytest.raises(DataError, match=r"forged\.safetensors is not a readable shard: 0\.rgb"):
        Shard(path).read(0, "rgb", 0, 1)


def test_a_header_may_promise_any_length(tmp_path: Path) -> None:
    path = tmp_path / "long.safetensors"
    path.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(DataError, match="it has 10 bytes, too few"):
        Shard(path)


def test_more_than_a_header_can_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {f"{index}.rgb": header.Tensor(np.dtype("u1"), (1, 1, 1, 3), "0f") for index in range(20)}
    assert len(header.build(PARTS, tensors)) > 1000
    monkeypatch.setattr(header, "_LARGEST", 1000)
    with pytest.raises(UsageError, match="A shard of 20 tensors") as caught:
        header.build(PARTS, tensors)
    assert "videos_per_shard" in caught.value.hint


def test_a_name_inside_the_metadata_is_not_taken_for_a_tensor(tmp_path: Path) -> None:
    odd = '{"0.rgb":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    content = header.build(
        {**PARTS, "videos": {odd: odd, '"0.flow":{': "x"}}, {"0.rgb": header.Tensor(np.dtype("u1"), (2, 3), "0f")}
    )
    read = header.Header(content, len(content) + 6, tmp_path)
    stored = header.Stored(np.dtype("u1"), (2, 3), len(content), 6)
    assert read.tensor("0.rgb") == stored
    assert read.tensor("0.flow") is None and read.checksums() == {"0.rgb": (stored, "0f")}
    assert odd in read.description()["videos"]
