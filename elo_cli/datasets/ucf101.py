"""UCF101 (Soomro, Zamir, Shah 2012) with its three official splits for action recognition.

    ROOT/ucfTrainTestlist/classInd.txt                       `<number> <Class>`, numbers from 1 to 101
    ROOT/ucfTrainTestlist/trainlist<01|02|03>.txt            `<Class>/v_<Class>_g<group>_c<clip>.avi <number>`
    ROOT/ucfTrainTestlist/testlist<01|02|03>.txt             `<Class>/v_<Class>_g<group>_c<clip>.avi`
    ROOT/UCF-101/<Class>/v_<Class>_g<group>_c<clip>.avi      13,320 videos, 101 classes, 25 groups each

Clips of a group were cut from one film; no group stands on both sides of a split. One class is called HandstandPushups
and its files v_HandStandPushups_…: copies differ in both, so either spelling is taken for the other.
"""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from elo_cli.datasets import LabelledSet, LabelledVideo
from elo_cli.datasets._official import Published, files_in, some

CLASSES = 101
VIDEOS = 13320
GROUPS = 25  # of each class
SPLITS = ("1", "2", "3")
COUNTS = {"1": (9537, 3783), "2": (9586, 3734), "3": (9624, 3696)}  # training and test videos of each split

_LIST = re.compile(r"(?P<side>train|test)list0(?P<split>[1-3])\.txt")
_LINE = re.compile(
    r"(?P<label>[A-Za-z0-9]+)/v_(?P<again>[A-Za-z0-9]+)_(?P<group>g[0-9]{2})_(?P<clip>c[0-9]{2})\.avi( +(?P<number>[0-9]+))?"
)
_SPELLINGS = ("HandstandPushups", "HandStandPushups")  # in lists and folders; in file names
_USUAL = ("ucfTrainTestlist", "splits", "UCF-101", "videos")

_PAGE = "https://www.crcv.ucf.edu/data/UCF101.php"
_DOWNLOADS = "https://www.crcv.ucf.edu/data/UCF101/"
HOWTO = f"""\
Download UCF101.rar (6.5 GB) and UCF101TrainTestSplits-RecognitionTask.zip from {_PAGE}
(direct: {_DOWNLOADS}UCF101.rar and {_DOWNLOADS}UCF101TrainTestSplits-RecognitionTask.zip;
any mirror that keeps the .avi files under their published names will do). Unpack both, so that there are
    DIR/UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi … DIR/UCF-101/YoYo/*.avi
    DIR/ucfTrainTestlist/classInd.txt, trainlist01.txt … testlist03.txt
and run: elo benchmark ucf101 --root DIR"""

PUBLISHED = Published(
    "UCF101",
    "ucf101",
    HOWTO,
    again="Unpack UCF101TrainTestSplits-RecognitionTask.zip again.",
    folders=("ucf101", "UCF101"),
)


class _Line(NamedTuple):
    """One line of a list of videos, in the published spelling."""

    id: str
    label: str
    group: str
    split: str
    side: str


def find(root: Path | None, *, seed: int, allow_incomplete: bool = False) -> LabelledSet:
    """Find UCF101 on disk and check it against the published counts.

    Args:
        root: the folder that holds the lists (in `ucfTrainTestlist/`, `splits/`, any other folder in it,
            or themselves) and the class folders (in `UCF-101/`, `videos/`, any other folder in it, or
            themselves). None looks in `$ELO_DATA/ucf101`, `./ucf101`, `./elo/ucf101` and `./data/ucf101`,
            and in the same places for `UCF101`.
        seed: not used; the splits are official.
        allow_incomplete: go on with the classes, splits and videos that are there.

    Returns:
        The set, its root the folder of the class folders; ids are `<Class>/<file name>` as listed, however
        the disk spells them; groups are `v_<Class>_g<group>`; splits are called 1, 2 and 3.

    Raises:
        DataError: it is not there; classes, lists or videos are missing; or a list is damaged, also under
            `allow_incomplete`: a line that is none, comes twice, has a number that is not its class's, or whose
            video or group is on the other side too.
    """
    home, list_folder, video_folder = PUBLISHED.locate(
        root, usual=_USUAL, labels_in=_labels_in, class_folders=_class_folders, lists="classInd.txt, trainlist01.txt"
    )
    numbers = _read_classes(list_folder)
    lines = _read_lists(list_folder, numbers)
    listed = {line.id: line for line in lines}
    held = _held(video_folder, listed)
    sides: dict[str, tuple[list[str], list[str]]] = {split: ([], []) for split in SPLITS}
    for line in lines:
        sides[line.split][line.side == "test"].append(line.id)
    return PUBLISHED.assemble(
        home,
        video_folder,
        labels={line.id: line.label for line in listed.values()},
        held=held,
        sides=sides,
        faults=_faults(numbers, lines),
        allow_incomplete=allow_incomplete,
    )


def _list_files(folder: Path) -> dict[Path, re.Match[str]]:
    matches = {Path(path): _LIST.fullmatch(name) for name, path in sorted(files_in(folder).items())}
    return {path: match for path, match in matches.items() if match is not None}


def _labels_in(folder: Path) -> Counter[str]:
    lines = (line for path in _list_files(folder) for _, line in PUBLISHED.read_lines(path))
    return Counter(_class(line.partition("/")[0]) for line in lines)


def _class_folders(folder: Path, label: str) -> list[Path]:
    return [folder / name for name in (_SPELLINGS if label in _SPELLINGS else (label,))]


