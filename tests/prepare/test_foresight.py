"""Pictures that nobody will look at are not decoded, and all others stay what they are."""

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from elo_cli.prepare import decode, foresight, reel
from elo_cli.prepare.foresight import AHEAD, foresee
from elo_cli.prepare.pictures import Picture, PictureReader
from elo_cli.prepare.segment import DecodedVideo, Span
from tests.prepare.films import picture, plan, write_video

# x264 plans the bits of films so small by memory that it never wrote (mbtree): without it a film is the same each time
PYRAMID = {"preset": "medium", "x264-params": "bframes=3:b-pyramid=normal:b-adapt=0:scenecut=0:keyint=40:mbtree=0"}


def packet(pts: int | None, *, discard: bool = False) -> Any:
    return SimpleNamespace(pts=pts, size=1, is_discard=discard)


def stretches(stamps: "list[int | None]") -> "list[tuple[float, float] | None]":
    found = list(foresee(iter([packet(stamp) for stamp in stamps]), 0.5, 1.0))
    assert [kept.pts for kept, _ in found if kept is not None] == stamps
    return [stretch for _, stretch in found]


@pytest.mark.parametrize("count", [0, 1, 2, 3, AHEAD, AHEAD + 1, 3 * AHEAD])
def test_a_picture_is_shown_until_the_next_one_however_they_are_ordered(count: int) -> None:
    times = [2 * number for number in range(count)]
    groups = [times[start : start + 8] for start in range(0, count, 8)]
    order = [time for group in groups for time in random.Random(0).sample(group, len(group))]
    expected = [None if time in (0, 2 * (count - 1)) else (time / 2, time / 2 + 1) for time in order]
    assert stretches(order) == expected


def test_fields_of_one_frame_are_never_told_apart() -> None:
    assert set(stretches(list(range(100)))) == {None}
    assert stretches([0, 2, 4, 4, 6, 8]) == [None, (1, 2), None, None, (3, 4), None]


@pytest.mark.parametrize("strange", [packet(None), packet(202, discard=True), None])
def test_nothing_is_certain_near_what_has_no_time(strange: Any) -> None:
    packets = [packet(2 * number) for number in range(200)]
    found = [stretch for _, stretch in foresee(iter([*packets[:100], strange, *packets[100:]]), 0.5, 1.0)]
    assert set(found[100 - AHEAD : 100 + AHEAD]) == {None}
    assert None not in found[1 : 100 - AHEAD]


def film(path: Path) -> Path:
    """300 pictures of 25 a second; every second one is no reference."""
    rng = np.random.default_rng(0)
    frames = [picture(number) // 2 + rng.integers(0, 60, (32, 64, 3)).astype(np.uint8) for number in range(300)]
    return write_video(path, frames, "libx264", max_b_frames=3, options=PYRAMID)


class Counted(PictureReader):
    """Counts the pictures that decoders hand out."""

    made = 0

    def _timed(self, frame: VideoFrame) -> Picture:
        Counted.made += 1
        return super()._timed(frame)


def decoded(path: Path, patch: pytest.MonkeyPatch, telling: frozenset[str], **changes: float) -> tuple[DecodedVideo, int]:
    patch.setattr(decode, "PictureReader", Counted)
    patch.setattr(Counted, "made", 0)
    patch.setattr(reel, "TELLING", telling)
    video = decode.decode_video(path, plan(**{"segment_seconds": 3.0, "max_segments": 3} | changes), Span(0.5))
    return video, Counted.made


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(("fps", "share"), [(5.0, 0.8), (7.3, 0.8), (12.5, 1.0), (25.0, 1.0)])  # 12.5 may need just those
def test_stored_frames_are_the_same_and_fewer_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, fps: float, share: float, held: bool
) -> None:
    path = film(tmp_path / f"a.{ending}")
    monkeypatch.setattr(reel, "HELD_BYTES", reel.HELD_BYTES if held else 0)
    every, all_made = decoded(path, monkeypatch, frozenset(), fps=fps)
    some, made = decoded(path, monkeypatch, foresight.TELLING, fps=fps)
    assert len(every.segments) == len(some.segments) == 3
    for expected, segment in zip(every.segments, some.segments, strict=True):
        assert segment.start_s == expected.start_s
        np.testing.assert_array_equal(segment.rgb_THWC, expected.rgb_THWC)
    assert replace(every, segments=()) == replace(some, segments=())
    assert made <= share * all_made


def test_vectors_lead_from_each_picture_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mp4")
    _, all_made = decoded(path, monkeypatch, frozenset(), vectors=True)
    assert decoded(path, monkeypatch, foresight.TELLING, vectors=True)[1] == all_made


def test_everything_is_decoded_after_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mkv")
    with av.open(path) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for hurt in packets[len(packets) // 4 :][:12]:  # within packets: what hits the container instead may lose them without a word
        assert hurt.pos is not None
        data[hurt.pos + hurt.size // 2 : hurt.pos + hurt.size] = bytes(hurt.size - hurt.size // 2)
    path.write_bytes(data)
    whole, all_made = decoded(path, monkeypatch, frozenset(), max_segments=1, segment_seconds=11.0)
    some, made = decoded(path, monkeypatch, foresight.TELLING, max_segments=1, segment_seconds=11.0)
    assert some.bad_packets
    assert 0.8 * all_made < made < all_made
    same = (whole.segments[0].rgb_THWC == some.segments[0].rgb_THWC).all(axis=(1, 2, 3))
    assert same[len(same) // 2 :].all()
