"""The protocol detection: what persons in boxes do, on keyframes; an encoder and a head for regions are trained and scored.

Each encoder has a folder of its own in the run's directory, with checkpoints: a stop loses nothing. Where several processes
train together, all call `detect`; rank 0 alone tests and writes. A keyframe is seen as one clip around it that shows the whole
picture, prepared once for each geometry.

Shape legend: K annotated boxes of a keyframe, G given ones, C classes.
"""

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from elo_cli import dist
from elo_cli.core.boxes import BoxedSet, Keyframe
from elo_cli.core.errors import DataError
from elo_cli.core.files import write_json
from elo_cli.core.seeds import derive
from elo_cli.core.settings import Settings
from elo_cli.core.train_settings import ClipSettings
from elo_cli.data.listing import ListedVideo
from elo_cli.data.video_set import Video
from elo_cli.engine.detector import BoxesToLearn, Detector, make_detection, tell
from elo_cli.engine.export import LoadedEncoder
from elo_cli.engine.loop import Training
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import loader_workers
from elo_cli.protocols.detection import mean_average_precision
from elo_cli.run.directory import RunDirectory
from elo_cli.workflows.events import Watch
from elo_cli.workflows.extract import preparation
from elo_cli.workflows.labelled_training import bind, train_on
from elo_cli.workflows.material import Material
from elo_cli.workflows.prepared_sets import PreparedSets
from elo_cli.workflows.representations import Representation

PROTOCOL = "detection"
VIEW = "the whole frame, squeezed"


@dataclass(frozen=True)
class _Side:
    """The keyframes of one side that are seen, each as a video of a preprocessed set.

    Attributes:
        material: the set.
        seen: the keyframe of each of its videos by its number; None where the clip ends before its keyframe.
        asked: how many keyframes there are to be seen.
    """

    material: Material
    seen: tuple[Keyframe | None, ...]
    asked: int

    @property
    def unread(self) -> int:
        """How many keyframes cannot be seen."""
        return self.asked - sum(keyframe is not None for keyframe in self.seen)

    def pairs(self) -> list[tuple[Video, Keyframe]]:
        """Return each video that is seen with its keyframe."""
        return [(video, each) for video, each in zip(self.material.videos.videos, self.seen, strict=True) if each is not None]


def detect(
    one: Representation, boxed: BoxedSet, sets: PreparedSets, settings: Settings, run: RunDirectory, watch: Watch
) -> dict[str, Any] | None:
    """Train an encoder with a head on the training keyframes, and score it on the others; go on where that was begun.

    Returns:
        The result line; None on other ranks than rank 0.

    Raises:
        DataError: no keyframe of a side can be read.
        TrainingError: too often something was no finite number; the state is saved.
        Stopped: somebody asked for it; the state is saved.
    """
    folder, precision = run.root / PROTOCOL / one.name, Precision.choose(settings.machine)
    result = folder / "result.json"
    found = one.encoder
    assert found is not None
    counted = counting(boxed, settings.benchmark.detection.score_threshold)
    train = _side([keyframe for keyframe in boxed.train if keyframe.labels], found, boxed, sets, settings)
    test = _side([keyframe for keyframe in counted.test if len(keyframe.given_G4)], found, boxed, sets, settings)
    data = {"trains": train.material.fingerprint, "tests": test.material.fingerprint}
    bind(folder, **data, encoder=one.digest)
    if dist.first_text("done" if result.exists() else "", precision.device):
        return None if dist.rank() else result_line(one, boxed, _read(result), settings)
    training = _trained(found, boxed, train, folder / "training", precision, settings, f"training {one.name} on boxes", watch)
    if not dist.rank():
        clip = training.settings.clip
        scores = _scores(training.objective, clip, counted, test, precision, settings, f"testing {one.name}", watch)
        told = score(counted, scores, settings.benchmark.detection.most)
        trained = train.asked - train.unread
        told["keyframes"] = {"train": len(boxed.train), "without_boxes": len(boxed.train) - train.asked, "trained": trained}
        told["keyframes"] |= {"unread_train": train.unread, "test": len(boxed.test), "unreadable": test.unread}
        write_json(result, told | {"steps": training.settings.steps, "data": data["tests"]})
    dist.after_first(f"{PROTOCOL} {one.name}")
    return None if dist.rank() else result_line(one, boxed, _read(result), settings)


def counting(boxed: BoxedSet, threshold: float) -> BoxedSet:
    """Leave out the given boxes that their detector was less sure of; the classes are told of the others alone.

    SlowFast does so, and what it says of a class is not multiplied by how sure the detector was of the person.
    """
    test = []
    for keyframe in boxed.test:
        sure_G = keyframe.confidence_G >= threshold
        test.append(replace(keyframe, given_G4=keyframe.given_G4[sure_G], confidence_G=keyframe.confidence_G[sure_G]))
    return replace(boxed, test=tuple(test))


def score(boxed: BoxedSet, scores: dict[str, np.ndarray], most: int | None) -> dict[str, Any]:
    """Compute mAP; of keyframes that could not be read all annotated boxes stay, and nothing is detected in them.

    Args:
        boxed: its test side is scored.
        scores: of the keyframes that were read, by id, (G, C).
        most: detections of a keyframe that count.
    """
    nothing = np.empty((0, 4)), np.empty(0)
    test = [each if each.id in scores else replace(each, given_G4=nothing[0], confidence_G=nothing[1]) for each in boxed.test]
    read = replace(boxed, test=tuple(test))
    detections = read.detections([scores.get(each.id, np.empty((0, len(boxed.classes)))) for each in test])
    found = mean_average_precision(boxed.truth(), detections, list(boxed.classes), most=most)
    per_class = {name: found.per_class[number] for number, name in boxed.classes.items()}
    return {
        "mean_average_precision": found.mean,
        "per_class": {name: None if math.isnan(value) else value for name, value in per_class.items()},
        "given_boxes": sum(len(each.given_G4) for each in test),
    }


