"""Which videos a source holds: a directory, a list file (CSV or JSON lines), or one video.

A list has the columns `path[,label][,split][,group]`, others are passed over; its paths are relative
to the list's own folder and never lead out of it.
"""

import csv
import itertools
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from elo_cli.core.errors import DataError
from elo_cli.core.files import PART

VIDEO_ENDINGS = frozenset(
    ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .mts .m2ts .ts .3gp .wmv .flv .ogv .gif".split()  # noqa: SIM905
)
LIST_ENDINGS = (".csv", ".jsonl")
COLUMNS = ("path", "label", "split", "group")


@dataclass(frozen=True)
class ListedVideo:
    """One video of a source.

    Attributes:
        path: where it is, absolute.
        id: its path relative to the source (to the list's folder), with `/`, fit for UTF-8: bytes of a
            file name that are no UTF-8 are written out as `\\xNN`.
        label: its class: the name of the folder that holds it, or the list's column; None without one.
        split: the list's column, None without one.
        group: what it was cut from, by the list's column; None without one.
    """

    path: Path
    id: str
    label: str | None = None
    split: str | None = None
    group: str | None = None


def list_videos(source: Path, endings: frozenset[str] = VIDEO_ENDINGS, *, allow_missing: bool = False) -> list[ListedVideo]:
    """List the videos of a source, sorted by id.

    In a directory these are the regular files with one of `endings` (in any case), at any depth.
    Hidden names and files that are still being written (`.part`) are passed over. Links are
    followed, but no directory is entered twice. A list names its files whatever their ending.

    Args:
        source: a directory, a `.csv` or `.jsonl` list, or one video.
        endings: of videos, lower case with the dot.
        allow_missing: keep the rows of a list whose file does not exist, instead of refusing the list.

    Raises:
        DataError: the source does not exist, cannot be read, or holds no video; or a list is damaged,
            names a file twice, or names what is not a file inside its folder.
    """
    source = source.absolute()
    try:
        mode = source.stat().st_mode
        if stat.S_ISDIR(mode):
            videos = list(_walk(source, endings))
        elif not stat.S_ISREG(mode):
            raise DataError(f"{source} is neither a folder nor a file.", hint="Give a folder of videos or a list of them.")
        elif source.suffix.lower() in LIST_ENDINGS:
            videos = list(_read_list(source, allow_missing))
        elif source.suffix.lower() in endings:
            videos = [ListedVideo(source, _readable(source.name))]
        else:
            raise DataError(
                f"{source} is neither a video nor a list of videos.", hint=f"Lists end in {' or '.join(LIST_ENDINGS)}."
            )
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise DataError(f"{source} cannot be read: {reason}.", hint="Check the path and its permissions.") from error
    if not videos:
        raise DataError(f"There is no video in {source}.", hint=f"Videos end in {', '.join(sorted(endings))}.")
    return _sorted(source, videos)


def _sorted(source: Path, videos: list[ListedVideo]) -> list[ListedVideo]:
    """Sort by id, and refuse two videos of one id."""
    videos = sorted(videos, key=lambda video: video.id)
    for one, other in itertools.pairwise(videos):
        if one.id == other.id:
            raise DataError(f"Two videos of {source} are both called '{one.id}'.", hint="Rename one of them.")
    return videos


def _walk(root: Path, endings: frozenset[str]) -> Iterator[ListedVideo]:
    """Yield the videos under a directory.

    Real directories come before linked ones, so that a directory that can be reached in both ways
    is listed under its own name, and links that lead back end there.
    """
    entered: set[tuple[int, int]] = set()
    real, linked = [str(root)], list[str]()
    while real or linked:
        folder = real.pop() if real else linked.pop(0)
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith(".") or entry.name.endswith(PART):
                    continue
                if _is_directory(entry):
                    (linked if entry.is_symlink() else real).append(entry.path)
                elif os.path.splitext(entry.name)[1].lower() in endings and _is_file(entry):
                    path = Path(entry.path)
                    label = None if path.parent == root else _readable(path.parent.name)
                    yield ListedVideo(path, _readable(path.relative_to(root).as_posix()), label)


