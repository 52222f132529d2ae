"""Frame mAP: cases worked out by hand, and the official evaluation written out anew, row by row."""

import heapq
import math
from collections import defaultdict

import numpy as np
import pytest

from elo_cli.core.boxes import LabelledBoxes
from elo_cli.core.errors import DataError, UsageError
from elo_cli.core.seeds import numpy_generator
from elo_cli.protocols import SHELF, detection
from elo_cli.protocols.detection import average_precision, intersection_over_union, mean_average_precision

LEFT, RIGHT, FAR = (0.0, 0.0, 0.4, 0.5), (0.5, 0.0, 0.9, 0.5), (0.0, 0.8, 0.1, 0.9)
Row = tuple[int, tuple[float, float, float, float], int, float]  # keyframe, box, class, score


def rows(*each: Row) -> LabelledBoxes:
    frame, boxes, classes, scores = (list(column) for column in zip(*each, strict=True)) if each else ([], [], [], [])
    frame_N, class_N = np.array(frame, np.int64), np.array(classes, np.int64)
    return LabelledBoxes(frame_N, np.array(boxes, np.float64).reshape(-1, 4), class_N, np.array(scores, np.float64))


def one(truth: list[Row], found: list[Row], **settings: float) -> float:
    """Score the only class, 7."""
    return mean_average_precision(rows(*truth), rows(*found), [7], **settings).per_class[7]  # type: ignore[arg-type]


def noise(seed: int, *, frames: int = 40, distinct: bool = True) -> tuple[LabelledBoxes, LabelledBoxes]:
    """Draw annotated boxes, and detections near to them and elsewhere, of the classes 1 to 9; some without area."""
    random = numpy_generator(seed, "detections")
    corner = random.uniform(0, 0.6, (frames * 4, 2)).round(3)
    box_M4 = np.concatenate([corner, corner + random.uniform(0.1, 0.4, corner.shape).round(3)], 1)
    frame_M, class_M = random.integers(0, frames, len(box_M4)), random.integers(1, 8, len(box_M4))
    near = random.integers(0, len(box_M4), frames * 30)
    box_N4 = box_M4[near] + random.normal(0, 0.03, (len(near), 4)).round(3)
    frame_N = np.where(random.random(len(near)) < 0.8, frame_M[near], random.integers(0, frames + 5, len(near)))
    class_N = np.where(random.random(len(near)) < 0.6, class_M[near], random.integers(1, 10, len(near)))
    score_N = random.permutation(len(near)) / len(near) if distinct else random.integers(0, 3, len(near)) / 2
    flat = random.random(len(near)) < 0.05
    box_N4[flat, 2] = box_N4[flat, 0]
    return LabelledBoxes(frame_M, box_M4, class_M, np.ones(len(box_M4))), LabelledBoxes(frame_N, box_N4, class_N, score_N)


def shuffled(side: LabelledBoxes, seed: int) -> LabelledBoxes:
    order = numpy_generator(seed, "order").permutation(len(side))
    return LabelledBoxes(side.frame_N[order], side.box_N4[order], side.class_N[order], side.score_N[order])


def brute_force(truth: LabelledBoxes, found: LabelledBoxes, classes: list[int], capacity: int) -> dict[int, float]:
    """Do what get_ava_performance.py does, one row after the other."""
    heaps: dict[int, list[tuple[float, int, list[float]]]] = defaultdict(list)
    for frame, box, label, score in zip(found.frame_N, found.box_N4, found.class_N, found.score_N, strict=True):
        item = (float(score), int(label), box.tolist())
        if label not in classes:
            continue
        if len(heaps[frame]) < capacity:
            heapq.heappush(heaps[frame], item)
        elif score > heaps[frame][0][0]:
            heapq.heapreplace(heaps[frame], item)
    result = {}
    for label in classes:
        scores, right, annotated = [], [], int((truth.class_N == label).sum())
        for frame, items in heaps.items():
            boxes = truth.box_N4[(truth.frame_N == frame) & (truth.class_N == label)].tolist()
            taken: set[int] = set()
            for score, _, box in sorted((item for item in items if item[1] == label), key=lambda item: -item[0]):
                if not (box[0] < box[2] and box[1] < box[3]):
                    continue
                shares = [share(box, other) for other in boxes]
                best = int(np.argmax(shares)) if shares else -1
                scores.append(score)
                right.append(best >= 0 and shares[best] >= 0.5 and best not in taken)
                taken |= {best} if right[-1] else set()
        order = np.argsort(scores)[::-1]
        hits = np.cumsum(np.array(right, int)[order]) if right else np.array([], int)
        precision = [0.0, *(hits / np.arange(1, len(hits) + 1)), 0.0]
        recall = [0.0, *(hits / max(annotated, 1)), 1.0]
        for place in range(len(precision) - 2, -1, -1):
            precision[place] = max(precision[place], precision[place + 1])
        area = sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))
        result[label] = area if annotated else math.nan
    return result


