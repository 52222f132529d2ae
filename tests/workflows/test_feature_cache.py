"""Features are taken once: what is kept is used, what is damaged or of other videos is taken again, a stop loses one part."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from elo_cli.config import resolve
from elo_cli.core.errors import Stopped
from elo_cli.core.features import Features, ids_path
from elo_cli.data.evaluation import Views
from elo_cli.data.video_set import Video, VideoSet
from elo_cli.engine.export import LoadedEncoder, load_encoder
from elo_cli.workflows import feature_cache
from elo_cli.workflows.events import Unwatched
from elo_cli.workflows.feature_cache import Progress, cached_features, encoder_features, key_of, seen_by
from elo_cli.workflows.material import Material
from tests.support.encoders import write_encoder
from tests.support.shards import PREPROCESS, write_set

_TWO = Views(2)


class Warned(Unwatched):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warn(self, message: str) -> None:
        self.said.append(message)


class Taker:
    """Makes features of videos, writes down of which, and stops at one of them if it is told to."""

    def __init__(self, stop_at: str | None = None) -> None:
        self.taken: list[str] = []
        self.stop_at = stop_at

    def __call__(self, videos: Sequence[Video], progress: Progress) -> Features:
        ids = tuple(video.id for video in videos)
        if self.stop_at in ids:
            raise Stopped("at your request")
        self.taken += ids
        progress(len(ids))
        numbers = np.array([[int(name[1:3]), 1.0] for name in ids], np.float32)
        return Features.of_views(np.stack([numbers, numbers + 1], axis=1), ids, tuple(video.label for video in videos))


class Slow(Taker):
    """Takes a moment for each part, and says when it has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = Event()

    def __call__(self, videos: Sequence[Video], progress: Progress) -> Features:
        self.begun.set()
        time.sleep(0.2)
        return super().__call__(videos, progress)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> VideoSet:
    return write_set(tmp_path_factory.mktemp("set"), videos=7, segments=1, height=8, width=10)


def test_what_was_taken_is_not_taken_again(videos: VideoSet, tmp_path: Path) -> None:
    taker, watch = Taker(), Warned()
    first = cached_features(tmp_path, "key", videos.videos, taker, watch, "taking")
    assert taker.taken == [video.id for video in videos.videos]
    again = cached_features(tmp_path, "key", videos.videos, Taker("v00.mp4"), watch, "taking")
    assert again.ids == first.ids and again.labels == first.labels
    assert np.array_equal(again.views, first.views) and again.views.shape == (7, 2, 2)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        "key.ids.jsonl",
        "key.safetensors",
    ]
    assert not watch.said


def test_two_who_want_the_same_features_take_them_once(videos: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "PART", 2)
    first, second, told = Slow(), Slow(), Warned()
    with ThreadPoolExecutor() as pool:
        ones = pool.submit(cached_features, tmp_path, "key", videos.videos, first, Warned(), "taking")
        first.begun.wait(10)
        others = pool.submit(cached_features, tmp_path, "key", videos.videos, second, told, "taking")
        assert np.array_equal(ones.result(30).views, others.result(30).views)
    assert len(first.taken) == 7
    assert not second.taken
    assert not told.said


def test_a_stop_loses_one_part(videos: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "PART", 3)
    straight = cached_features(tmp_path / "straight", "key", videos.videos, Taker(), Warned(), "taking")
    with pytest.raises(Stopped):
        cached_features(tmp_path / "cut", "key", videos.videos, Taker("v04.mp4"), Warned(), "taking")
    assert not (tmp_path / "cut" / "key.safetensors").exists()
    rest = Taker()
    found = cached_features(tmp_path / "cut", "key", videos.videos, rest, Warned(), "taking")
    assert rest.taken == ["v03.mp4", "v04.mp4", "v05.mp4", "v06.mp4"]
    names = ("key.safetensors", "key.ids.jsonl")
    assert [(tmp_path / "cut" / name).read_bytes() for name in names] == [
        (tmp_path / "straight" / name).read_bytes() for name in names
    ]
    assert found.ids == straight.ids


def test_parts_of_another_size_do_not_mix(videos: VideoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "PART", 3)
    with pytest.raises(Stopped):
        cached_features(tmp_path, "key", videos.videos, Taker("v03.mp4"), Warned(), "taking")
    monkeypatch.setattr(feature_cache, "PART", 4)
    watch = Warned()
    found = cached_features(tmp_path, "key", videos.videos, Taker(), watch, "taking")
    assert found.ids == tuple(video.id for video in videos.videos)
    [said] = watch.said
    assert "holds features of other videos" in said


@pytest.mark.parametrize("harm", ["cut", "empty", "no ids", "ids cut", "ids of others"])
def test_what_is_damaged_is_taken_again(videos: VideoSet, tmp_path: Path, harm: str) -> None:
    whole = cached_features(tmp_path, "key", videos.videos, Taker(), Warned(), "taking")
    path = tmp_path / "key.safetensors"
    before, beside = path.read_bytes(), ids_path(path).read_text()
    if harm == "no ids":
        ids_path(path).unlink()
    elif harm == "ids cut":
        ids_path(path).write_text(beside[:-20])
    elif harm == "ids of others":
        ids_path(path).write_text(beside.replace("v01", "w01"))
    else:
        path.write_bytes(before[: len(before) // 2] if harm == "cut" else b"")
    taker, watch = Taker(), Warned()
    found = cached_features(tmp_path, "key", videos.videos, taker, watch, "taking")
    assert len(taker.taken) == 7 and np.array_equal(found.views, whole.views)
    assert path.read_bytes() == before and ids_path(path).read_text() == beside
    assert ["are taken again" in said for said in watch.said] == [True] * (harm != "no ids")


def test_a_key_follows_from_everything_that_is_seen(videos: VideoSet, tmp_path: Path) -> None:
    material, one = Material(videos, PREPROCESS), load_encoder(write_encoder(tmp_path / "one"))
    other_set = write_set(tmp_path / "set", videos=7, segments=1, height=8, width=10, seed=1)
    other_size = load_encoder(write_encoder(tmp_path / "two", size=24))

    def key(loaded: LoadedEncoder = one, seen: Material = material, views: Views = _TWO) -> str:
        return key_of(**seen_by(loaded, seen, views))

    keys = [key(), key(views=Views(3)), key(views=Views(2, 3)), key(loaded=other_size), key(seen=Material(other_set, PREPROCESS))]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0], "and from nothing else"
    assert key_of(a=1, b=2) == key_of(b=2, a=1) != key_of(a=1, b=3)


def test_encoders_and_batches_have_features_of_their_own(videos: VideoSet, tmp_path: Path) -> None:
    material, watch = Material(videos, PREPROCESS), Warned()
    loaded = [load_encoder(write_encoder(tmp_path / name, width=width)) for name, width in (("one", 4), ("two", 8))]
    settings = [resolve("demo", None, [f"extract.batch={batch}", "machine.threads=1"], 0) for batch in (4, 6)]
    for encoder, given in ((loaded[0], settings[0]), (loaded[1], settings[0]), (loaded[0], settings[1])):
        for _ in range(2):
            found = encoder_features(tmp_path / "cache", encoder, material, Views(2), given, watch, "extracting")
            assert found.views.shape[:2] == (7, 2)
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 3
