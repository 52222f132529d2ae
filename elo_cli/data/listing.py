"""Which videos a source holds: a directory, a list of videos, or one video.

A list's paths are relative to the list's own folder, or to a given root, and never lead out of it.
"""

import itertools
import os
import stat
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.files import PART
from elo_cli.data.layouts import ARCHIVES, JUNK, Annotations, Folder, read_annotations
from elo_cli.data.lists import LIST_ENDINGS, read_list

VIDEO_ENDINGS = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
        ".mpg",
        ".mpeg",
        ".mpe",
        ".m2v",
        ".vob",
        ".mts",
        ".m2ts",
        ".ts",
        ".3gp",
        ".3g2",
        ".wmv",
        ".asf",
        ".flv",
        ".f4v",
        ".ogv",
        ".ogm",
        ".mxf",
        ".ivf",
        ".divx",
        ".gif",
    ]
)


@dataclass(frozen=True, slots=True)
class ListedVideo:
    """One video of a source, or a stretch of one.

    Attributes:
        file: where it is, absolute; text, because a `Path` for each of two million videos takes twice the memory.
        id: its path relative to the source (of a list: to its folder or root), with `/`, fit for UTF-8: bytes of a
            file name that are no UTF-8 are written out as `\\xNN`. Of a stretch, `#t=START,END` follows, in
            seconds, as in W3C's Media Fragments.
        label: its class: what the set's annotations say, or the name of the folder that holds it, or the
            list's column; None without one.
        split: by the annotations or the list's column; None without one.
        group: what it was cut from, by its name in UCF101 or by the list's column; None without one.
        start_s: where the stretch begins, in seconds from the beginning of the video, >= 0; None: its beginning.
        end_s: where it ends, in the same seconds, after the start; None: its end.
    """

    file: str
    id: str
    label: str | None = None
    split: str | None = None
    group: str | None = None
    start_s: float | None = None
    end_s: float | None = None

    @property
    def path(self) -> Path:
        """Where it is, absolute."""
        return Path(self.file)


def list_videos(
    source: Path, endings: frozenset[str] = VIDEO_ENDINGS, *, root: Path | None = None, allow_missing: bool = False
) -> list[ListedVideo]:
    """List the videos of a source, sorted by id.

    In a directory these are the regular files with one of `endings` (in any case), at any depth.
    Hidden names and files that are still being written (`.part`) are passed over. Links are
    followed, but no directory is entered twice. A list names its files whatever their ending.

    Args:
        source: a directory, a list (`.csv`, `.jsonl`, or `.txt` with one path a line), or one video.
        endings: of videos, lower case with the dot.
        root: the directory that a list's paths are relative to; None: the list's own.
        allow_missing: keep the rows of a list whose file does not exist, instead of refusing the list.

    Raises:
        DataError: the source does not exist, cannot be read, or holds no video; or a list is damaged,
            names a file twice with the same times, or names what is not a file inside its folder.
        UsageError: there is a root, but the source is no list.
    """
    source = source.absolute()
    archives: list[str] = []
    try:
        mode = source.stat().st_mode
        if root is not None and not (stat.S_ISREG(mode) and source.suffix.lower() in LIST_ENDINGS):
            raise UsageError(f"{source} is no list of videos: a root has no meaning for it.", hint="Leave the root out.")
        if stat.S_ISDIR(mode):
            videos = list(_walk(str(source), endings, archives))
        elif not stat.S_ISREG(mode):
            raise DataError(f"{source} is neither a folder nor a file.", hint="Give a folder of videos or a list of them.")
        elif source.suffix.lower() in LIST_ENDINGS:
            videos = _listed(source, source.parent if root is None else root.absolute(), endings, allow_missing)
        elif source.suffix.lower() in endings:
            videos = [ListedVideo(str(source), _readable(source.name))]
        else:
            raise DataError(f"{source} is neither a video nor a list of videos.", hint=f"Lists end in {', '.join(LIST_ENDINGS)}.")
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        place = getattr(error, "filename", None) or source
        raise DataError(f"{place} cannot be read: {reason}.", hint="Check the path and its permissions.") from error
    if not videos:
        raise DataError(f"There is no video in {source}.", hint=_mend_empty(source, archives, endings))
    return _sorted(source, videos)


def _mend_empty(source: Path, archives: list[str], endings: frozenset[str]) -> str:
    """Say how to mend a source without videos."""
    if archives:
        more = f" and {len(archives) - 1} more" if len(archives) > 1 else ""
        return f"Unpack the archives in it first: {min(archives)}{more}."
    if source.is_file() and source.suffix.lower() in LIST_ENDINGS:
        return "The list is empty: give every video a line."
    return f"Videos end in {', '.join(sorted(endings))}."


def _sorted(source: Path, videos: list[ListedVideo]) -> list[ListedVideo]:
    """Sort by id, in place, and refuse two videos of one id."""
    videos.sort(key=lambda video: video.id)
    for one, other in itertools.pairwise(videos):
        if one.id == other.id:
            raise DataError(f"Two videos of {source} are both called '{one.id}'.", hint="Rename one of them.")
    return videos