def result_line(one: Representation, boxed: BoxedSet, told: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Say everything that must be known to compare a number with another; `told` is what was written when it was scored."""
    given, found = settings.benchmark.detection, one.encoder
    assert found is not None
    annotated = [value for value in told["per_class"].values() if value is not None]
    return {
        "representation": one.name,
        "row": one.row,
        "dataset": boxed.name,
        "protocol": PROTOCOL,
        "mean_average_precision": told["mean_average_precision"],
        "metrics": {"mean_average_precision": told["mean_average_precision"], "classes": len(annotated)},
        "per_class": told["per_class"],
        "boxes": "ground truth" if boxed.given == "annotations" else boxed.given,
        "given_boxes": told["given_boxes"],
        "score_threshold": None if boxed.given == "annotations" else given.score_threshold,
        "most": given.most,
        "frozen": given.frozen,
        "keyframes": told["keyframes"],
        "steps": told["steps"],
        "missing_videos": len(boxed.missing),
        "frames": found.clip.frames,
        "stride": found.clip.stride,
        "fps": found.card["input"]["fps"],
        "size": found.clip.size,
        "clips": 1,
        "crops": 1,
        "view": VIEW,
        "seed": settings.seed,
        "data": told["data"],
        "encoder": one.digest,
        "search": one.search,
    }


def stretch(keyframe: Keyframe, clip: ClipSettings, fps: float) -> ListedVideo:
    """Name the stretch of a video that one clip with its keyframe in the middle needs; at the video's beginning it is later.

    Half a stored frame's time and more lies before and after it, so that a source whose frames come at other times fills it.
    """
    begin_s = max(0.0, keyframe.at_s - (clip.span - 1) / 2 / fps)
    end_s = begin_s + (clip.span + 1) / fps
    return ListedVideo(str(keyframe.path), keyframe.id, start_s=max(0.0, begin_s - 1 / fps), end_s=end_s)


def _side(keyframes: Sequence[Keyframe], found: LoadedEncoder, boxed: BoxedSet, sets: PreparedSets, settings: Settings) -> _Side:
    """Prepare a clip around each keyframe."""
    fps = found.card["input"]["fps"]
    if not keyframes:
        raise DataError(f"{boxed.name} has no keyframe with a box on one of its sides.", hint="Look at its lists.")
    wanted = preparation(found, settings, 1, flow=False)
    listed = [stretch(keyframe, found.clip, fps) for keyframe in keyframes]
    material = sets.open(boxed.name, f"the keyframes of {boxed.name}", listed, wanted)
    known = {keyframe.id: keyframe for keyframe in keyframes}
    seen = tuple(known[video.id] if shows(video, known[video.id].at_s, fps) else None for video in material.videos.videos)
    return _Side(material, seen, len(keyframes))


def shows(video: Video, at_s: float, fps: float) -> bool:
    """Say whether a clip reaches its keyframe: a film may end before, where its last frames are all that there is."""
    return any(part.record.start_s + (part.record.frames + 1) / fps >= at_s for part in video.segments)


def _trained(
    found: LoadedEncoder,
    boxed: BoxedSet,
    train: _Side,
    folder: Path,
    precision: Precision,
    settings: Settings,
    stage: str,
    watch: Watch,
) -> Training[Detector]:
    """Train to the end, from the newest checkpoint if there is one."""
    none = np.empty((0, 4)), np.empty((0, len(boxed.classes)))
    rows = [none if each is None else (each.box_K4, boxed.targets(each)) for each in train.seen]
    training = make_detection(
        LoadedEncoder(found.path, copy.deepcopy(found.network), found.card),
        settings.benchmark.detection,
        train.material.videos,
        BoxesToLearn([boxes for boxes, _ in rows], [targets for _, targets in rows]),
        seed=derive(settings.seed, PROTOCOL),
        precision=precision,
        without=[number for number, each in enumerate(train.seen) if each is None],
    )
    train_on(training, folder, settings, stage, watch)
    return training


def _scores(
    model: Detector,
    clip: ClipSettings,
    counted: BoxedSet,
    test: _Side,
    precision: Precision,
    settings: Settings,
    stage: str,
    watch: Watch,
) -> dict[str, np.ndarray]:
    """Return what a trained network says of the given boxes of each keyframe that is seen, by its id: (G, C)."""
    pairs = test.pairs()
    watch.start(stage, len(pairs), "keyframe")

    def progress(done: int) -> None:
        watch.advance(stage, done)
        watch.check()

    scores = tell(
        model,
        clip,
        test.material.videos,
        [video for video, _ in pairs],
        [keyframe.given_G4 for _, keyframe in pairs],
        batch=settings.extract.batch,
        precision=precision,
        progress=progress,
        workers=loader_workers(settings.machine, precision),
    )
    watch.finish(stage)
    return {keyframe.id: each for (_, keyframe), each in zip(pairs, scores, strict=True)}


def _read(path: Path) -> dict[str, Any]:
    """Read what was written when an encoder was scored.

    Raises:
        DataError: the file is damaged.
    """
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        for key in ("mean_average_precision", "per_class", "given_boxes", "keyframes", "steps"):
            told[key]
        return told
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read: {error!r}.", hint="Delete it: the same command tests the network again."
        ) from error
