"""How an encoder is judged: features of videos, and what each measure says of them.

One measure guides the search; others may be written down beside it, so that it can be seen later which of
them would have chosen the better losses. One extraction serves them all.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from torch import nn

from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.features import Features
from elo_cli.core.search_settings import FitnessSettings
from elo_cli.core.seeds import derive, numpy_generator
from elo_cli.core.settings import Settings
from elo_cli.core.train_settings import ClipSettings
from elo_cli.data.evaluation import Views
from elo_cli.data.loader import ClipReader
from elo_cli.data.video_set import Video, VideoSet
from elo_cli.engine.extract import extract
from elo_cli.engine.precision import Precision
from elo_cli.fitness import SHELF as FITNESS
from elo_cli.fitness import FitnessReport
from elo_cli.workflows.material import Material, open_material

_OURS = frozenset({"measure", "record", "labelled", "videos"})  # settings that no measure is handed
_REHEARSED = 16  # features of the noise that measures are tried on


@dataclass(frozen=True)
class Judgement:
    """What the measures say of one encoder.

    Attributes:
        guide: the report of `fitness.measure`, which the search follows.
        recorded: the reports of `fitness.record`, by name.
    """

    guide: FitnessReport
    recorded: Mapping[str, FitnessReport]

    def recorded_values(self) -> dict[str, float | None]:
        """Return each recorded measure's own number, null where it has none; fit for JSON.

        Where zipf was measured in another form than the paper's, its number by the paper's letter is `zipf-paper`.
        """
        values = {name: report.value for name, report in self.recorded.items() if report.collapsed is None}
        found = {name: values[name] if math.isfinite(values.get(name, math.nan)) else None for name in self.recorded}
        letters = [report.details["paper"] for report in (self.guide, *self.recorded.values()) if "paper" in report.details]
        return found | ({"zipf-paper": letters[0]} if letters else {})


def judge(encoder: nn.Module, clip: ClipSettings, material: Material, settings: Settings, precision: Precision) -> Judgement:
    """Judge an RGB encoder by the measures that the settings name, on one clip of each of the shared videos."""
    features: dict[bool, Features] = {}
    reports: dict[str, FitnessReport] = {}
    for name in _names(settings):
        labelled = needs_labels(name)
        if labelled not in features:
            videos = _labelled_material(settings) if labelled else material
            features[labelled] = _features(encoder, clip, videos, settings, precision, everything=labelled)
        reports[name] = measure(name, features[labelled], settings.fitness, settings.seed)
    recorded = {_key(name): reports[_key(name)] for name in settings.fitness.record}
    return Judgement(reports[_key(settings.fitness.measure)], recorded)


def encoder_fitness(
    encoder: nn.Module, clip: ClipSettings, material: Material, settings: Settings, precision: Precision
) -> FitnessReport:
    """Judge an RGB encoder by `fitness.measure` alone."""
    alone = settings.model_copy(update={"fitness": settings.fitness.model_copy(update={"record": ()})})
    return judge(encoder, clip, material, alone, precision).guide


def measure(name: str, features: Features, given: FitnessSettings, seed: int) -> FitnessReport:
    """Measure features; the measure gets those of the settings that it has a parameter for.

    Args:
        name: an entry of `elo_cli/fitness`.
        features: N videos × D features, with labels where it needs them.
        given: the settings of `fitness`.
        seed: that of the run.
    """
    entry = FITNESS.take(name)
    report: FitnessReport = entry.measure(features, seed=derive(seed, "fitness"), **_handed(entry, given))
    return report


def needs_labels(name: str) -> bool:
    """Say whether a measure looks at labels."""
    return bool(getattr(FITNESS.take(name), "NEEDS_LABELS", False))


def check_fitness(settings: Settings, material: Material) -> None:
    """Find out before any training whether the measures can be taken.

    Raises:
        UsageError: there is no such measure, there are more clusters than videos, or labels are needed and
            `fitness.labelled` is not set.
        DataError: the labelled set is missing, of another rate, or its labels do not serve.
    """
    videos, random = fitness_videos(material.videos, settings), numpy_generator(settings.seed, "rehearsal")
    check_clusters(_names(settings), len(videos), settings)
    for name in _names(settings):
        rows = videos
        if needs_labels(name):
            labelled = _labelled_material(settings)
            _check_rate(labelled, material)
            rows = list(labelled.videos.videos)
        if name != "zipf":  # of it all is known, and k-means of many videos takes its time
            noise_ND = random.standard_normal((len(rows), _REHEARSED)).astype(np.float32)
            features = Features(noise_ND, tuple(row.id for row in rows), tuple(row.label for row in rows))
            once = settings.fitness.model_copy(update={"runs": 1})
            report = measure(name, features, once, settings.seed)
            if report.collapsed and name == _key(settings.fitness.measure):
                raise UsageError(
                    f"{name} cannot judge anything here: {report.collapsed}.",
                    hint="Preprocess more videos, or let another measure guide the search: --set fitness.measure=zipf",
                )


def check_clusters(names: Sequence[str], videos: int, settings: Settings) -> None:
    """Make sure that there are enough videos for the clusters of zipf, if it is among the measures.

    Raises:
        UsageError: there are more clusters than videos.
    """
    if "zipf" in names and settings.fitness.clusters > videos:
        raise UsageError(
            f"fitness.clusters is {settings.fitness.clusters}, but there are only {videos} videos to cluster.",
            hint=f"Give more videos, or lower it: --set fitness.clusters={max(2, videos // 4)}",
        )


def fitness_videos(videos: VideoSet, settings: Settings) -> list[Video]:
    """The videos that are judged by: all, or a random subset that every candidate shares."""
    if len(videos.videos) <= settings.fitness.videos:
        return list(videos.videos)
    chosen = numpy_generator(settings.seed, "fitness-videos").permutation(len(videos.videos))[: settings.fitness.videos]
    return [videos.videos[int(index)] for index in np.sort(chosen)]


def labelled_fingerprint(settings: Settings) -> dict[str, str]:
    """Return the fingerprint of the labelled set, under `labelled`; nothing where no measure needs it."""
    if not any(needs_labels(name) for name in _names(settings)):
        return {}
    return {"labelled": _labelled_material(settings).fingerprint}


def _key(name: str) -> str:
    return name.replace("_", "-")


def _names(settings: Settings) -> list[str]:
    """The measures to take, each once, the guide first."""
    return list(dict.fromkeys(_key(name) for name in (settings.fitness.measure, *settings.fitness.record)))


def _handed(entry: ModuleType, given: FitnessSettings) -> dict[str, Any]:
    """Those of the settings that a measure has a parameter for; all of them where it takes any."""
    parameters = inspect.signature(entry.measure).parameters
    offered = {key: value for key, value in given.model_dump().items() if key not in _OURS}
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return offered
    return {key: value for key, value in offered.items() if key in parameters}


def _labelled_material(settings: Settings) -> Material:
    if settings.fitness.labelled is None:
        raise UsageError(
            "A fitness that looks at labels, such as weak, needs a labelled set.",
            hint="Preprocess videos with labels at the same settings, into a folder of their own, and name it:"
            " elo preprocess LABELLED --out elo/labelled; --set fitness.labelled=elo/labelled",
        )
    return open_material(Path(settings.fitness.labelled))


def _check_rate(labelled: Material, material: Material) -> None:
    """Make sure that a clip shows as much time in one set as in the other."""
    ours, theirs = material.videos.rates.fps, labelled.videos.rates.fps
    if abs(ours - theirs) > 1e-6:
        raise DataError(
            f"{labelled.videos.root} has {theirs:g} frames per second, {material.videos.root} has {ours:g}.",
            hint=f"Preprocess the labelled videos at the same rate: --set preprocess.fps={ours:g}",
        )


def _features(
    encoder: nn.Module, clip: ClipSettings, material: Material, settings: Settings, precision: Precision, *, everything: bool
) -> Features:
    return extract(
        encoder,
        ClipReader(material.videos, clip),
        material.videos.videos if everything else fitness_videos(material.videos, settings),
        views=Views(),
        batch=settings.extract.batch,
        precision=precision,
        progress=lambda done: None,
    )