def _class(name: str) -> str:
    """Return the published spelling of a class."""
    return _SPELLINGS[0] if name in _SPELLINGS else name


def _film(label: str) -> str:
    """Return how the names of a class's files begin."""
    return f"v_{_SPELLINGS[1] if label in _SPELLINGS else label}"


def _held(folder: Path, listed: dict[str, _Line]) -> dict[str, LabelledVideo]:
    """Return the listed videos that are on disk, by id; each class folder is read once."""
    held: dict[str, LabelledVideo] = {}
    for label in {line.label for line in listed.values()}:
        for place in _class_folders(folder, label):
            for name, path in files_in(place).items():
                video = f"{label}/{name.replace(*_SPELLINGS)}"
                if video in listed:
                    held[video] = LabelledVideo(Path(path), video, label, listed[video].group)
    return held


def _read_classes(folder: Path) -> dict[str, str]:
    """Read the number of each class; nothing where there is no such list.

    Raises:
        DataError: a line is not `<number> <Class>`, or a number or class comes twice.
    """
    path = folder / "classInd.txt"
    numbers: dict[str, str] = {}
    if not path.is_file():
        return numbers
    for number, line in PUBLISHED.read_lines(path):
        match = re.fullmatch(r"(?P<number>[1-9][0-9]*) +(?P<label>[A-Za-z0-9]+)", line)
        if match is None:
            raise PUBLISHED.damaged(path, f"it is not '<number> <Class>': {line!r}", number)
        label = _class(match["label"])
        if label in numbers or match["number"] in numbers.values():
            raise PUBLISHED.damaged(path, f"its number or class comes twice: {line!r}", number)
        numbers[label] = match["number"]
    return numbers


def _read_lists(folder: Path, numbers: dict[str, str]) -> list[_Line]:
    """Read every list of videos of a folder.

    Args:
        folder: that of the lists.
        numbers: of the classes; nothing where they are not known.

    Raises:
        DataError: a line is damaged; see `find`.
    """
    lines: list[_Line] = []
    sides: dict[tuple[str, str], str] = {}  # of (split, id) and of (split, group)
    for path, match in _list_files(folder).items():
        split, side = match["split"], match["side"]
        for number, text in PUBLISHED.read_lines(path):
            line, wrong = _parse(text, split, side, numbers)
            if line is not None and (split, line.id) in sides:
                other = sides[split, line.id] != side
                wrong = f"it is in the other list of split {split} too" if other else "it comes twice"
            elif line is not None and sides.get((split, line.group), side) != side:
                wrong = f"its group, {line.group}, is on the other side of split {split} too"
            if line is None or wrong:
                raise PUBLISHED.damaged(path, f"{wrong}: {text!r}", number)
            sides[split, line.id] = sides[split, line.group] = side
            lines.append(line)
    return lines


def _parse(text: str, split: str, side: str, numbers: dict[str, str]) -> tuple[_Line | None, str]:
    """Return what a line says, and what is wrong with it; training lines end with the number of the class, others may."""
    match = _LINE.fullmatch(text)
    label = _class(match["label"]) if match is not None else ""
    if match is None or _class(match["again"]) != label or (side == "train" and match["number"] is None):
        return None, f"it is not '<Class>/v_<Class>_g<group>_c<clip>.avi{' <number>' if side == 'train' else ''}'"
    group = f"{_film(label)}_{match['group']}"
    line = _Line(f"{label}/{group}_{match['clip']}.avi", label, group, split, side)
    if numbers and label not in numbers:
        return line, f"{label} is no class of classInd.txt"
    if numbers and match["number"] not in (None, numbers[label]):
        return line, f"the number of {label} in classInd.txt is {numbers[label]}, not {match['number']}"
    return line, ""


def _faults(numbers: dict[str, str], lines: list[_Line]) -> list[str]:
    """Say where the lists differ from what was published."""
    faults = [] if numbers else ["classInd.txt is missing or empty"]
    if numbers and len(numbers) != CLASSES:
        faults.append(f"{len(numbers)} classes are in classInd.txt, not {CLASSES}")
    listed = {line.id for line in lines}
    groups = Counter(label for label, _ in {(line.label, line.group) for line in lines})
    if len(groups) != CLASSES:
        without = f" (without {some(sorted(numbers.keys() - groups.keys()))})" if numbers.keys() - groups.keys() else ""
        faults.append(f"videos of {len(groups)} classes are listed, not of {CLASSES}{without}")
    uneven = sorted(f"{label}: {count}" for label, count in groups.items() if count != GROUPS)
    if uneven:
        faults.append(f"{len(uneven)} classes have not {GROUPS} groups ({some(uneven)})")
    counts = Counter((line.split, line.side) for line in lines)
    for split in SPLITS:
        pair = counts[split, "train"], counts[split, "test"]
        absent = [f"{side}list0{split}.txt" for side, count in zip(("train", "test"), pair, strict=True) if not count]
        if absent:
            faults.append(f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} missing or empty")
        elif pair != COUNTS[split]:
            lost = sorted(listed - {line.id for line in lines if line.split == split})
            without = f" (without {some(lost)})" if lost else ""
            wanted = " + ".join(f"{count:,}" for count in COUNTS[split])
            faults.append(f"split {split} lists {pair[0]:,} + {pair[1]:,} videos, not {wanted}{without}")
    if len(listed) != VIDEOS:
        faults.append(f"{len(listed):,} videos are listed, not {VIDEOS:,}")
    return faults
