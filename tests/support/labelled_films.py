"""A labelled folder of films that a glance tells apart, and an encoder to look at them: what a benchmark needs."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from elo_cli.core.seeds import numpy_generator
from elo_cli.datasets import LabelledSet, LabelledVideo, Split
from elo_cli.prepare.encode import write_video
from tests.support.commands import SETTINGS
from tests.support.encoders import write_encoder

COLOURS = {"cold": (40, 90, 210), "warm": (210, 90, 40), "wood": (40, 200, 60)}


def write_coloured(path: Path, label: str, seed: int) -> Path:
    """Write a film of 1.5 s at 8 frames per second whose colour tells its class, and little else does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = numpy_generator(seed, "film").integers(-40, 41, (12, 24, 32, 3))
    write_video(path, np.clip(np.array(COLOURS[label]) + noise, 0, 255).astype(np.uint8), fps=8)
    return path


def write_labelled_home(folder: Path, *, each: int = 6, classes: int = 2) -> Path:
    """Write tiny settings, `films` with as many of each class, and an encoder that has learnt nothing in `one`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "elo.yaml").write_text(SETTINGS)
    for first, label in enumerate(list(COLOURS)[:classes]):
        for number in range(each):
            write_coloured(folder / "films" / label / f"{number}.mp4", label, 100 * first + number)
    write_encoder(folder / "one")
    return folder


def lines_of(result: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The lines of a `result.json` by representation and protocol."""
    lines = json.loads(result.read_text())["results"]
    return {(line["representation"], line["protocol"]): line for line in lines}


def known_set(root: Path, labels: dict[str, str], train: tuple[str, ...], test: tuple[str, ...]) -> LabelledSet:
    """A labelled set of files that nobody opens, with one split."""
    videos = tuple(LabelledVideo(root / name, name, label) for name, label in sorted(labels.items()))
    return LabelledSet("known", root, videos, (Split("1", train, test),))