def share(first: list[float], second: list[float]) -> float:
    width = max(0.0, min(first[2], second[2]) - max(first[0], second[0]))
    height = max(0.0, min(first[3], second[3]) - max(first[1], second[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width * height / (sum(areas) - width * height)


@pytest.mark.parametrize("capacity", [50, 9, 2])
@pytest.mark.parametrize("seed", range(4))
def test_against_the_official_evaluation_written_out(seed: int, capacity: int) -> None:
    truth, found = noise(seed)
    classes = [9, 1, 4, 2, 7]  # 9 is never annotated; 3, 5, 6 and 8 are not scored
    expected = brute_force(truth, found, classes, capacity)
    result = mean_average_precision(truth, found, classes, most=capacity)
    assert list(result.per_class) == classes
    for label in classes:
        assert result.per_class[label] == pytest.approx(expected[label], abs=1e-12, nan_ok=True)
    assert result.mean == pytest.approx(np.nanmean(list(expected.values())), abs=1e-12)
    assert math.isnan(result.per_class[9]) and 0.02 < result.mean < 0.98


@pytest.mark.parametrize("distinct", [True, False])
def test_the_order_of_rows_and_classes_makes_no_difference_not_even_of_equal_scores(distinct: bool) -> None:
    truth, found = noise(5, distinct=distinct)
    first = mean_average_precision(truth, found, range(1, 8), most=20)
    for seed in range(5):
        again = mean_average_precision(shuffled(truth, seed), shuffled(found, seed + 9), range(7, 0, -1), most=20)
        assert again.mean == first.mean
        assert again.per_class == first.per_class


def test_keyframes_may_have_names() -> None:
    truth, found = noise(6)
    named = [LabelledBoxes(np.array([f"v@{n:04d}" for n in s.frame_N]), s.box_N4, s.class_N, s.score_N) for s in (truth, found)]
    assert mean_average_precision(*named, range(1, 8)) == mean_average_precision(truth, found, range(1, 8))
    gone = mean_average_precision(*named, range(1, 8), excluded={"v@0000", "v@0003"})
    keep_M, keep_N = (~np.isin(side.frame_N, [0, 3]) for side in (truth, found))
    kept = [
        LabelledBoxes(side.frame_N[keep], side.box_N4[keep], side.class_N[keep], side.score_N[keep])
        for side, keep in ((truth, keep_M), (found, keep_N))
    ]
    assert (
        gone == mean_average_precision(*kept, range(1, 8)) == mean_average_precision(truth, found, range(1, 8), excluded=[0, 3])
    )
    assert gone != mean_average_precision(truth, found, range(1, 8))


def test_perfect_detections_score_one() -> None:
    truth, _ = noise(7)
    seen = LabelledBoxes(truth.frame_N, truth.box_N4, truth.class_N, numpy_generator(0, "sure").random(len(truth)))
    result = mean_average_precision(truth, seen, range(1, 8))
    assert result.mean == 1 and set(result.per_class.values()) == {1.0}


def test_precision_is_the_envelope_from_the_right() -> None:
    # right, wrong, right of two: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1: 1/2 · 1 + 1/2 · 2/3.
    truth = [(0, LEFT, 7, 1.0), (0, RIGHT, 7, 1.0)]
    assert one(truth, [(0, LEFT, 7, 0.9), (0, FAR, 7, 0.8), (0, RIGHT, 7, 0.7)]) == pytest.approx(5 / 6)
    # wrong, right, right: precision 0, 1/2, 2/3, whose envelope is 2/3 all over.
    assert one(truth, [(0, FAR, 7, 0.9), (0, LEFT, 7, 0.8), (0, RIGHT, 7, 0.7)]) == pytest.approx(2 / 3)
    # one of two found, nothing wrong: recall ends at 1/2, and precision is 0 from there on.
    assert one(truth, [(0, LEFT, 7, 0.9)]) == pytest.approx(1 / 2)
    assert one(truth, [(0, FAR, 7, 0.9)]) == one(truth, []) == 0
    assert average_precision(np.array([True, False, True]), 4) == pytest.approx(1 / 4 + 1 / 4 * 2 / 3)
    assert math.isnan(average_precision(np.array([False]), 0))


def test_a_second_detection_of_one_box_is_wrong_and_the_surer_one_counts() -> None:
    truth = [(0, LEFT, 7, 1.0), (0, RIGHT, 7, 1.0)]
    twice = [(0, LEFT, 7, 0.8), (0, LEFT, 7, 0.9), (0, RIGHT, 7, 0.7)]  # right, wrong, right
    assert one(truth, twice) == pytest.approx(5 / 6)


def test_only_the_box_of_the_largest_iou_is_looked_at() -> None:
    # The second detection shares 0.96 with the taller box, which is taken, and 0.83 with the other, which is free: wrong.
    tall, low, between = (0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.5, 0.4), (0.0, 0.0, 0.5, 0.48)
    truth = [(0, tall, 7, 1.0), (0, low, 7, 1.0)]
    assert one(truth, [(0, tall, 7, 0.9), (0, between, 7, 0.8)]) == pytest.approx(1 / 2)
    assert one(truth, [(0, tall, 7, 0.9), (0, low, 7, 0.8)]) == 1


def test_half_of_both_boxes_is_enough_and_less_is_not() -> None:
    whole, half, less = (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.5, 1.0), (0.0, 0.0, 0.499, 1.0)
    assert one([(0, whole, 7, 1.0)], [(0, half, 7, 0.1)]) == 1
    assert one([(0, whole, 7, 1.0)], [(0, less, 7, 0.1)]) == 0
    assert one([(0, whole, 7, 1.0)], [(0, less, 7, 0.1)], iou=0.4) == 1


def test_what_is_detected_in_other_keyframes_or_of_other_classes_is_wrong_there() -> None:
    truth = [(0, LEFT, 7, 1.0), (1, RIGHT, 8, 1.0)]
    found = [(5, LEFT, 7, 0.9), (0, LEFT, 7, 0.8), (0, LEFT, 8, 0.7), (1, LEFT, 8, 0.6), (1, RIGHT, 8, 0.5), (1, RIGHT, 9, 0.4)]
    result = mean_average_precision(rows(*truth), rows(*found), [7, 8, 9])
    # 7: wrong (a keyframe without boxes), right: 1/2. 8: wrong (a box of 7), wrong (elsewhere), right: 1/3. 9: not annotated.
    assert result.per_class == pytest.approx({7: 1 / 2, 8: 1 / 3, 9: math.nan}, nan_ok=True)
    assert result.mean == pytest.approx(5 / 12)
    assert mean_average_precision(rows(*truth), rows(*found), [7]).mean == pytest.approx(1 / 2)


def test_fifty_detections_of_a_keyframe_count_classes_that_are_not_scored_aside() -> None:
    # One box with 60 actions: the ten least sure are dropped, and so these ten classes score 0.
    truth = rows(*[(0, LEFT, label, 1.0) for label in range(1, 61)])
    found = rows(*[(0, LEFT, label, label / 100) for label in range(1, 61)])
    result = mean_average_precision(truth, found, range(1, 61))
    assert result.mean == pytest.approx(50 / 60)
    assert [label for label, value in result.per_class.items() if not value] == list(range(1, 11))
    assert mean_average_precision(truth, found, range(1, 61), most=None).mean == 1
    assert mean_average_precision(truth, found, range(1, 51)).mean == 1  # ten classes are not scored and take no place
    # A box without width takes a place among the 50, though it is not scored itself.
    line = rows(*[(0, LEFT, label, label / 100) for label in range(1, 61)], (0, (0.2, 0.1, 0.2, 0.9), 5, 0.99))
    assert mean_average_precision(truth, line, range(1, 61)).mean == pytest.approx(49 / 60)


def test_iou_of_known_boxes() -> None:
    boxes = np.array([LEFT, (0.2, 0.0, 0.6, 0.5), FAR, (0.3, 0.3, 0.3, 0.3)])
    result = intersection_over_union(boxes, boxes[:3])
    # LEFT and the second share half of their width: 0.1 of 0.2 + 0.2 - 0.1.
    expected = [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(result, expected, atol=1e-15)
    assert intersection_over_union(np.empty((0, 4)), boxes).shape == (0, 4)


def test_bad_rows_and_settings_are_refused_with_a_hint() -> None:
    good = [(0, LEFT, 7, 1.0)]
    for truth, found, message in (
        (good, [(0, LEFT, 7, math.nan)], "detected, or its score, is not finite"),
        (good, [(0, (0, 0, math.inf, 1), 7, 0.5)], "detected, or its score, is not finite"),
        ([(0, RIGHT[2:] + RIGHT[:2], 7, 1.0)], good, "ends before it begins"),
        ([(0, LEFT, 8, 1.0)], good, "No box of the classes that are scored is annotated"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            one(truth, found)
        assert caught.value.hint
    for settings in ({"iou": 0.0}, {"iou": 1.1}, {"most": 0}):
        with pytest.raises(UsageError) as wrong:
            one(good, good, **settings)
        assert wrong.value.hint
    with pytest.raises(UsageError):
        mean_average_precision(rows(*good), rows(*good), [])


def test_the_shelf_holds_it_and_it_says_that_it_needs_boxes() -> None:
    assert SHELF.take("detection") is detection
    assert detection.NEEDS == "boxes"
