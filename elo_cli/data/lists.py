"""Read lists of videos row by row: plain text (a path a line), CSV, and JSON lines.

CSV and JSON lines have the columns `path[,label][,start][,end][,split][,group]`; others are passed over.
Only the lists are read here: where their paths lead is `listing`'s matter.
"""

import csv
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from elo_cli.core.errors import DataError

LIST_ENDINGS = (".csv", ".jsonl", ".txt")
COLUMNS = ("path", "label", "start", "end", "split", "group")
LINE_BYTES = 2**20  # a longer line is no row of a list; without a bound a film called .txt would be read whole

_SECONDS = re.compile(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_HEADER = "path[,label][,start][,end][,split][,group]"
_JSON_HINT = 'A line looks like {"path": "a/b.mp4", "label": "walk", "start": 1.5, "end": 4, "split": "train", "group": "g1"}.'
_KINETICS_COLUMNS = {"youtube_id", "time_start", "time_end"}


class Row(NamedTuple):
    """One row of a list.

    Attributes:
        line: where it begins, from 1.
        path: as written, not empty.
        label, split, group: the columns; None where there is none, or a blank.
        start_s, end_s: seconds from the beginning of the video; finite, >= 0, the end after the start; None for blanks.
    """

    line: int
    path: str
    label: str | None = None
    split: str | None = None
    group: str | None = None
    start_s: float | None = None
    end_s: float | None = None


def read_list(source: Path, endings: frozenset[str]) -> Iterator[Row]:
    """Yield the rows of a list, in its order.

    Args:
        source: a file with one of `LIST_ENDINGS`.
        endings: of videos, lower case with the dot; only to see that a CSV lacks its header.

    Raises:
        DataError: the list is damaged; the message names the line.
        OSError: it cannot be read.
    """
    kind = source.suffix.lower()
    return _read_csv(source, endings) if kind == ".csv" else _read_jsonl(source) if kind == ".jsonl" else _read_text(source)


def _read_text(source: Path) -> Iterator[Row]:
    """Yield the lines; their bytes are names as the file system has them, UTF-8 or not."""
    with open(source, "rb") as stream:
        for number, line in _lines(stream, source):
            name = line.rstrip(b"\n").removesuffix(b"\r")
            if name.strip():
                yield Row(number, os.fsdecode(name))


def _read_csv(source: Path, endings: frozenset[str]) -> Iterator[Row]:
    with open(source, encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        end = 0
        try:
            columns = next(reader, [])
            places = _places(columns, source, endings)
            end = reader.line_num
            for values in reader:
                where, begin, end = f"{source}, line {end + 1}", end + 1, reader.line_num
                if not values:  # a blank line
                    continue
                if len(values) != len(columns):
                    raise DataError(
                        f"{where}: it has not {len(columns)} columns.",
                        hint='Put names that hold commas, quotes or line ends in "double quotes".',
                    )
                yield _row(begin, (None if place is None else values[place] for place in places), where)
        except UnicodeDecodeError as error:
            raise DataError(f"{source} is not UTF-8: {error}.", hint="Save the list as UTF-8.") from error
        except csv.Error as error:
            raise DataError(f"{source}, line {end + 1}: {error}.", hint="Mend the line.") from error


def _places(columns: list[str], source: Path, endings: frozenset[str]) -> list[int | None]:
    """Return which column of a CSV holds each of COLUMNS, None where none does."""
    if "path" not in columns:
        hint = f"The first line names the columns: {_HEADER}."
        other = next((mark for mark in ";\t|" if "path" in columns[0].split(mark)), None) if columns else None
        if other is not None:
            hint = f"Its columns are parted by {other!r}: save it with commas."
        elif any(word.lower().endswith(tuple(endings)) for column in columns for word in column.split()):
            hint = (
                "It begins with a video: the list lacks its header. Columns are parted by commas, and the first line"
                f" names them: {_HEADER}."
            )
        elif set(columns) >= _KINETICS_COLUMNS:
            hint = (
                "These are annotations as Kinetics has them: put the file into the folder of the videos, or into"
                " annotations/ in it, and give the folder."
            )
        raise DataError(f"{source} has no column 'path'; it has: {', '.join(columns) or 'nothing'}.", hint=hint)
    for column in columns:
        if column.strip() in COLUMNS and (column not in COLUMNS or columns.count(column) > 1):
            wrong = "comes twice" if column in COLUMNS else "has blanks around its name"
            raise DataError(f"{source}: the column {column!r} {wrong}.", hint=f"The first line looks like this: {_HEADER}.")
    return [columns.index(column) if column in columns else None for column in COLUMNS]


def _read_jsonl(source: Path) -> Iterator[Row]:
    with open(source, "rb") as stream:
        for number, line in _lines(stream, source):
            if line.isspace():
                continue
            where = f"{source}, line {number}"
            try:
                values = json.loads(line.decode(), object_pairs_hook=_without_doubles)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where}: it is not JSON: {error}.", hint=_JSON_HINT) from error
            if not isinstance(values, dict) or "path" not in values:
                raise DataError(f"{where}: it has no 'path'.", hint=_JSON_HINT)
            yield _row(number, map(values.get, COLUMNS), where)


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key comes twice")
    return values


def _lines(stream: BinaryIO, source: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines with their numbers from 1, without a byte order mark, and none over LINE_BYTES."""
    for number, line in enumerate(iter(lambda: stream.readline(LINE_BYTES), b""), start=1):
        if len(line) == LINE_BYTES and not line.endswith(b"\n"):
            raise DataError(f"{source}, line {number}: it is longer than {LINE_BYTES} bytes.", hint="Is this a list of videos?")
        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _row(line: int, values: Iterable[object], where: str) -> Row:
    """Check one row, its values in the order of COLUMNS."""
    path, label, start, end, split, group = values
    name = _text(path, "path", where)
    if not name:
        raise DataError(f"{where}: the path is empty.", hint="Give every row the path of a video, relative to the list.")
    start_s, end_s = _seconds(start, "start", where), _seconds(end, "end", where)
    if end_s is not None and end_s <= (start_s or 0.0):
        raise DataError(
            f"{where}: the end, {end_s:g} s, is not after the start, {start_s or 0.0:g} s.",
            hint="Both are seconds from the beginning of the video; leave them blank for the whole video.",
        )
    texts = (_text(label, "label", where), _text(split, "split", where), _text(group, "group", where))
    return Row(line, name, *texts, start_s, end_s)


def _text(value: object, column: str, where: str) -> str | None:
    """Return a value as the text of a column; class numbers are fine, lists and objects are not."""
    if value is None or isinstance(value, str):
        # Interned: two million rows share a few labels.
        return None if not value else value if column == "path" else sys.intern(value)
    if isinstance(value, int) and not isinstance(value, bool) and column != "path":
        return sys.intern(str(value))
    raise DataError(f"{where}: the {column} is {value!r}, which is not text.", hint=_JSON_HINT)


def _seconds(value: object, column: str, where: str) -> float | None:
    """Return a value as seconds, None for a blank."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    seconds = math.nan
    if isinstance(value, str) and _SECONDS.fullmatch(value.strip()):
        seconds = float(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if abs(value) <= sys.float_info.max else math.inf
    if not (math.isfinite(seconds) and seconds >= 0):
        raise DataError(
            f"{where}: the {column} is {value!r}, which is no time in seconds.",
            hint="Times are seconds from the beginning of the video, such as 12.5; a blank means its beginning or its end.",
        )
    return seconds + 0.0  # -0.0 becomes 0.0
