"""The detection protocol: frame mAP at an IoU of 0.5, as AVA's official evaluation computes it (Gu et al. 2018).

It scores no features, and so has no `evaluate`: a head is trained on keyframes with boxes (`NEEDS`), and what it says of
the given boxes of other keyframes is scored here. The numbers are those of ActivityNet's `get_ava_performance.py` with
the `PascalDetectionEvaluator` of TensorFlow's object detection:

- classes that are not scored are left out first, of truth and detections; then of each keyframe no more than the 50 surest
  detections count, a box with two classes being two of them. (SlowFast's own evaluation has no such bound: `most=None`.)
- detections without height or width are left out. There is no suppression of detections that overlap (the evaluator's
  bound is an IoU of 1), and AVA has neither difficult boxes nor boxes of groups.
- in a keyframe and class, from the surest detection on, each is compared with the annotated box of the largest IoU alone;
  it is right if that IoU is at least 0.5 and no surer one was right by the same box, and wrong otherwise.
- what is detected of a class where it was not annotated, or in keyframes without any annotation, is wrong.
- AP is the area under precision over recall, precision made falling from the right (VOC since 2010, no 11 points). A class
  that is annotated but never detected has AP 0; one that is not annotated has none, and is not in the mean.

The official code orders detections of one score as a heap and an unstable sort leave them, so there any order may come out.
Here it is always the same, whatever the order of the rows: by keyframe, and within it by class and box.

Shape legend: N detections, M annotated boxes, P pairs of both.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from elo_cli.core.boxes import LabelledBoxes
from elo_cli.core.errors import DataError, UsageError

NEEDS = "boxes"  # what it is trained on and scored with: keyframes with boxes (`BoxedSet`), not features of videos
MOST = 50  # detections of a keyframe that count: the capacity that get_ava_performance.py reads them with


@dataclass(frozen=True)
class DetectionScores:
    """What detections are worth.

    Attributes:
        mean: mAP, the mean over the classes that are annotated, in [0, 1].
        per_class: the AP of each class by its id, in [0, 1]; NaN of classes that are not annotated.
    """

    mean: float
    per_class: Mapping[int, float]


def intersection_over_union(first_N4: np.ndarray, second_M4: np.ndarray) -> np.ndarray:
    """Return the IoU of every box with every other, (N, M) in [0, 1]; 0 of two boxes without area."""
    return _overlap(np.asarray(first_N4, np.float64)[:, None], np.asarray(second_M4, np.float64)[None])


def mean_average_precision(
    truth: LabelledBoxes,
    detections: LabelledBoxes,
    classes: Sequence[int],
    *,
    iou: float = 0.5,
    most: int | None = MOST,
    excluded: Collection[int] | Collection[str] = (),
) -> DetectionScores:
    """Score detections against annotated boxes; the order of rows and classes makes no difference.

    Args:
        truth: annotated boxes; their scores are not read.
        detections: boxes with scores; of equal keyframes `frame_N` is equal on both sides.
        classes: the ids of those that are scored; boxes of others are left out.
        iou: how much of both boxes an annotated and a detected one must share at least, in (0, 1].
        most: detections of a keyframe that count, the surest; None: all.
        excluded: keyframes that are left out.

    Raises:
        DataError: a box or a score is not finite, an annotated box is inside out, or no class is annotated.
        UsageError: a setting is out of its range.
    """
    numbers = np.unique(np.asarray(classes, np.int64))
    if not len(numbers) or not 0 < iou <= 1 or (most is not None and most < 1):
        raise UsageError(
            f"{len(numbers)} classes, iou={iou} and most={most} cannot be.",
            hint="Give one class or more, an IoU in (0, 1], and at least one detection a keyframe.",
        )
    _check(truth, detections)
    truth, detections = (_scored(side, numbers, excluded) for side in (truth, detections))
    if not len(truth):
        raise DataError("No box of the classes that are scored is annotated.", hint="Look at the lists of the test side.")
    truth_M, frame_N = _frames(truth.frame_N, detections.frame_N)
    order_N = _surest(frame_N, detections, most)
    frame_N, box_N4, score_N = frame_N[order_N], detections.box_N4[order_N], detections.score_N[order_N]
    column_N = np.searchsorted(numbers, detections.class_N[order_N])
    column_M = np.searchsorted(numbers, truth.class_N)
    right_N = _right(truth_M * len(numbers) + column_M, truth.box_N4, frame_N * len(numbers) + column_N, box_N4, iou)
    ranked_N = np.lexsort((-score_N, column_N))  # stable: equal scores stay in the order of `_surest`
    ends = np.searchsorted(column_N[ranked_N], np.arange(1, len(numbers)))
    ranked = np.split(right_N[ranked_N], ends)
    annotated = np.bincount(column_M, minlength=len(numbers))
    precisions = [average_precision(each_N, int(count)) for each_N, count in zip(ranked, annotated, strict=True)]
    found = {int(number): value for number, value in zip(numbers, precisions, strict=True)}
    return DetectionScores(float(np.nanmean(precisions)), {int(number): found[int(number)] for number in classes})


def average_precision(right_N: np.ndarray, annotated: int) -> float:
    """Return the area under the envelope of precision over recall.

    Args:
        right_N: whether each detection is right, the surest first.
        annotated: how many boxes there are to detect; of 0 the value is NaN.
    """
    if not annotated:
        return math.nan
    hits_N = np.cumsum(right_N)
    envelope_N = np.maximum.accumulate((hits_N / np.arange(1, len(hits_N) + 1))[::-1])[::-1]
    # Recall grows by one box at each right detection, and nowhere else.
    return float(envelope_N[np.asarray(right_N, bool)].sum() / annotated)


def _check(truth: LabelledBoxes, detections: LabelledBoxes) -> None:
    """Refuse numbers that no picture has."""
    for noun, side in (("annotated", truth), ("detected", detections)):
        if not np.isfinite(side.box_N4).all() or not np.isfinite(side.score_N).all():
            raise DataError(f"A box that was {noun}, or its score, is not finite.", hint="Look for NaN in what the head returns.")
    if np.any(truth.box_N4[:, :2] > truth.box_N4[:, 2:]):
        raise DataError("An annotated box ends before it begins.", hint="Boxes are x1, y1, x2, y2, with x1 ≤ x2 and y1 ≤ y2.")


def _scored(side: LabelledBoxes, numbers: np.ndarray, excluded: Collection[int] | Collection[str]) -> LabelledBoxes:
    """Leave out the boxes of other classes and of excluded keyframes."""
    keep_N = np.isin(side.class_N, numbers)
    if len(excluded):
        keep_N &= ~np.isin(side.frame_N, np.array(sorted(excluded)))
    return LabelledBoxes(
        side.frame_N[keep_N],
        np.asarray(side.box_N4, np.float64)[keep_N],
        side.class_N[keep_N],
        np.asarray(side.score_N, np.float64)[keep_N],
    )


def _frames(truth_M: np.ndarray, detected_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the keyframes of both sides, from 0, in their own order."""
    if not len(detected_N):
        detected_N = detected_N.astype(truth_M.dtype)
    assert (truth_M.dtype.kind == "U") == (detected_N.dtype.kind == "U"), "keyframes have numbers or names, not both"
    frame_X = np.unique(np.concatenate([truth_M, detected_N]), return_inverse=True)[1]
    return frame_X[: len(truth_M)], frame_X[len(truth_M) :]


