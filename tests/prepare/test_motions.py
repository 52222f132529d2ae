"""Motions: all differ."""

import numpy as np

from elo_cli.prepare.motions import MOTIONS, Manner, poses

MANNER = Manner(anchor=(0.0, 0.0), reach=1.0, speed=1.0, phase=0.25, tilt=0.1, hand=1.0, pose=0.0)
TIMES = np.arange(0, 4, 0.05)


def test_no_two_motions_are_alike() -> None:
    courses = {motion: poses(motion, MANNER, TIMES) for motion in MOTIONS}
    assert all(course.shape == (len(TIMES), 6) for course in courses.values())
    names = list(MOTIONS)
    for number, one in enumerate(names):
        assert all(np.abs(courses[one] - courses[other]).max() > 0.05 for other in names[number + 1 :])
