"""Files that are written past the page cache hold what was written, on any file system."""

import contextlib
import errno
import os
from pathlib import Path

import pytest

from elo_cli.core import direct
from elo_cli.core.direct import DirectFile

STAGE = 4 * 2**20
SIZES = [0, 1, 511, 4095, 4096, 4097, 100_000, STAGE - 1, STAGE, STAGE + 1, 2 * STAGE + 4096 + 7]


def content(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("folder", ["here", "/dev/shm"])
def test_what_was_written_is_there(tmp_path: Path, size: int, folder: str) -> None:
    if folder != "here" and not os.access(folder, os.W_OK):
        pytest.skip(f"{folder} cannot be written")
    path = tmp_path / "a" if folder == "here" else Path(folder) / f"elo-test-{os.getpid()}"
    path.write_bytes(b"something longer before" * 1000)
    whole = content(size)
    try:
        for pieces in ([size], [1, 7, 4096, size]):
            with DirectFile(path) as file:
                at = 0
                for piece in pieces:
                    file.write(memoryview(whole)[at : at + piece])
                    at += piece
                file.writelines([whole[at:]])
            assert path.read_bytes() == whole
    finally:
        path.unlink()


def test_a_file_system_that_refuses_is_written_through_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, written = os.open, os.write

    def refuse(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no direct writing here")
        return opened(path, flags, mode)

    monkeypatch.setattr(direct.os, "open", refuse)
    with DirectFile(tmp_path / "a") as file:
        file.write(content(100_000))
    assert (tmp_path / "a").read_bytes() == content(100_000)
    monkeypatch.setattr(direct.os, "open", opened)
    refusals: list[int] = []

    def refuse_once(descriptor: int, part: memoryview) -> int:
        if not refusals:
            refusals.append(len(part))
            raise OSError(errno.EINVAL, "opened, and no more")
        return written(descriptor, part[:4096])  # and then little by little

    monkeypatch.setattr(direct.os, "write", refuse_once)
    with DirectFile(tmp_path / "b") as file:
        file.write(content(100_000))
    assert refusals and (tmp_path / "b").read_bytes() == content(100_000)


def test_a_full_disk_is_told_and_an_error_writes_no_more(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if full.exists():
        with pytest.raises(OSError, match="No space left"), DirectFile(full) as file:
            file.write(content(2 * STAGE))
    with contextlib.suppress(KeyError), DirectFile(tmp_path / "a") as file:
        file.write(content(STAGE + 5))
        raise KeyError
    assert (tmp_path / "a").stat().st_size <= STAGE
