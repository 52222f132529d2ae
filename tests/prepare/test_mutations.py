"""Good films beside hundreds of damaged ones: each is packed or fails by name, and the good ones come out as if they were alone.

Every damage follows from its seed. `MUTATION_SEED=123 pytest tests/prepare/test_mutations.py` does that one alone;
`pytest -s` shows the tally.
"""

import collections
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from elo_cli.core.errors import VIDEO_REASONS, VIDEO_STAGES
from elo_cli.data.records import VideoRecord
from elo_cli.data.shard import Shard
from elo_cli.run.journal import Journal
from tests.prepare.mutations import FILMS, mutate, write_films

PIERCING = (22431,)  # where PyAV was led to read beyond the 8 places that it has for channels
SEEDS = tuple(map(int, os.environ["MUTATION_SEED"].split(","))) if "MUTATION_SEED" in os.environ else (*range(1000), *PIERCING)
SECONDS_LIMIT = 20
WORKER_GIB = 0.5
SETTINGS = {
    "fps": 8.0, "short_side": 32, "segment_seconds": 0.75, "max_segments": 2, "flow": "dis-ultrafast", "mels": 8,
    "workers": 2, "video_seconds_limit": SECONDS_LIMIT, "worker_memory": WORKER_GIB,
}  # fmt: skip


@dataclass
class Run:
    """What a command made.

    Attributes:
        result: as the command prints it.
        videos, failures: by id; failures as in failures.jsonl.
        segments: how many each video has.
        shards: the bytes of each file.
        peak_mib: memory of the largest of its processes.
    """

    result: dict[str, Any]
    videos: dict[str, VideoRecord]
    failures: dict[str, dict[str, Any]]
    segments: collections.Counter[str]
    shards: dict[str, bytes]
    peak_mib: float


def preprocess(source: Path, out: Path) -> Run:
    """Run the command in a process of its own."""
    options = [f"--set=preprocess.{name}={value}" for name, value in SETTINGS.items()]
    line = [sys.executable, "-m", "elo_cli", "preprocess", source, "--out", out, "--json", *options]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    with open(f"{out}.json", "w+") as said, open(f"{out}.log", "w+") as complained:
        process = subprocess.Popen(line, stdout=said, stderr=complained, cwd=source.parent, env=os.environ | {"PYTHONPATH": path})
        _, status, usage = os.wait4(process.pid, 0)  # the memory also of workers that were killed
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complained.seek(0)
        assert process.returncode == 0, complained.read()
        result = json.load(said)
    shards = [Shard(path) for path in (out / "shards").glob("*.safetensors")]
    return Run(
        result,
        {name: record for shard in shards for name, record in shard.videos.items()},
        {str(failure["video"]): failure for failure in Journal(out / "failures.jsonl").read()},
        collections.Counter(segment.video for shard in shards for segment in shard.segments),
        {path.name: path.read_bytes() for path in (out / "shards").iterdir()},
        usage.ru_maxrss / 1024,
    )


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `good`, and a folder `all` that holds the same films among the damaged ones."""
    root = tmp_path_factory.mktemp("mutations")
    content = write_films(root / "good")
    (root / "all").mkdir()
    for name, data in content.items():
        (root / "all" / name).write_bytes(data)
    for seed in SEEDS:
        mutant = mutate(seed, content)
        (root / "all" / mutant.name).write_bytes(mutant.content)
    return root


@pytest.fixture(scope="module")
def alone(films: Path) -> Run:
    return preprocess(films / "good", films / "out-good")


@pytest.fixture(scope="module")
def together(films: Path) -> Run:
    begun = time.monotonic()
    run = preprocess(films / "all", films / "out-all")
    warned = sum(record.bad_packets > 0 or (record.promised_s or 0) - record.duration_s > 1 for record in run.videos.values())
    reasons = collections.Counter(failure["reason"] for failure in run.failures.values())
    print(
        f"\n{len(SEEDS)} damaged and {len(FILMS)} good films in {time.monotonic() - begun:.1f} s, {run.peak_mib:.0f} MiB at most:"
        f" {len(run.videos)} used, {warned} of them with warnings; failed: {dict(reasons.most_common())}"
    )
    return run


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_film_is_packed_or_fails_by_name(seed: int, together: Run, films: Path) -> None:
    (path,) = (films / "all").glob(f"{seed:04d} *")
    record, failure = together.videos.get(path.name), together.failures.get(path.name)
    if record is not None:
        assert failure is None and together.segments[path.name] >= 1
        assert record.bytes == path.stat().st_size and record.source_height > 0 and record.source_width > 0
    else:
        assert failure is not None
        assert failure["reason"] in VIDEO_REASONS and failure["stage"] in VIDEO_STAGES
        assert failure["path"] == str(path) and len(failure["message"]) > 20


def test_the_run_goes_on_to_its_end(together: Run, films: Path) -> None:
    names = {path.name for path in (films / "all").iterdir()}
    assert together.videos.keys() | together.failures.keys() == names
    assert (together.result["videos"], together.result["failed"]) == (len(together.videos), len(together.failures))
    reasons = collections.Counter(failure["reason"] for failure in together.failures.values())
    assert together.result["failures"] == dict(reasons)
    # What FFmpeg's own faults cost depends on its version: few films if any.
    assert reasons["crash"] + reasons["timeout"] <= len(SEEDS) // 100
    assert not [name for name in together.shards if not name.endswith((".safetensors", ".failures.json"))]


def test_no_damage_takes_memory_without_bound(together: Run, alone: Run) -> None:
    assert together.peak_mib < alone.peak_mib + WORKER_GIB * 1024


def test_good_films_come_out_as_if_they_were_alone(together: Run, alone: Run) -> None:
    assert alone.videos.keys() == FILMS.keys() and alone.failures == {}
    assert len(alone.shards) == len(FILMS)
    assert {name: together.shards[name] for name in alone.shards} == alone.shards
    assert {name: together.videos[name] for name in alone.videos} == alone.videos
    assert all(record.bad_packets == 0 for record in alone.videos.values())
    heard = {name for name, record in alone.videos.items() if record.sound == "heard"}
    assert heard == {name for name, (_, voice) in FILMS.items() if voice}


def test_a_mutant_follows_from_its_seed(films: Path) -> None:
    content = {name: (films / "good" / name).read_bytes() for name in FILMS}
    for seed in SEEDS[:50]:
        mutant, again = mutate(seed, content), mutate(seed, dict(reversed(content.items())))
        assert mutant == again and mutant.content != content[mutant.name.split(" ")[-1]]
