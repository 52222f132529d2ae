"""`elo benchmark`: score a representation on a labelled data set, beside an untrained one and trivial features."""

import hashlib
import json
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elo_cli.core.errors import DataError
from elo_cli.core.features import Features
from elo_cli.core.files import write_json
from elo_cli.core.seeds import derive
from elo_cli.core.settings import Settings
from elo_cli.data.listing import ListedVideo
from elo_cli.data.loader import ClipReader
from elo_cli.datasets import SHELF as DATASETS
from elo_cli.datasets import LabelledSet
from elo_cli.engine.export import LoadedEncoder, load_encoder
from elo_cli.engine.extract import TRIVIAL, extract, extract_trivial
from elo_cli.engine.objective import build_encoder
from elo_cli.engine.precision import Precision
from elo_cli.protocols import SHELF as PROTOCOLS
from elo_cli.run.directory import RunDirectory
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Outcome, Table, Watch
from elo_cli.workflows.extract import prepare
from elo_cli.workflows.material import Material, command_line, spending

FREE = frozenset({"benchmark.protocols", "machine.loader_workers", "machine.threads"})


@dataclass(frozen=True)
class Row:
    """A representation to be scored: its name, its features, and the hash of its encoder where it has one."""

    name: str
    features: Features
    encoder: str | None = None


def plan(*, settings: Settings, dataset: str, root: Path | None, encoder: Path | None, out: Path | None, fresh: bool) -> Outcome:
    """Say what `run` would do; writes nothing."""
    labelled = find(settings, dataset, root)
    workspace = Workspace(Path(settings.workspace))
    loaded = load_encoder(encoder or workspace.encoder())
    place = out or workspace.place(f"benchmark-{dataset}", fresh=fresh)
    result = {
        "dataset": labelled.name,
        "videos": len(labelled.videos),
        "splits": [split.name for split in labelled.splits],
        "missing": len(labelled.missing),
        "protocols": list(settings.benchmark.protocols),
        "encoder": str(loaded.path),
        "out": str(place),
    }
    columns = ("data set", "videos", "splits", "protocols", "encoder", "into")
    counts = str(len(labelled.videos)), str(len(labelled.splits))
    row = (labelled.name, *counts, ", ".join(settings.benchmark.protocols), str(loaded.path), str(place))
    return Outcome(result, (Table("The benchmark would do", columns, (row,)),))


def run(
    *, settings: Settings, dataset: str, root: Path | None, encoder: Path | None, out: Path | None, fresh: bool, watch: Watch
) -> Outcome:
    """Score one encoder on a data set.

    Args:
        dataset: a file of `elo_cli/datasets`.
        root: where the data set lies; None for the usual places.
        encoder: None for that of the newest pretraining.

    Raises:
        DataError: the data set is missing or incomplete (the hint says how to get it), or there is no encoder.
    """
    labelled = find(settings, dataset, root)
    workspace = Workspace(Path(settings.workspace))
    path = encoder or workspace.encoder()
    place = out or workspace.place(f"benchmark-{dataset}", fresh=fresh)
    return score_encoders({"pretrained": path}, labelled, settings, place, fresh=fresh, watch=watch)


def find(settings: Settings, dataset: str, root: Path | None) -> LabelledSet:
    """Find a labelled data set; its seeded splits, if it has no official ones, follow from the seed."""
    given = settings.benchmark
    for protocol in given.protocols:
        PROTOCOLS.take(protocol)  # a misspelt name is told before any work
    module, chosen = DATASETS.take(dataset), {"allow_incomplete": given.allow_incomplete}
    if dataset == "folder":
        chosen |= {"split_by": given.split_by, "folds": given.folds}  # type: ignore[dict-item]
    labelled: LabelledSet = module.find(root, seed=derive(settings.seed, "splits"), **chosen)
    return labelled


