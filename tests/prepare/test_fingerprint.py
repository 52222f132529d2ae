"""A fingerprint tells files apart without reading all of a large one."""

from pathlib import Path

import pytest
import xxhash

from elo_cli.core.errors import VideoError
from elo_cli.prepare.fingerprint import fingerprint


@pytest.mark.parametrize("size", [0, 1, 1000, 2**20, 3 * 2**20, 3 * 2**20 + 1, 9 * 2**20])
def test_any_size(tmp_path: Path, size: int) -> None:
    content = bytes(index * 7 % 251 for index in range(1000)) * (size // 1000 + 1)
    path = tmp_path / "a"
    path.write_bytes(content[:size])
    mark, counted = fingerprint(path)
    assert counted == size and len(mark) == 32
    if size <= 3 * 2**20:  # read whole, once
        for place in {0, size // 2, size - 1} if size else ():
            changed = bytearray(content[:size])
            changed[place] ^= 1
            path.write_bytes(changed)
            assert fingerprint(path)[0] != mark
    if size == 1000:
        assert mark == xxhash.xxh3_128(size.to_bytes(8, "little") + content[:size]).hexdigest()


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="cannot be read"):
        fingerprint(tmp_path / "missing")