def _surest(frame_N: np.ndarray, detections: LabelledBoxes, most: int | None) -> np.ndarray:
    """Return the rows that count: by keyframe, the surest first; of equal scores those of larger class and box.

    The official heap drops the smallest (score, class, y1, x1, y2, x2); so which rows are kept is the same but for equal scores.
    """
    x1_N, y1_N, x2_N, y2_N = detections.box_N4.T
    order_N = np.lexsort((-x2_N, -y2_N, -x1_N, -y1_N, -detections.class_N, -detections.score_N, frame_N))
    sorted_N = frame_N[order_N]
    place_N = np.arange(len(order_N)) - np.searchsorted(sorted_N, sorted_N)
    if most is not None:
        order_N = order_N[place_N < most]
    box_N4 = detections.box_N4[order_N]  # what has no area takes a place among the surest, but is not scored: so it is there
    return order_N[(box_N4[:, 0] < box_N4[:, 2]) & (box_N4[:, 1] < box_N4[:, 3])]


def _right(key_M: np.ndarray, truth_M4: np.ndarray, key_N: np.ndarray, box_N4: np.ndarray, iou: float) -> np.ndarray:
    """Return whether each detection is right, (N,) bool.

    Args:
        key_M, truth_M4: annotated boxes, and a number for the keyframe and class of each.
        key_N, box_N4: detections likewise; within a key the surest first.
        iou: what a right one shares with its box at least.
    """
    # Of several boxes of one IoU the first counts, in the order y1, x1, y2, x2, as in the official heap's root.
    order_M = np.lexsort((truth_M4[:, 2], truth_M4[:, 3], truth_M4[:, 0], truth_M4[:, 1], key_M))
    key_M, truth_M4 = key_M[order_M], truth_M4[order_M]
    right_N = np.zeros(len(key_N), bool)
    first_N, last_N = np.searchsorted(key_M, key_N, "left"), np.searchsorted(key_M, key_N, "right")
    rows = np.flatnonzero(last_N > first_N)
    if not len(rows):
        return right_N
    counts = (last_N - first_N)[rows]
    starts = np.cumsum(counts) - counts
    partner_P = np.arange(counts.sum()) - np.repeat(starts - first_N[rows], counts)
    overlap_P = _overlap(box_N4[np.repeat(rows, counts)], truth_M4[partner_P])
    best = np.maximum.reduceat(overlap_P, starts)
    partner = np.minimum.reduceat(np.where(overlap_P == np.repeat(best, counts), partner_P, len(key_M)), starts)
    rows, partner = rows[best >= iou], partner[best >= iou]
    right_N[rows[np.unique(partner, return_index=True)[1]]] = True  # the first of each box is the surest
    return right_N


def _overlap(first_P4: np.ndarray, second_P4: np.ndarray) -> np.ndarray:
    """Return the IoU of pairs of boxes (…, 4), by the official code's operations in their order: its very bits."""
    corner = np.maximum(first_P4[..., :2], second_P4[..., :2]), np.minimum(first_P4[..., 2:], second_P4[..., 2:])
    sides = np.maximum(0.0, corner[1] - corner[0])
    shared = sides[..., 1] * sides[..., 0]
    areas = [(box[..., 3] - box[..., 1]) * (box[..., 2] - box[..., 0]) for box in (first_P4, second_P4)]
    union = areas[0] + areas[1] - shared
    result: np.ndarray = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return result