def _is_directory(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _readable(name: str) -> str:
    """Return a name that UTF-8 can hold; of a name that it can hold already, the name itself."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class _Row(NamedTuple):
    """One line of a list."""

    line: int
    values: dict[str, str | None]


def _read_list(source: Path, allow_missing: bool) -> Iterator[ListedVideo]:
    """Yield the videos that a list names, in its order."""
    rows = _read_csv(source) if source.suffix.lower() == ".csv" else _read_jsonl(source)
    seen: dict[Path, int] = {}
    for row in rows:
        where = f"{source}, line {row.line}"
        name = row.values["path"]
        if not name:
            raise DataError(f"{where}: the path is empty.", hint="Give every row the path of a video, relative to the list.")
        path = _inside(source.parent, name, where)
        if path in seen:
            raise DataError(f"{where}: '{name}' was listed on line {seen[path]} already.", hint="Name every video once.")
        seen[path] = row.line
        try:
            regular = stat.S_ISREG(os.stat(path).st_mode)
        except (FileNotFoundError, NotADirectoryError) as error:
            if not allow_missing:
                hint = "Paths are relative to the list's own folder. Mend or remove the row."
                raise DataError(f"{where}: there is no file {path}.", hint=hint) from error
            regular = True
        except (OSError, ValueError) as error:  # a name of 300 characters, a NUL, a lone surrogate
            raise DataError(f"{where}: {name!r} cannot be a file: {error}.", hint="Mend or remove the row.") from error
        if not regular:
            raise DataError(f"{where}: '{name}' is not a file.", hint="A list names video files, not folders.")
        label, split, group = (row.values.get(column) or None for column in COLUMNS[1:])
        yield ListedVideo(path, _readable(path.relative_to(source.parent).as_posix()), label, split, group)


def _inside(folder: Path, name: str, where: str) -> Path:
    """Return the absolute path that a list's row names, with `..` taken out."""
    path = Path(os.path.normpath(folder / name))
    if folder not in path.parents:
        raise DataError(
            f"{where}: '{name}' leads out of the list's folder, {folder}.",
            hint="Put the list above its videos, or link them into its folder, and write paths relative to it.",
        )
    return path


def _read_csv(source: Path) -> Iterator[_Row]:
    with open(source, encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            columns = reader.fieldnames or []
            if "path" not in columns:
                raise DataError(
                    f"{source} has no column 'path'; it has: {', '.join(columns) or 'nothing'}.",
                    hint="The first line names the columns: path[,label][,split][,group].",
                )
            for values in reader:
                if None in values or None in values.values():
                    raise DataError(
                        f"{source}, line {reader.line_num}: it has not {len(columns)} columns.",
                        hint='Put names that hold commas, quotes or line ends in "double quotes".',
                    )
                yield _Row(reader.line_num, {column: values.get(column) for column in COLUMNS})
        except UnicodeDecodeError as error:
            raise DataError(f"{source} is not UTF-8: {error}.", hint="Save the list as UTF-8.") from error
        except csv.Error as error:
            raise DataError(f"{source}, line {reader.line_num}: {error}.", hint="Mend the line.") from error


def _read_jsonl(source: Path) -> Iterator[_Row]:
    with open(source, "rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            where = f"{source}, line {number}"
            hint = 'A line looks like {"path": "a/b.mp4", "label": "walk", "split": "train", "group": "g1"}.'
            try:
                values = json.loads(line.decode("utf-8-sig"))
            except (ValueError, RecursionError) as error:
                raise DataError(f"{where}: it is not JSON: {error}.", hint=hint) from error
            if not isinstance(values, dict) or "path" not in values:
                raise DataError(f"{where}: it has no 'path'.", hint=hint)
            yield _Row(number, {column: _text(values.get(column), column, where, hint) for column in COLUMNS})


def _text(value: object, column: str, where: str, hint: str) -> str | None:
    """Return a JSON value as the text of a column; class numbers are fine, lists and objects are not."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and column != "path":
        return str(value)
    raise DataError(f"{where}: the {column} is {value!r}, which is not text.", hint=hint)