def score_encoders(
    encoders: Mapping[str, Path], labelled: LabelledSet, settings: Settings, place: Path, *, fresh: bool, watch: Watch
) -> Outcome:
    """Score several encoders of the same geometry, with the baselines, and write the results."""
    loaded = {name: load_encoder(path) for name, path in encoders.items()}
    first = next(iter(loaded.values()))
    dump = settings.model_dump(mode="json")
    stored = {key: dump[key] for key in ("seed", "benchmark", "machine")}
    stored |= {"dataset": labelled.name, "splits": _digest(labelled)}
    stored |= {"encoders": {name: one.card["sha256"] for name, one in loaded.items()}, "root": str(labelled.root.absolute())}
    opened = RunDirectory.open(place, stored, command=command_line(), fresh=fresh, free=FREE)
    with spending() as spent, opened as directory:
        listed = [
            ListedVideo(str(video.path), video.id, video.label, start_s=video.start_s, end_s=video.end_s)
            for video in labelled.videos
        ]
        clips = settings.benchmark.clips
        material = prepare(
            directory.root / "dataset", listed, first, settings, watch, clips=clips, flow=settings.benchmark.baselines
        )
        rows = _rows(loaded, material, settings, directory, watch)
        lines = _score(rows, labelled, material, first, settings, watch)
        write_json(directory.result, {"results": lines})
    tables = (_table(lines, labelled, settings), spent.table())
    result = {"results": lines, **spent.record(), "out": str(directory.root)}
    return Outcome(result, tables, {"results": str(directory.result)})


