"""What a workflow gives back, drawn on stdout: tables for a person, one JSON document for a machine."""

import json
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from elo_cli.cli.terminal import escape, escape_lines, has_colour, is_terminal, say

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as RichTable

    from elo_cli.workflows.events import Outcome, Table

_NUMBER = re.compile(r"[-+−]?[0-9][0-9,_.]*(e[-+]?[0-9]+)?( ?(%|±.*|[kMGT]i?B|s|min|h))?|[-–—]|nan|inf", re.IGNORECASE)


def show_outcome(outcome: "Outcome") -> None:
    """Write the tables, the files, the lines of Python and the next command."""
    from elo_cli.core.strict_yaml import dump_yaml

    blocks = [_table(table) for table in outcome.tables]
    if outcome.files:
        width = max(len(escape(what)) for what in outcome.files)
        lines = [f"  {escape(what):{width}}  {escape(path)}" for what, path in outcome.files.items()]
        blocks.append("\n".join(["Files:", *lines]))
    if outcome.python:
        blocks.append("\n".join(["In Python:", *(escape(line) for line in outcome.python.splitlines())]))
    if not blocks and outcome.result:
        blocks += ["\n".join(escape(line) for line in dump_yaml(plain(outcome.result)).splitlines())]
    if outcome.next:
        blocks.append(f"Next: {escape(outcome.next)}")
    for number, block in enumerate(blocks):
        say("\n" + block if number else block)


def show_json(value: object) -> None:
    """Write one JSON document; what JSON has no number for is null."""
    say(json.dumps(plain(value), indent=2, allow_nan=False))


def plain(value: Any) -> Any:
    """Return `value` as JSON knows it: mappings, lists, text, finite numbers, null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        return [plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if hasattr(value, "tolist"):  # an array or a number of NumPy
        return plain(value.tolist())
    raise TypeError(f"a result holds a {type(value).__name__}, which JSON does not know")


def as_renderable(table: "Table", stream: TextIO) -> "RenderableType":
    """Give a table a form that rich draws on `stream`, the title above and the note below."""
    from rich.console import Group
    from rich.text import Text

    title, note = escape(table.title), escape_lines(table.note)
    return Group(*([Text(title)] if title else ()), _boxed(*_cells(table), stream), *([Text(note)] if note else ()))


def _table(table: "Table") -> str:
    """Draw a table: with lines on a terminal, as aligned text elsewhere."""
    from rich.console import Console

    if is_terminal(sys.stdout):
        console = Console(file=sys.stdout)
        with console.capture() as capture:
            console.print(_boxed(*_cells(table), sys.stdout))
        drawn = capture.get().rstrip("\n")
    else:
        drawn = _aligned(*_cells(table))
    return "\n".join(part for part in (escape(table.title), drawn, escape_lines(table.note)) if part)


def _cells(table: "Table") -> tuple[list[str], list[list[str]], list[bool]]:
    """Return columns and rows, escaped, and which columns are aligned at the right."""
    columns = [escape(column) for column in table.columns]
    rows = [[escape(cell) for cell in row] for row in table.rows]
    # A column whose every cell is a number reads better when its ends are aligned.
    right = [bool(rows) and all(_NUMBER.fullmatch(row[place]) for row in rows) for place in range(len(columns))]
    return columns, rows, right


def _aligned(columns: list[str], rows: list[list[str]], right: list[bool]) -> str:
    from rich.cells import cell_len

    lines = [columns, *rows]
    widths = [max(cell_len(line[place]) for line in lines) for place in range(len(columns))]

    def pad(line: list[str]) -> str:
        cells = []
        for cell, width, at_right in zip(line, widths, right, strict=True):
            space = " " * (width - cell_len(cell))
            cells.append(space + cell if at_right else cell + space)
        return "  ".join(cells).rstrip()

    return "\n".join(pad(line) for line in lines)


def _boxed(columns: list[str], rows: list[list[str]], right: list[bool], stream: TextIO) -> "RichTable":
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=box.ROUNDED, header_style="bold" if has_colour(stream) else "")
    for column, at_right in zip(columns, right, strict=True):
        table.add_column(Text(column), justify="right" if at_right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
