"""A miniature of AVA: films of two persons side by side, each of whom does another thing every second.

A person is a square that swings within its box; what it does is how it swings, and nothing of one picture tells it.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elo_cli.core.seeds import numpy_generator
from elo_cli.prepare.encode import write_video

FIRST = 900  # the second of the film that the files begin at: they lie in `videos_15min`
HEIGHT, WIDTH, FPS = 48, 96, 8
ACTIONS = {12: "swing sideways", 17: "swing up and down", 79: "stay"}
UNSCORED = 2  # an action of the lists that is not scored; some boxes have it besides
FILMS = {"train": ("-5KQ66BBWC4", "_-Z6wFjXtGQ"), "val": ("1j20qq1JyX4", "5BDj0ow5hnA")}
_DIRECTION = {12: (1.0, 0.0), 17: (0.0, 1.0), 79: (0.0, 0.0)}
_ITEM = 'item {{\n  name: "{}"\n  id: {}\n}}\n'

Person = tuple[int, int, int, float]  # action, left and upper edge of the box in pixels, phase


def write_small_ava(root: Path, *, seconds: int = 20) -> Path:
    """Write lists and films; a film is as long as so many seconds, and has a keyframe in each but the first and the last."""
    lists = root / "annotations"
    lists.mkdir(parents=True)
    (root / "videos_15min").mkdir()
    for side, names in FILMS.items():
        rows = []
        for name in names:
            film = [_persons(name, second) for second in range(seconds)]
            write_video(root / "videos_15min" / f"{name}.mp4", _pictures(film), fps=FPS)
            for second, persons in enumerate(film[1:-1], start=1):
                rows += _rows(name, FIRST + second, persons)
        (lists / f"ava_{side}_v2.2.csv").write_text("\n".join(rows) + "\n")
        (lists / f"ava_{side}_excluded_timestamps_v2.2.csv").write_text(f"{names[0]},{FIRST + 3:04}\n")
    scored = "".join(_ITEM.format(name, number) for number, name in ACTIONS.items())
    (lists / "ava_action_list_v2.2_for_activitynet_2019.pbtxt").write_text(scored)
    return root


def write_detections(root: Path) -> Path:
    """Write the annotated boxes of validation as if detected: some surely, every fifth less so, and one where nobody is."""
    lines = (root / "annotations" / "ava_val_v2.2.csv").read_text().splitlines()
    boxes = sorted({",".join(line.split(",")[:6]) for line in lines if line.split(",")[2]})
    rows = [f"{box},,{0.5 if number % 5 == 0 else 0.95}" for number, box in enumerate(boxes)]
    rows.append(f"{FILMS['val'][0]},{FIRST + 1:04},0.400,0.400,0.600,0.600,,0.9")
    path = root / "annotations" / "ava_val_predicted_boxes.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def _persons(name: str, second: int) -> list[Person]:
    """Draw who is there in a second: one in each half of the picture."""
    random = numpy_generator(0, "persons", name, second)
    chosen = [list(ACTIONS)[int(random.integers(3))] for _ in range(2)]
    return [
        (action, half * 48 + int(random.integers(8)), int(random.integers(8)), float(random.uniform(0, 2 * np.pi)))
        for half, action in enumerate(chosen)
    ]


def _rows(name: str, second: int, persons: list[Person]) -> list[str]:
    if second % 7 == 0:
        return [f"{name},{second:04},,,,,,"]  # nobody was annotated
    rows = []
    for number, (action, left, top, _) in enumerate(persons):
        edges = (left / WIDTH, top / HEIGHT, (left + 40) / WIDTH, (top + 40) / HEIGHT)
        box = ",".join(f"{edge:.3f}" for edge in edges)
        rows += [f"{name},{second:04},{box},{each},{number}" for each in ((action, UNSCORED) if second % 2 else (action,))]
    return rows


def _pictures(film: list[list[Person]]) -> Iterator[NDArray[np.uint8]]:
    """Draw a film; the persons of a second are there from half a second before it."""
    for number in range(len(film) * FPS):
        time_s = number / FPS
        picture = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        for action, left, top, phase in film[min(len(film) - 1, round(time_s + 1e-6))]:
            swing = 12 * np.sin(2 * np.pi * 1.5 * time_s + phase)
            along, down = (round(14 + part * swing) for part in _DIRECTION[action])
            picture[top + down : top + down + 12, left + along : left + along + 12] = (230, 200, 60)
        yield picture
