"""Pictures that elo wrote, told from those of others: none is ever written over something else."""

import os
from pathlib import Path

from PIL import Image, PngImagePlugin

from elo_cli.core.errors import UsageError
from elo_cli.core.files import atomic_file


def free_target(target: Path, mark: str) -> Path:
    """Return a path if nothing is there, or a picture with this mark.

    Raises:
        UsageError: something else is there, or the name is that of another kind of picture.
    """
    if target.suffix.lower() != ".png":
        raise UsageError(f"{target} is no name of a PNG, which is what {mark} writes.", hint="Let it end in .png.")
    if os.path.lexists(target) and not _is_marked(target, mark):
        raise UsageError(
            f"{target} is there already and was not made by {mark}; it is left as it is.", hint="Give another --out."
        )
    return target


def save_picture(picture: Image.Image, target: Path, mark: str) -> None:
    """Write a PNG whose own text names what made it, all of it or nothing.

    Raises:
        StorageError: it cannot be written.
    """
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", mark)
    with atomic_file(target) as stream:
        picture.save(stream, "PNG", pnginfo=text)


def _is_marked(path: Path, mark: str) -> bool:
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            return picture.info.get("Software") == mark
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # Pillow raises all of these for other files
        return False
