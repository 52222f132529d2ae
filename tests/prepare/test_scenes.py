"""Scenes: pure, quick to tell apart by motion, and not by appearance."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from elo_cli.core.seeds import derive
from elo_cli.prepare.motions import MOTIONS
from elo_cli.prepare.scenes import AUDIO_RATE, Scene, render_scene, scene_jobs, write_scene, zipf_counts

SMALL = (48, 64)
EACH = 12


def small(motion: str, seed: int) -> Scene:
    return render_scene(motion, seed, size=SMALL)


@pytest.fixture(scope="module")
def crowd() -> tuple[list[Scene], list[str]]:
    """A dozen small scenes of every motion, each of its own seed, and their labels."""
    labels = [motion for motion in MOTIONS for _ in range(EACH)]
    return [small(motion, derive(5, motion, index)) for index, motion in enumerate(labels)], labels


def accuracy(features: list[NDArray[np.float64]], labels: list[str]) -> float:
    """Five-fold accuracy of a logistic regression."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return float(cross_val_score(model, np.stack(features), labels, cv=folds).mean())


def colour_histogram(scene: Scene) -> NDArray[np.float64]:
    return np.concatenate([np.histogram(scene.frames_THWC[..., c], 16, (0, 256), density=True)[0] for c in range(3)])


