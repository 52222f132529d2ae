"""Parts for cross-validation: each video once, classes alike, groups whole."""

import numpy as np

from elo_cli.vectors.folds import parted


def test_every_video_is_held_out_once_and_classes_are_alike() -> None:
    label_N = np.arange(60) % 5
    found = parted(label_N, None, 3, 0)
    assert found is not None and not found.grouped
    assert sorted(np.concatenate([held for _, held in found.parts])) == list(range(60))
    for rows, held in found.parts:
        assert set(rows) | set(held) == set(range(60)) and not set(rows) & set(held)
        assert np.bincount(label_N[held]).tolist() == [4] * 5


def test_groups_are_never_parted_and_classes_are_still_alike() -> None:
    label_N = np.repeat(np.arange(4), 30)
    groups = [f"{label}-{row % 6}" for label, row in zip(label_N, range(120), strict=True)]
    for seed in range(5):
        found = parted(label_N, groups, 3, seed)
        assert found is not None and found.grouped and len(found.parts) == 3
        for rows, held in found.parts:
            assert not {groups[row] for row in rows} & {groups[row] for row in held}
            assert np.bincount(label_N[held]).tolist() == [10] * 4


def test_fewer_groups_or_videos_make_fewer_folds() -> None:
    label_N = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    by_group = parted(label_N, list("aabbccdd"), 3, 0)
    assert by_group is not None and by_group.grouped and len(by_group.parts) == 2
    by_video = parted(np.array([0, 0, 1, 1, 1]), None, 3, 0)
    assert by_video is not None and len(by_video.parts) == 2
    assert parted(np.array([0, 0, 1]), None, 3, 0) is None


def test_without_enough_groups_videos_are_parted() -> None:
    label_N = np.array([0, 0, 0, 1, 1, 1])
    for groups in (list("aaabcd"), list("abcdef"), [None] * 6):  # one of class 0; each a video; not known
        found = parted(label_N, groups, 3, 0)
        assert found is not None and not found.grouped and len(found.parts) == 3


def test_a_video_of_an_unknown_group_is_one_of_its_own() -> None:
    label_N = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    found = parted(label_N, ["a", "a", None, None, "b", "b", None, None], 3, 0)
    assert found is not None and found.grouped
    for _, held in found.parts:
        assert {0, 1} <= set(held) or not {0, 1} & set(held)
    assert sorted(np.concatenate([held for _, held in found.parts])) == list(range(8))


def test_groups_that_leave_one_class_to_learn_from_are_given_up() -> None:
    # Group x is all of class 1 but one video, which shares a group with half of class 0.
    label_N = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    found = parted(label_N, list("yyzzyzyz"), 2, 0)
    assert found is not None
    for rows, _ in found.parts:
        assert len(set(label_N[rows].tolist())) == 2


def test_classes_need_not_be_counted_without_gaps() -> None:
    found = parted(np.array([2, 2, 7, 7]), list("abcd"), 2, 0)
    assert found is not None and len(found.parts) == 2
