"""Tell whether a source file is still the one that was preprocessed."""

import os
from pathlib import Path

import xxhash

from elo_cli.core.errors import VideoError

_PIECE = 2**20  # bytes at each place


def fingerprint(path: Path) -> tuple[str, int]:
    """Return 32 hexadecimal digits that name a file's content, and its size in bytes.

    It is the xxh3_128 of the size and of the first, the middle and the last mebibyte: a file of
    gigabytes costs no more than a small one, and a file of up to three is read whole. A change that
    keeps the size and touches none of them goes unseen.

    Raises:
        VideoError: unreadable.
    """
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            digest = xxhash.xxh3_128(size.to_bytes(8, "little"))
            for place in sorted({0, max(0, min(size // 2 - _PIECE // 2, size - 2 * _PIECE)), max(0, size - _PIECE)}):
                stream.seek(place)
                digest.update(stream.read(_PIECE))
    except (OSError, ValueError) as error:
        raise VideoError("unreadable", f"{path.name!r} cannot be read: {error}") from error
    return digest.hexdigest(), size