def thumbnail(scene: Scene) -> NDArray[np.float64]:
    frame = scene.frames_THWC[len(scene.frames_THWC) // 2].astype(np.float64)
    means: NDArray[np.float64] = frame.reshape(6, SMALL[0] // 6, 8, SMALL[1] // 8, 3).mean((1, 3))
    return means.ravel()


def change_course(scene: Scene) -> NDArray[np.float64]:
    """Describe where the picture changes over time: spectra of the changed area, its centre and its spread."""
    grey = scene.frames_THWC.astype(np.float64).mean(-1)
    changed = np.clip(np.abs(np.diff(grey, axis=0)) - 12, 0, 40) + 1e-3
    total = changed.sum((1, 2))
    y, x = np.mgrid[: SMALL[0], : SMALL[1]] / SMALL[0]
    centre_x, centre_y = (changed * x).sum((1, 2)) / total, (changed * y).sum((1, 2)) / total
    spread = np.sqrt((changed * ((x - centre_x[:, None, None]) ** 2 + (y - centre_y[:, None, None]) ** 2)).sum((1, 2)) / total)
    courses = np.stack([np.log(total), centre_x, centre_y, spread])
    spectrum = np.log(np.abs(np.fft.rfft(courses - courses.mean(1, keepdims=True), axis=1))[:, 1:16] + 1e-3)
    return np.concatenate([spectrum.ravel(), courses.mean(1), courses.std(1)])


def test_there_are_twelve_motions() -> None:
    assert len(set(MOTIONS)) == 12
    assert {"drift", "orbit", "bounce", "zoom", "spin", "shake", "swing", "spiral", "fall", "eight"} < set(MOTIONS)


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_scene_is_a_pure_function_of_motion_and_seed(motion: str) -> None:
    first, again, other = small(motion, 3), small(motion, 3), small(motion, 4)
    assert first.frames_THWC.shape == (48, *SMALL, 3)
    assert first.frames_THWC.dtype == np.uint8
    assert np.array_equal(first.frames_THWC, again.frames_THWC)
    assert not np.array_equal(first.frames_THWC, other.frames_THWC)
    assert first.waveform is not None
    assert again.waveform is not None
    assert np.array_equal(first.waveform, again.waveform)
    assert first.waveform.dtype == np.float32
    assert first.waveform.shape == (3 * AUDIO_RATE,)
    assert 0.3 < np.abs(first.waveform).max() <= 0.9
    moved = np.abs(first.frames_THWC[0].astype(int) - first.frames_THWC[6]).max(axis=-1) > 40
    assert moved.mean() > 0.005


def test_size_rate_and_length_are_the_callers() -> None:
    scene = render_scene("orbit", 3, size=(32, 40), fps=10, seconds=1.25)
    assert scene.frames_THWC.shape == (12, 32, 40, 3)
    assert scene.waveform is not None
    assert scene.waveform.shape == (20000,)
    assert scene.fps == 10


def test_the_same_seed_looks_alike_under_every_motion() -> None:
    stacks = np.stack([np.median(small(motion, 11).frames_THWC, axis=0) for motion in MOTIONS])
    ground = np.median(stacks, axis=0)
    assert (np.abs(stacks - ground).max(-1) < 30).mean() > 0.8


def test_a_tenth_of_the_scenes_is_silent_whatever_the_motion() -> None:
    silent = [render_scene("spin", seed, size=(16, 16), seconds=0.2).waveform is None for seed in range(200)]
    assert 8 <= sum(silent) <= 36
    seed = silent.index(True)
    assert all(small(motion, seed).waveform is None for motion in MOTIONS)


def test_bad_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no motion 'jump'"):
        render_scene("jump", 0)
    with pytest.raises(ValueError, match="16 pixels"):
        render_scene("spin", 0, size=(8, 64))
    with pytest.raises(ValueError, match="no motion jump"):
        scene_jobs(tmp_path, {"jump": 1}, 0)


def test_appearance_does_not_give_the_class_away(crowd: tuple[list[Scene], list[str]]) -> None:
    scenes, labels = crowd
    assert accuracy([colour_histogram(scene) for scene in scenes], labels) < 0.2  # chance is 0.083
    assert accuracy([thumbnail(scene) for scene in scenes], labels) < 0.2


def test_motion_gives_the_class_away(crowd: tuple[list[Scene], list[str]]) -> None:
    scenes, labels = crowd
    assert accuracy([change_course(scene) for scene in scenes], labels) > 0.25


@pytest.mark.parametrize("motion", ["bounce", "spiral", "fall", "stretch"])
def test_the_picture_is_heard(motion: str) -> None:
    """Where speed varies, the sound is loud when the picture changes most."""
    agreement = []
    for scene in (small(motion, seed) for seed in range(12)):
        if scene.waveform is not None:
            change = np.abs(np.diff(scene.frames_THWC.astype(int), axis=0)).mean(-1)
            seen = np.clip(change - 15, 0, None).mean((1, 2))
            loudness = np.sqrt((scene.waveform.reshape(48, -1) ** 2).mean(1))
            agreement.append(np.corrcoef(seen, (loudness[1:] + loudness[:-1]) / 2)[0, 1])
    assert np.mean(agreement) > 0.5


@given(st.integers(1, 40), st.integers(0, 2000), st.floats(0, 4))
def test_zipf_counts_share_everything(classes: int, more: int, exponent: float) -> None:
    total = classes + more
    counts = zipf_counts(total, classes, exponent)
    assert len(counts) == classes
    assert sum(counts) == total
    assert min(counts) >= 1
    assert counts == sorted(counts, reverse=True)


def test_zipf_counts_are_zipfs() -> None:
    assert zipf_counts(25, 4) == [12, 6, 4, 3]
    assert zipf_counts(11, 3) == [6, 3, 2]
    assert zipf_counts(10, 3, 0.0) == [4, 3, 3]
    assert zipf_counts(4, 4) == [1, 1, 1, 1]
    for arguments in ((3, 4, 1.0), (3, 0, 1.0), (3, 2, -1.0), (3, 2, float("nan"))):
        with pytest.raises(ValueError, match="cannot be shared"):
            zipf_counts(*arguments)


def test_jobs_write_videos_once_and_whole(tmp_path: Path) -> None:
    jobs = scene_jobs(tmp_path, {"spin": 2, "drift": 1}, 7, size=SMALL, seconds=1.0)
    assert [job.path.relative_to(tmp_path).as_posix() for job in jobs] == [
        "spin/spin_0000.mp4",
        "spin/spin_0001.mp4",
        "drift/drift_0000.mp4",
    ]
    assert jobs[:1] == scene_jobs(tmp_path, {"spin": 1}, 7, size=SMALL, seconds=1.0)  # more changes none
    leftover = jobs[0].path.with_name(jobs[0].path.name + ".part")
    leftover.parent.mkdir()
    leftover.write_bytes(b"torn by a kill")
    paths = [write_scene(job) for job in jobs]
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(paths)
    with av.open(paths[0]) as container:
        assert sum(1 for _ in container.decode(video=0)) == 16
    before = paths[0].stat().st_mtime_ns
    write_scene(jobs[0])
    assert paths[0].stat().st_mtime_ns == before
    elsewhere = write_scene(replace(jobs[0], path=tmp_path / "again.mp4"))
    assert elsewhere.read_bytes() == paths[0].read_bytes()
