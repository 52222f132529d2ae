"""`elo benchmark`: score representations on a labelled data set, beside an untrained one and trivial features."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

from elo_cli import dist
from elo_cli.core.boxes import BoxedSet
from elo_cli.core.errors import DataError, EloError, TrainingError, UsageError
from elo_cli.core.seeds import derive
from elo_cli.core.settings import Settings
from elo_cli.core.shelf import suggest
from elo_cli.datasets import SHELF as DATASETS
from elo_cli.datasets import LabelledSet, Split
from elo_cli.engine.export import LoadedEncoder
from elo_cli.engine.precision import Precision
from elo_cli.protocols import SHELF as PROTOCOLS
from elo_cli.run.directory import RunDirectory
from elo_cli.run.workspace import Workspace
from elo_cli.workflows import boxed_benchmark
from elo_cli.workflows.benchmark_record import (
    FREE,
    cache_of,
    described,
    place_of,
    stored_settings,
    told_changes,
    with_former,
    write_result,
)
from elo_cli.workflows.detecting import PROTOCOL
from elo_cli.workflows.events import Outcome, Watch
from elo_cli.workflows.finetuning import finetune_split
from elo_cli.workflows.labelled_features import LabelledFeatures
from elo_cli.workflows.low_label_training import finetune_by_labels
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
from elo_cli.workflows.score_tables import planned, planned_on_boxes, score_table, tables_of_the_paper
from elo_cli.workflows.scoring import SplitScores, check_episodes, check_scored, majority, result_line, score_split
from elo_cli.workflows.table_rows import check_rows, losses_of, trained_rows

_CHANCE = Representation("chance")
_Scored = tuple[dict[str, Any], Sequence[SplitScores]]
Train = Callable[[Representation, Split, LabelledSet, LabelledFeatures, Settings, RunDirectory, Watch], SplitScores | None]


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
    if isinstance(labelled, BoxedSet):
        boxed_benchmark.check_asked(labelled, features, table)
    chosen = given(settings, encoders, features)
    rows = [name for row in settings.benchmark.rows for name in losses_of(row, settings)]
    place = out or place_of(settings, dataset, labelled.name, fresh=fresh)
    if isinstance(labelled, BoxedSet):
        return planned_on_boxes(labelled, chosen, rows, (PROTOCOL,), place)
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
        UsageError: the set has nothing of what was asked for.
    """
    labelled = find(settings, dataset, root)
    if isinstance(labelled, BoxedSet):
        boxed_benchmark.check_asked(labelled, features, table)
    place = out or place_of(settings, dataset, labelled.name, fresh=fresh)
    with dist.joined(Precision.choose(settings.machine).device):
        chosen = given(settings, encoders, features) + trained_rows(settings, watch)
        outcome = score(chosen, labelled, settings, place, asked=dataset, fresh=fresh, watch=watch)
    if table is None or dist.rank():
        return outcome
    shown, record = tables_of_the_paper(table, outcome.result["results"], digest(labelled), Workspace(Path(settings.workspace)))
    return Outcome({**outcome.result, "table": record}, (*outcome.tables, shown), outcome.files, outcome.next)