def _digest(labelled: LabelledSet) -> str:
    """Name the videos, labels and splits, so that a run never goes on with others."""
    text = json.dumps([[(video.id, video.label) for video in labelled.videos], [vars(split) for split in labelled.splits]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _rows(
    loaded: Mapping[str, LoadedEncoder], material: Material, settings: Settings, run: RunDirectory, watch: Watch
) -> list[Row]:
    first = next(iter(loaded.values()))
    networks = {name: (one.network, one.card["sha256"]) for name, one in loaded.items()}
    if settings.benchmark.baselines:
        networks = {"untrained": (build_encoder("rgb", first.architecture, settings.seed), None), **networks}
    reader, videos, clips = (
        ClipReader(material.videos, first.clip),
        material.videos.videos,
        settings.benchmark.clips,
    )
    rows = []
    if settings.benchmark.baselines:
        kinds = [kind for kind in TRIVIAL if kind != "flow-histogram" or material.videos.has("flow", everywhere=True)]
        rows = [Row(kind, extract_trivial(kind, reader, videos, clips=clips)) for kind in kinds]
    precision = Precision.choose(settings.machine)
    for name, (network, digest) in networks.items():
        stage = f"features of {name}"
        watch.start(stage, len(videos), "video")

        def progress(done: int, stage: str = stage) -> None:
            watch.advance(stage, done)
            watch.check()

        features = extract(
            network, reader, videos, clips=clips, batch=settings.extract.batch, precision=precision, progress=progress
        )
        features.save(run.root / f"{name}.safetensors")
        rows.append(Row(name, features, digest))
        watch.finish(stage)
    return rows


def _score(
    rows: Sequence[Row], labelled: LabelledSet, material: Material, first: LoadedEncoder, settings: Settings, watch: Watch
) -> list[dict[str, Any]]:
    lines = [_line("chance", "majority", None, labelled, first, settings, _majority(labelled))]
    watch.start("scoring", len(rows) * len(settings.benchmark.protocols) * len(labelled.splits), "split")
    done = 0
    for row in rows:
        for protocol in settings.benchmark.protocols:
            scores = []
            for split in labelled.splits:
                scores.append(_split_scores(row, protocol, split.train, split.test, labelled, settings))
                done += 1
                watch.advance("scoring", done)
                watch.check()
            lines.append(_line(row.name, protocol, row.encoder, labelled, first, settings, scores))
    watch.finish("scoring")
    return lines


def _split_scores(
    row: Row, protocol: str, train: Sequence[str], test: Sequence[str], labelled: LabelledSet, settings: Settings
) -> dict[str, float]:
    labels = {video.id: video.label for video in labelled.videos}
    readable = set(row.features.ids)
    sides = []
    for ids in (train, test):
        chosen = row.features.rows([video for video in ids if video in readable])
        sides.append(Features(chosen.matrix_ND, chosen.ids, tuple(labels[video] for video in chosen.ids)))
    if not len(sides[0]) or not len(sides[1]):
        raise DataError(
            "A split has no readable video on one of its sides.", hint="failures.jsonl in the run's dataset says why."
        )
    scores: dict[str, float] = PROTOCOLS.take(protocol).evaluate(sides[0], sides[1], seed=derive(settings.seed, protocol))
    unreadable = len(test) - len(sides[1])
    # A test video that cannot be read was not classified rightly: it counts as wrong, and it is said.
    share = len(sides[1]) / len(test)
    adjusted = {name: value * share if name in ("accuracy", "accuracy_top5") else value for name, value in scores.items()}
    return {**adjusted, "unreadable": float(unreadable), "test_videos": float(len(test))}


def _majority(labelled: LabelledSet) -> list[dict[str, float]]:
    """What always answering the commonest class of the training side would get."""
    labels = {video.id: video.label for video in labelled.videos}
    scores = []
    for split in labelled.splits:
        commonest = Counter(labels[video] for video in split.train).most_common(1)[0][0]
        right = sum(labels[video] == commonest for video in split.test)
        scores.append({"accuracy": right / len(split.test), "unreadable": 0.0, "test_videos": float(len(split.test))})
    return scores


def _line(
    name: str,
    protocol: str,
    encoder: str | None,
    labelled: LabelledSet,
    first: LoadedEncoder,
    settings: Settings,
    scores: list[dict[str, float]],
) -> dict[str, Any]:
    """Everything that must be known to compare a number with another."""
    clip, accuracies = first.clip, [score["accuracy"] for score in scores]
    metrics = sorted(set.intersection(*(set(score) for score in scores)) - {"unreadable", "test_videos"})
    return {
        "representation": name,
        "dataset": labelled.name,
        "protocol": protocol,
        "accuracy": float(np.mean(accuracies)),
        "deviation": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "metrics": {metric: float(np.mean([score[metric] for score in scores])) for metric in metrics},
        "splits": [{"split": split.name, **score} for split, score in zip(labelled.splits, scores, strict=True)],
        "missing_videos": len(labelled.missing),
        "unreadable_test_videos": int(sum(score["unreadable"] for score in scores)),
        "frames": clip.frames,
        "stride": clip.stride,
        "fps": first.card["input"]["fps"],
        "size": clip.size,
        "clips": settings.benchmark.clips,
        "crops": 1,
        "aggregation": "mean of the clips' features",
        "seed": settings.seed,
        "encoder": encoder,
    }


def _table(lines: Sequence[dict[str, Any]], labelled: LabelledSet, settings: Settings) -> Table:
    protocols = list(settings.benchmark.protocols)
    cells: dict[str, dict[str, str]] = {}
    for line in lines:
        deviation = "" if line["deviation"] is None else f" ± {100 * line['deviation']:.1f}"
        cells.setdefault(line["representation"], {})[line["protocol"]] = f"{100 * line['accuracy']:.1f}{deviation}"
    rows = [(name, *(scores.get(p, scores.get("majority", "")) for p in protocols)) for name, scores in cells.items()]
    one = lines[-1]
    note = (
        f"{len(labelled.videos)} videos, {len(labelled.splits)} split(s), mean ± deviation over them; "
        f"{one['clips']} clip(s) × 1 crop of {one['frames']}×{one['stride']} frames at {one['size']}², features averaged; "
        f"seed {one['seed']}; {one['unreadable_test_videos']} unreadable and {one['missing_videos']} missing videos"
    )
    return Table(f"{labelled.name}: accuracy in %", ("representation", *protocols), rows, note)