def _walk(root: str, endings: frozenset[str], archives: list[str]) -> Iterator[ListedVideo]:
    """Yield the videos under a directory, and put the names of archives into `archives`.

    Real directories come before linked ones, so that a directory that can be reached in both ways
    is listed under its own name, and links that lead back end there.
    """
    annotations = read_annotations(root)
    entered: set[tuple[int, int]] = set()
    real, linked = [root], list[str]()
    while real or linked:
        folder = real.pop() if real else linked.pop(0)
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        below: list[os.DirEntry[str]] = []
        with os.scandir(folder) as entries:
            yield from _files(root, folder, entries, endings, annotations, below, archives)
        for entry in sorted(below, key=lambda entry: entry.name):
            (linked if entry.is_symlink() else real).append(entry.path)


def _files(
    root: str,
    folder: str,
    entries: "Iterator[os.DirEntry[str]]",
    endings: frozenset[str],
    annotations: Annotations | None,
    below: "list[os.DirEntry[str]]",
    archives: list[str],
) -> Iterator[ListedVideo]:
    """Yield the videos directly in a folder; put the folders in it into `below`, the names of archives into `archives`."""
    relative = _readable(os.path.relpath(folder, root))
    parts = () if folder == root else tuple(relative.split("/"))
    told, prefix = Folder(parts, annotations), "".join(f"{part}/" for part in parts)
    for entry in entries:
        name = entry.name
        if name.startswith(".") or name.endswith(PART) or name in JUNK:
            continue
        stem, ending = os.path.splitext(name)
        if _is_directory(entry):
            below.append(entry)
        elif ending.lower() in endings and _is_file(entry):
            stem = stem if stem.isascii() else _readable(stem)
            note = told.note(stem)
            yield ListedVideo(entry.path, prefix + _readable(name), note.label, note.split, note.group)
        elif name.lower().endswith(ARCHIVES):
            archives.append(_readable(name))


def _is_directory(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a regular file, or a link that leads nowhere: a video that is missing should be named."""
    try:
        if entry.is_symlink():
            return stat.S_ISREG(os.stat(entry.path).st_mode)
        return entry.is_file()
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _readable(name: str) -> str:
    """Return a name that UTF-8 can hold; of a name that it can hold already, the name itself."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def _listed(source: Path, root: Path, endings: frozenset[str], allow_missing: bool) -> list[ListedVideo]:
    """Return the videos that a list names, in its order."""
    if not stat.S_ISDIR(os.stat(root).st_mode):
        raise DataError(f"{root} is no folder.", hint="The root is the folder that the list's paths are relative to.")
    home = "" if str(root) == "/" else str(root)
    videos: list[ListedVideo] = []
    lines, seen = array("Q"), dict[str, int]()
    for row in read_list(source, endings):
        where = f"{source}, line {row.line}"
        name = _inside(root, row.path, where)
        file = f"{home}/{name}"
        _check_file(file, row.path, where, allow_missing)
        video = ListedVideo(
            file, _readable(name) + _fragment(row.start_s, row.end_s), row.label, row.split, row.group, row.start_s, row.end_s
        )
        first = seen.setdefault(video.id, len(videos))
        if first < len(videos) and videos[first].file == file:
            raise DataError(
                f"{where}: '{row.path}' was listed on line {lines[first]} already.",
                hint="Name every video once, or with other times (start and end).",
            )
        videos.append(video)
        lines.append(row.line)
    return videos


def _inside(root: Path, name: str, where: str) -> str:
    """Return the path below `root` that a list's row names, with `..` taken out."""
    within = os.path.normpath(name)
    if within.startswith("/"):
        home = os.path.normpath(root)
        within = within.removeprefix(home.rstrip("/") + "/") if within != home else "."
    if within.startswith(("/", "../")) or within in (".", ".."):
        raise DataError(
            f"{where}: '{name}' leads out of the list's folder, {root}.",
            hint="Give the folder that holds all videos as the root, and write paths relative to it.",
        )
    return within


def _check_file(file: str, name: str, where: str, allow_missing: bool) -> None:
    """Refuse what is not a regular file, or a link to one."""
    try:
        if stat.S_ISREG(os.stat(file).st_mode):
            return
    except (FileNotFoundError, NotADirectoryError) as error:
        if allow_missing:
            return
        hint = "Paths are relative to the list's own folder, unless a root is given. Mend or remove the row."
        if os.path.isfile(file.rpartition(" ")[0]):
            hint = "A .txt list has one path a line and nothing else; for labels write a .csv with the columns path,label."
        raise DataError(f"{where}: there is no file {file}.", hint=hint) from error
    except (OSError, ValueError) as error:  # a name of 300 characters, a NUL, a lone surrogate
        raise DataError(f"{where}: {name!r} cannot be a file: {error}.", hint="Mend or remove the row.") from error
    raise DataError(f"{where}: '{name}' is not a file.", hint="A list names video files, not folders.")


def _fragment(start_s: float | None, end_s: float | None) -> str:
    """Return the times as W3C's Media Fragments write them, empty without any: `#t=1.5,4`, `#t=1.5`, `#t=,4`."""
    if start_s is None and end_s is None:
        return ""
    return f"#t={_exact(start_s)}" + ("" if end_s is None else f",{_exact(end_s)}")


def _exact(seconds: float | None) -> str:
    """Return the shortest decimal that is this number and no other, without an exponent."""
    if seconds is None:
        return ""
    text = repr(seconds)
    return (format(Decimal(text), "f") if "e" in text else text).removesuffix(".0")
