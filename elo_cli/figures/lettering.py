"""Text in pictures: one font, whatever characters come, never wider than there is room."""

import functools
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

ELLIPSIS = "…"


@functools.lru_cache(maxsize=16)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which matplotlib brings, so that pictures look the same everywhere; `size` in pixels."""
    return ImageFont.truetype(str(_file(bold=bold)), size)


def printable(text: str) -> list[str]:
    r"""Split a text into what is drawn for each character.

    A character that the font lacks, or that cannot be seen, is written out: `\n`, `\x07`, `\u4e2d`. A byte
    of a file name that is not UTF-8, as Python decodes it, is written `\xff`.
    """
    return [character if _drawable(character) else _written_out(character) for character in text]


def fitted(text: str, width: float, letters: ImageFont.FreeTypeFont) -> str:
    """Return a text as it can be drawn in `width` pixels; of one that is too long the middle is left out."""
    parts = printable(text)
    if letters.getlength("".join(parts)) <= width:
        return "".join(parts)
    low, high = 0, len(parts)  # of so many parts the first fits, the second does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if letters.getlength(_shortened(parts, middle)) <= width else (low, middle)
    return _shortened(parts, low)


def _shortened(parts: Sequence[str], count: int) -> str:
    """Keep `count` parts: the end a little rather than the beginning, for it tells file names apart."""
    begin = count // 2
    return "".join([*parts[:begin], ELLIPSIS, *parts[len(parts) - (count - begin) :]])


def _file(*, bold: bool) -> Path:
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"


@functools.lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """The characters that both weights of the font have."""
    plain, bold = (FT2Font(str(_file(bold=weight))).get_charmap() for weight in (False, True))
    return frozenset(plain) & frozenset(bold)


def _drawable(character: str) -> bool:
    return character.isprintable() and ord(character) in _glyphs()


def _written_out(character: str) -> str:
    number = ord(character)
    if character in "\n\t\r":
        return {"\n": r"\n", "\t": r"\t", "\r": r"\r"}[character]
    if 0xDC80 <= number <= 0xDCFF:
        number -= 0xDC00
    for most, form in ((0xFF, "x{:02x}"), (0xFFFF, "u{:04x}")):
        if number <= most:
            return "\\" + form.format(number)
    return f"\\U{number:08x}"
