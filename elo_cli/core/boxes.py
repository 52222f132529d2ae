"""Boxes of persons on keyframes of videos, and what the persons do: what is there, and what is scored.

Boxes are (x1, y1, x2, y2) as shares of the picture's width and height, in [0, 1], from its upper left corner.

Shape legend: K annotated boxes of a keyframe, G given boxes of a keyframe, C classes, N boxes of many keyframes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class LabelledBoxes:
    """Boxes of many keyframes, each with one class: of a box with several classes there are several.

    Attributes:
        frame_N: the keyframe of each, integers or text; equal ones are one keyframe.
        box_N4: float64, normalised.
        class_N: integers, the ids of the classes.
        score_N: float64, larger is surer; 1 where boxes are annotated and not detected.
    """

    frame_N: np.ndarray
    box_N4: np.ndarray
    class_N: np.ndarray
    score_N: np.ndarray

    def __post_init__(self) -> None:
        assert self.frame_N.ndim == 1 and self.frame_N.dtype.kind in "iuU", self.frame_N
        assert self.class_N.ndim == 1 and self.class_N.dtype.kind in "iu", self.class_N
        assert self.box_N4.shape == (len(self.frame_N), 4), self.box_N4.shape
        assert self.class_N.shape == self.score_N.shape == self.frame_N.shape

    def __len__(self) -> int:
        return len(self.frame_N)


@dataclass(frozen=True)
class Keyframe:
    """One moment of a video, and the persons in it.

    Attributes:
        path: where the video is, absolute.
        id: `<video>@<timestamp>`, unlike every other of its set.
        video: the name of the video in the set's lists.
        timestamp_s: the moment as the lists name it, in seconds from the beginning of the whole video.
        at_s: the same moment in seconds from the beginning of the file, which may hold a part of the video.
        box_K4: annotated boxes, float64; there may be none.
        labels: the ids of the classes of each annotated box, in ascending order. One comes twice where the lists have its row
            twice, because then it is counted twice.
        given_G4: the boxes whose classes are to be told, float64; these are the annotated ones where nothing was detected.
        confidence_G: how sure the detector of each given box was, in [0, 1]; 1 of annotated ones.
    """

    path: Path
    id: str
    video: str
    timestamp_s: float
    at_s: float
    box_K4: np.ndarray
    labels: tuple[tuple[int, ...], ...]
    given_G4: np.ndarray
    confidence_G: np.ndarray


@dataclass(frozen=True)
class BoxedSet:
    """A set of keyframes with boxes as found on disk.

    Attributes:
        name: what results call it.
        root: the folder that it was found in, absolute.
        classes: the name of each class that is scored, by id, in the order of the set's own list.
        train: keyframes to learn from, sorted by id.
        test: keyframes to score, sorted by id; no video is on both sides.
        given: where the given boxes of `test` come from: `annotations`, or the name of a file of detections.
        missing: videos that the lists name but the disk does not hold; empty unless that was allowed.
    """

    name: str
    root: Path
    classes: Mapping[int, str]
    train: tuple[Keyframe, ...]
    test: tuple[Keyframe, ...]
    given: str
    missing: tuple[str, ...] = ()

    def targets(self, keyframe: Keyframe) -> np.ndarray:
        """Return what a head is to learn of the annotated boxes, (K, C) float32: 1 for the classes that a box has."""
        column = {number: position for position, number in enumerate(self.classes)}
        target_KC = np.zeros((len(keyframe.labels), len(column)), np.float32)
        for row, labels in enumerate(keyframe.labels):
            target_KC[row, [column[label] for label in labels if label in column]] = 1
        return target_KC

    def truth(self) -> LabelledBoxes:
        """Return the annotated boxes of `test`, one for each label that is scored; `frame_N` are positions in `test`."""
        rows = [
            (position, number, label)
            for position, keyframe in enumerate(self.test)
            for number, labels in enumerate(keyframe.labels)
            for label in labels
            if label in self.classes
        ]
        frame_N, class_N = (np.array([row[part] for row in rows], np.int64) for part in (0, 2))
        boxes = [self.test[position].box_K4[number] for position, number, _ in rows]
        return LabelledBoxes(frame_N, np.array(boxes, np.float64).reshape(-1, 4), class_N, np.ones(len(rows)))

    def detections(self, scores: Sequence[np.ndarray]) -> LabelledBoxes:
        """Return the given boxes of `test` with every class, ready to be scored against `truth`.

        Args:
            scores: for each keyframe of `test` a (G, C) array: how sure it is that each given box has each class.
        """
        assert len(scores) == len(self.test), (len(scores), len(self.test))
        classes_C, given = np.array(list(self.classes), np.int64), [len(keyframe.given_G4) for keyframe in self.test]
        empty = [np.empty((0, len(classes_C)))]
        score_NC = np.concatenate(empty + [np.asarray(each, np.float64) for each in scores])
        assert score_NC.shape == (sum(given), len(classes_C)), score_NC.shape
        box_N4 = np.concatenate([np.empty((0, 4))] + [keyframe.given_G4 for keyframe in self.test])
        return LabelledBoxes(
            np.repeat(np.arange(len(given)), given).repeat(len(classes_C)),
            box_N4.repeat(len(classes_C), axis=0),
            np.tile(classes_C, len(box_N4)),
            score_NC.reshape(-1),
        )
