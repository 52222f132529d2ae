"""`elo benchmark`: score representations on a labelled data set, beside an untrained one and trivial features."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from elo_cli import __version__, dist
from elo_cli.core.errors import UsageError
from elo_cli.core.files import write_json
from elo_cli.core.seeds import derive
from elo_cli.core.settings import Settings
from elo_cli.core.shelf import suggest
from elo_cli.datasets import SHELF as DATASETS
from elo_cli.datasets import LabelledSet
from elo_cli.engine.export import LoadedEncoder
from elo_cli.engine.precision import Precision
from elo_cli.protocols import SHELF as PROTOCOLS
from elo_cli.run.directory import RunDirectory
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Outcome, Watch
from elo_cli.workflows.finetuning import finetune_split
from elo_cli.workflows.labelled_features import LabelledFeatures
from elo_cli.workflows.material import spending
from elo_cli.workflows.ranks import open_directory
from elo_cli.workflows.representations import (
    Representation,
    check_names,
    named_encoder,
    named_features,
    untrained,
)
from elo_cli.workflows.score_pictures import draw_scores
from elo_cli.workflows.score_tables import planned, score_table, tables_of_the_paper
from elo_cli.workflows.scoring import SplitScores, majority, result_line, score_split
from elo_cli.workflows.table_rows import check_rows, losses_of, trained_rows

FREE = frozenset({"benchmark.protocols", "benchmark.rows", "machine.loader_workers", "machine.threads"})
_STORED = ("seed", "benchmark", "extract", "machine")


def plan(
    *,
    settings: Settings,
    dataset: str,
    root: Path | None,
    encoders: Sequence[str],
    features: Sequence[str],
    table: int | None,
    out: Path | None,
    fresh: bool,
) -> Outcome:
    """Say what `run` would do; writes nothing."""
    labelled = find(settings, dataset, root)
    chosen = given(settings, encoders, features)
    rows = [name for row in settings.benchmark.rows for name in losses_of(row, settings)]
    place = out or Workspace(Path(settings.workspace)).place(f"benchmark-{dataset}", fresh=fresh)
    return planned(labelled, chosen, rows, settings, place)


def run(
    *,
    settings: Settings,
    dataset: str,
    root: Path | None,
    encoders: Sequence[str],
    features: Sequence[str],
    table: int | None,
    out: Path | None,
    fresh: bool,
    watch: Watch,
) -> Outcome:
    """Score representations on a data set.

    Args:
        dataset: a file of `elo_cli/datasets`.
        root: where the data set lies; None for the usual places.
        encoders: `[NAME=]PATH` of each; none, and no features: that of the newest pretraining.
        features: `[NAME=]FILE` of features that were taken elsewhere.
        table: show this table of the paper too, with what was measured in this workspace.

    Raises:
        DataError: the data set is missing or incomplete (the hint says how to get it), or there is no encoder.
    """
    labelled = find(settings, dataset, root)
    chosen = given(settings, encoders, features) + trained_rows(settings, watch)
    place = out or Workspace(Path(settings.workspace)).place(f"benchmark-{dataset}", fresh=fresh)
    outcome = score(chosen, labelled, settings, place, asked=dataset, fresh=fresh, watch=watch)
    if table is None or dist.rank():
        return outcome
    shown, record = tables_of_the_paper(table, outcome.result["results"], Workspace(Path(settings.workspace)))
    return Outcome({**outcome.result, "table": record}, (*outcome.tables, shown), outcome.files, outcome.next)


def find(settings: Settings, dataset: str, root: Path | None) -> LabelledSet:
    """Find a labelled data set; its seeded splits, if it has no official ones, follow from the seed.

    Raises:
        DataError: it is not there, or not complete.
        UsageError: there is no such set, split, protocol or row.
    """
    wanted = settings.benchmark
    for protocol in wanted.protocols:
        PROTOCOLS.take(protocol)  # a misspelt name is told before any work
    check_rows(wanted.rows)
    module, chosen = DATASETS.take(dataset), {"allow_incomplete": wanted.allow_incomplete}
    if dataset == "folder":
        chosen |= {"split_by": wanted.split_by, "folds": wanted.folds}  # type: ignore[dict-item]
    labelled: LabelledSet = module.find(root, seed=derive(settings.seed, "splits"), **chosen)
    names = [split.name for split in labelled.splits]
    for name in wanted.splits:
        if name not in names:
            raise UsageError(f"{labelled.name} has no split '{name}'.", hint=suggest(name, names))
    kept = tuple(split for split in labelled.splits if not wanted.splits or split.name in wanted.splits)
    return replace(labelled, splits=kept, source=labelled.source or root)


def given(settings: Settings, encoders: Sequence[str], features: Sequence[str]) -> list[Representation]:
    """Load what was named; the encoder of the newest pretraining where nothing was.

    Raises:
        DataError: something is not there, or cannot be loaded.
    """
    named = [*map(named_encoder, encoders), *map(named_features, features)]
    if not named and not settings.benchmark.rows:
        named = [named_encoder(f"pretrained={Workspace(Path(settings.workspace)).encoder()}")]
    return named


def score(
    chosen: Sequence[Representation],
    labelled: LabelledSet,
    settings: Settings,
    place: Path,
    *,
    fresh: bool,
    watch: Watch,
    asked: str = "folder",
    cache: Path | None = None,
) -> Outcome:
    """Score representations, with the baselines, and write the results.

    Args:
        asked: the entry of `elo_cli/datasets` that found the set.
        cache: where what can be made again is kept; None for that of the workspace.
    """
    like = next((one.encoder for one in chosen if one.encoder is not None), None)
    if like is not None and settings.benchmark.baselines:
        chosen = [untrained(like, settings.seed), *chosen]
    check_names(chosen)
    dump = settings.model_dump(mode="json")
    stored: dict[str, Any] = {key: dump[key] for key in _STORED}
    stored |= {"dataset": labelled.name, "splits": digest(labelled), "root": str(labelled.root.absolute())}
    stored |= {"representations": {one.name: one.digest for one in chosen}}
    precision = Precision.choose(settings.machine)
    with dist.joined(precision.device):
        opened = open_directory(place, stored, precision, fresh=fresh, free=FREE)
        with spending() as spent, opened as directory:
            source = LabelledFeatures(labelled, settings, cache or Workspace(Path(settings.workspace)).cache, watch)
            scored = _scored(chosen, like, source, settings, directory, watch)
            if dist.rank():
                return Outcome({})
            lines = [line for line, _ in scored]
            files = draw_scores(scored, labelled, directory)
            document = {"elo": __version__, "dataset": _found(labelled, asked), "settings": dump, "results": lines}
            document |= {"representations": [one.record() for one in chosen]}
            write_json(directory.result, document)
    tables = (score_table(lines, labelled, settings), spent.table())
    result = {"results": lines, **spent.record(), "out": str(directory.root)}
    return Outcome(result, tables, {"results": str(directory.result), **files})


def _scored(
    chosen: Sequence[Representation],
    like: LoadedEncoder | None,
    source: LabelledFeatures,
    settings: Settings,
    directory: RunDirectory,
    watch: Watch,
) -> list[tuple[dict[str, Any], Sequence[SplitScores]]]:
    """Score everything by every protocol: those that look at features first, on rank 0 alone."""
    labelled, protocols = source.labelled, settings.benchmark.protocols
    scored: list[tuple[dict[str, Any], Sequence[SplitScores]]] = []

    def add(one: Representation, protocol: str, scores: Sequence[SplitScores]) -> None:
        seen = None if one.features is not None else one.encoder or like
        scored.append((result_line(one, protocol, scores, labelled, seen, settings), scores))

    if not dist.rank():
        add(Representation("chance"), "majority", majority(labelled))
        looking = [protocol for protocol in protocols if hasattr(PROTOCOLS.take(protocol), "evaluate")]
        for one in _with_trivial(chosen, like, source, settings) if looking else ():
            assert like is not None or one.features is not None
            rows = source.of(one, like)  # type: ignore[arg-type]
            stage = f"scoring {one.name}"
            watch.start(stage, len(looking) * len(labelled.splits), "split")
            done = 0
            for protocol in looking:
                scores = []
                for split in labelled.splits:
                    scores.append(score_split(rows, protocol, split, labelled, settings))
                    done += 1
                    watch.advance(stage, done)
                    watch.check()
                add(one, protocol, scores)
            watch.finish(stage)
    dist.after_first("features")
    for one in chosen if "finetune" in protocols else ():
        if one.encoder is not None:
            found = [finetune_split(one, split, labelled, source, settings, directory, watch) for split in labelled.splits]
            if not dist.rank():
                add(one, "finetune", [each for each in found if each is not None])
    return scored


def _with_trivial(
    chosen: Sequence[Representation], like: LoadedEncoder | None, source: LabelledFeatures, settings: Settings
) -> Iterator[Representation]:
    if like is not None and settings.benchmark.baselines:
        for kind in source.trivial_kinds(like):
            yield Representation(kind, trivial=kind)
    yield from chosen


def digest(labelled: LabelledSet) -> str:
    """Name the videos, labels and splits, so that a run never goes on with others."""
    text = json.dumps([[(video.id, video.label) for video in labelled.videos], [vars(split) for split in labelled.splits]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _found(labelled: LabelledSet, asked: str) -> dict[str, Any]:
    return {
        "asked": asked,
        "name": labelled.name,
        "source": str((labelled.source or labelled.root).absolute()),
        "root": str(labelled.root.absolute()),
        "videos": len(labelled.videos),
        "classes": len({video.label for video in labelled.videos}),
        "splits": {split.name: {"train": len(split.train), "test": len(split.test)} for split in labelled.splits},
        "missing": list(labelled.missing),
        "digest": digest(labelled),
    }
