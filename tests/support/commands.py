"""The command line as people use it, on films and networks so small that a whole pipeline takes seconds."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from elo_cli.cli.app import build
from elo_cli.prepare.motions import MOTIONS
from elo_cli.prepare.scenes import SceneJob, write_scene

ROOT = Path(__file__).parents[2]
_MOMENTS = random.Random(7)
SETTINGS = """\
preprocess: {fps: 8.0, short_side: 20, segment_seconds: 1.5, max_segments: 1, flow: dis-ultrafast, mels: 8,
             videos_per_shard: 3, workers: 1}
objective: {terms: [rgb.reverse, rgb.shuffle, rgb-flow.embed, rgb-audio.embed], distance: mean, scale: initial,
            embed_form: infonce}
proxy: {clip: {frames: 4, size: 16, future: 2}, encoder: {depth: 10, width: 4}, steps: 2, batch: 4}
pretrain: {clip: {frames: 4, size: 16, future: 2}, encoder: {depth: 10, width: 4}, steps: 8, batch: 4, checkpoint_every: 2}
fitness: {clusters: 3, runs: 2}
search: {rounds: 2, population: 3, finalists: 0}
proxy_search: {candidates: 3}
benchmark: {allow_incomplete: true, clips: 2}
machine: {threads: 1, precision: float32, layout: contiguous, loader_workers: 0}
"""


def write_film(path: Path, motion: str, seed: int) -> Path:
    """Write one film of 1.5 s."""
    return write_scene(SceneJob(path, motion, seed, (24, 32), 8, 1.5))


def write_films(folder: Path, count: int) -> Path:
    """Write films of as many motions; their names are in order."""
    for number, motion in enumerate(MOTIONS[:count]):
        write_film(folder / f"{number:02}-{motion}.mp4", motion, number)
    return folder


def write_home(folder: Path, films: int) -> Path:
    """Write tiny settings and preprocess some films: what a search needs."""
    (folder / "elo.yaml").write_text(SETTINGS)
    write_films(folder / "videos", films)
    assert elo("preprocess videos", folder).exit_code == 0
    return folder


def elo(line: str, folder: Path, *more: str) -> Any:
    """Type a command in a folder; it runs in this process, which has loaded everything already."""
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ELO_")]:
            patch.delenv(name)
        return CliRunner().invoke(build(), [*line.split(), *more])


def start(line: str, folder: Path, *, die_at: str | None = None, prepare: Callable[[], None] | None = None) -> Any:
    """Start a command in a process of its own.

    Args:
        line: what is typed after `elo`.
        folder: the working directory.
        die_at: the moment of its `kill -9` or of another signal, as `tests/support/dying` reads it.
        prepare: called in the new process before anything else.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ELO_")}
    path = [str(ROOT)]
    if die_at is not None:
        environment["DIE_AT"] = die_at
        path.insert(0, str(ROOT / "tests" / "support" / "dying"))
    environment["PYTHONPATH"] = os.pathsep.join(path)
    return subprocess.Popen(
        [sys.executable, "-m", "elo_cli", *line.split()],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


def finish(process: Any) -> tuple[int, str, str]:
    """Wait for a process; give its exit code and what it said on stdout and stderr."""
    said, complained = process.communicate(timeout=240)
    return process.returncode, said, complained


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def kill_by_clock(line: str, folder: Path, begun: Path, *, within: float = 0.4) -> None:
    """Kill a command a random while after it touched a file; it may have been quicker. Nothing of it may live on."""
    before = begun.stat().st_mtime_ns if begun.exists() else 0
    process = start(line, folder)
    wait_for(lambda: process.poll() is not None or (begun.exists() and begun.stat().st_mtime_ns != before))
    time.sleep(_MOMENTS.uniform(0, within))
    process.kill()
    assert finish(process)[0] in (0, -signal.SIGKILL)
    wait_for(lambda: not processes_in(folder), 10)


def hashes(folder: Path, *patterns: str) -> dict[str, str]:
    """Hash the files of a folder; each pattern must find some."""
    found: dict[str, str] = {}
    for pattern in patterns:
        paths = sorted(folder.glob(pattern))
        assert paths, f"no {pattern} in {folder}"
        found |= {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    return found


def files(folder: Path) -> list[str]:
    """List every file under a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def processes_in(folder: Path) -> list[int]:
    """List the processes whose working directory is a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").resolve() == folder.resolve() and "State:\tZ" not in (entry / "status").read_text():
                found.append(int(entry.name))
    return found
