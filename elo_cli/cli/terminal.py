"""What can be shown where: terminals, colours, encodings, and text that comes from outside."""

import contextlib
import os
import re
import sys
from typing import TextIO

_COLOURS = {"red": "31", "yellow": "33", "bold": "1"}
# C0 and C1 controls, DEL, lone surrogates, line separators, and marks that turn the direction of text.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person looks at `stream` through something that can move a cursor."""
    with contextlib.suppress(ValueError):  # a closed stream
        return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
    return False


def has_colour(stream: TextIO) -> bool:
    """Return whether `stream` is such a terminal and colour was not asked away (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str, stream: TextIO) -> str:
    """Colour `text` where `stream` shows colours."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if has_colour(stream) else text


def escape(text: object) -> str:
    r"""Return `text` on one line, with whatever could steer a terminal written out, such as `\n` and `\x1b`."""
    return _UNSAFE.sub(_written_out, str(text))


def escape_lines(text: object) -> str:
    """Escape `text` but keep its line breaks; later lines are indented, so that none of them looks like the first."""
    first, *rest = str(text).split("\n")
    return "\n".join([escape(first), *(escape(line if line.startswith(" ") else f"  {line}") for line in rest)])


def _written_out(match: re.Match[str]) -> str:
    number = ord(match[0])
    if match[0] in "\n\t\r":
        return {"\n": r"\n", "\t": r"\t", "\r": r"\r"}[match[0]]
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a file name that is not UTF-8
        number -= 0xDC00
    return rf"\x{number:02x}" if number < 0x100 else rf"\u{number:04x}"


def say(text: str = "") -> None:
    """Write a line of result to stdout."""
    sys.stdout.write(text + "\n")


def complain(text: str) -> None:
    """Write a line to stderr; if nobody reads it any more, that stops nothing."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def forgive_encodings() -> None:
    """Let stdout and stderr write out what their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def silence_stdout() -> None:
    """Send what stdout still holds nowhere, so that Python does not fail over it again at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