@overload
def find(settings: Settings, dataset: Literal["folder"], root: Path | None) -> LabelledSet: ...
@overload
def find(settings: Settings, dataset: str, root: Path | None) -> LabelledSet | BoxedSet: ...
def find(settings: Settings, dataset: str, root: Path | None) -> LabelledSet | BoxedSet:
    """Find a labelled data set; its seeded splits, if it has no official ones, follow from the seed.

    Raises:
        DataError: it is not there, or not complete.
        UsageError: there is no such set, split, protocol or row; or the set cannot be scored by one of the protocols.
    """
    wanted = settings.benchmark
    for protocol in wanted.protocols:
        PROTOCOLS.take(protocol)  # a misspelt name is told before any work
    check_rows(wanted.rows)
    module, chosen = DATASETS.take(dataset), {"allow_incomplete": wanted.allow_incomplete}
    boxed_benchmark.check_fitting(dataset, boxes=getattr(module, "GIVES", None) == "boxes", settings=settings)
    if dataset == "folder":
        chosen |= {"split_by": wanted.split_by, "folds": wanted.folds}  # type: ignore[dict-item]
    labelled: LabelledSet | BoxedSet = module.find(root, seed=derive(settings.seed, "splits"), **chosen)
    if isinstance(labelled, BoxedSet):
        return labelled
    names = [split.name for split in labelled.splits]
    for name in wanted.splits:
        if name not in names:
            raise UsageError(f"{labelled.name} has no split '{name}'.", hint=suggest(name, names))
    kept = tuple(split for split in labelled.splits if not wanted.splits or split.name in wanted.splits)
    # A folder that is called like a published set is none.
    name = f"folder {labelled.name}" if dataset == "folder" and labelled.name in DATASETS.names() else labelled.name
    found = replace(labelled, name=name, splits=kept, source=labelled.source or root)
    if "fewshot" in wanted.protocols:
        check_episodes(found, settings)
    return found


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
    labelled: LabelledSet | BoxedSet,
    settings: Settings,
    place: Path,
    *,
    fresh: bool,
    watch: Watch,
    asked: str = "folder",
    anew: bool = False,
) -> Outcome:
    """Score representations, with the baselines, and write the results.

    Args:
        asked: the entry of `elo_cli/datasets` that found the set.
        anew: nothing that others made is taken: what can be made again is kept in the run's own directory.
    """
    if isinstance(labelled, BoxedSet):
        return boxed_benchmark.score_boxed(chosen, labelled, settings, place, fresh=fresh, watch=watch, asked=asked, anew=anew)
    like = next((one.encoder for one in chosen if one.encoder is not None), None)
    if like is not None and settings.benchmark.baselines:
        chosen = [untrained(like, settings.seed), *chosen]
    check_names(chosen)
    precision = Precision.choose(settings.machine)
    stored = stored_settings(settings, labelled.name, digest(labelled), chosen, precision)
    with dist.joined(precision.device):
        opened = open_directory(place, stored, precision, fresh=fresh, free=FREE)
        with spending() as spent, opened as directory:
            told_changes(directory, watch)
            source = LabelledFeatures(labelled, settings, cache_of(directory, settings, anew=anew), watch)
            scored = _scored(chosen, like, source, settings, directory, watch)
            if dist.rank():
                return Outcome({})
            data = {source.fingerprint(one.encoder) for one in chosen if one.encoder is not None}
            lines, settings = with_former(directory.result, [line for line, _ in scored], settings, data)
            write_result(directory.result, described(labelled, asked, digest(labelled)), lines, settings, chosen, precision)
            files = draw_scores(scored, labelled, directory)
    check_scored(lines, directory.result)
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
) -> list[_Scored]:
    """Score everything by every protocol: those that look at features first, on rank 0 alone."""
    labelled, training = source.labelled, _training(settings)
    scored: list[_Scored] = []
    if not dist.rank():
        looking = [protocol for protocol in settings.benchmark.protocols if protocol not in training]
        guessed = majority(labelled)
        scored.append((result_line(_CHANCE, "majority", guessed, labelled, None, settings), guessed))
        for one in _with_trivial(chosen, like, source, settings) if looking else ():
            scored += _looked_at(one, looking, like, source, settings, watch)
    dist.after_first("features")
    for protocol, train in training.items():
        for one in chosen:
            if one.encoder is None and not dist.rank():
                watch.warn(f"{one.name} is a file of features: {protocol} trains a network, and leaves it out.")
            if one.encoder is not None:
                scores, failed = list[SplitScores](), ""
                try:
                    found = [train(one, split, labelled, source, settings, directory, watch) for split in labelled.splits]
                    scores = [each for each in found if each is not None]
                except TrainingError as error:  # all ranks have it, after the same step
                    failed = _told(error, one, protocol, watch)
                if not dist.rank():
                    data = source.fingerprint(one.encoder)
                    line = result_line(one, protocol, failed or scores, labelled, one.encoder, settings, data)
                    scored.append((line, scores))
    return scored


def _training(settings: Settings) -> dict[str, Train]:
    """Return the protocols that train networks, and how each scores a split."""
    ways: dict[str, Train] = {"finetune": finetune_split}
    if settings.benchmark.low_label.by == "finetune":
        ways["low-label"] = finetune_by_labels
    return {name: ways[name] for name in settings.benchmark.protocols if name in ways}


def _looked_at(
    one: Representation,
    protocols: Sequence[str],
    like: LoadedEncoder | None,
    source: LabelledFeatures,
    settings: Settings,
    watch: Watch,
) -> Iterator[_Scored]:
    """Score the features of a representation by the protocols that look at features."""
    labelled, seen = source.labelled, None if one.features is not None else one.encoder or like
    features, stage = source.of(one, like), f"scoring {one.name}"
    watch.start(stage, len(protocols), "protocol")
    for done, protocol in enumerate(protocols, start=1):
        scores, failed = list[SplitScores](), ""
        try:
            for split in labelled.splits:
                scores.append(score_split(features, protocol, split, labelled, settings))
                watch.check()
        except (DataError, UsageError) as error:  # what one cannot be scored by is no reason to lose the others
            scores, failed = [], _told(error, one, protocol, watch)
        line = result_line(one, protocol, failed or scores, labelled, seen, settings, source.fingerprint(seen))
        yield line, scores
        watch.advance(stage, done)
    watch.finish(stage)


def _told(error: EloError, one: Representation, protocol: str, watch: Watch) -> str:
    """Tell that something has no score, and return why."""
    watch.warn(f"{one.name} has no score by {protocol}: {error.message} {error.hint}")
    return error.message


def _with_trivial(
    chosen: Sequence[Representation], like: LoadedEncoder | None, source: LabelledFeatures, settings: Settings
) -> Iterator[Representation]:
    if like is not None and settings.benchmark.baselines:
        for kind in source.trivial_kinds(like):
            yield Representation(kind, trivial=kind)
    yield from chosen


def digest(labelled: LabelledSet | BoxedSet) -> str:
    """Name the videos, labels, groups and splits, so that a run never goes on with others."""
    if isinstance(labelled, BoxedSet):
        return boxed_benchmark.digest(labelled)
    videos = [(video.id, video.label, video.group, video.start_s, video.end_s) for video in labelled.videos]
    text = json.dumps([videos, [vars(split) for split in labelled.splits]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
