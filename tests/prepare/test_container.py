"""Names, playlists, broken headers and damage: each ends in segments or in a named reason."""

import os
import resource
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from elo_cli.prepare.decode import decode_video
from elo_cli.prepare.segment import DecodedVideo
from tests.prepare.films import CODECS, numbers, outcome, plan, reason, write_video
from tests.support.descriptors import open_now

NAMES = [
    "two words.bin",
    "Ünï—ço.bin",
    "a:b.bin",
    "-rf [bold]x.bin",
    "new\nline.bin",
    "pipe:0",
    "http:x",
    "%03d.bin",
    "\udcff.bin",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_is_only_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    source = write_video(tmp_path / "a.mkv")
    source.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(decode_video(Path(name), plan()).segments) == 1


@pytest.mark.parametrize("name", ["pipe:0", "http://localhost/a.mp4", "concat:a.mp4|b.mp4", "missing.mp4", "zero\0byte.mp4"])
def test_urls_are_not_opened(name: str) -> None:
    assert reason(Path(name)) == "unreadable"


PLAYLISTS = [
    "ffconcat version 1.0\nfile 'a.mkv'\n",
    "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\na.mkv\n#EXT-X-ENDLIST\n",
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "<?xml version='1.0'?><MPD><Period/></MPD>",
    "plain text\n" * 100,
]


@pytest.mark.parametrize("text", PLAYLISTS, ids=["ffconcat", "m3u8", "sdp", "dash", "text"])
def test_text_opens_no_other_file(tmp_path: Path, text: str) -> None:
    write_video(tmp_path / "a.mkv")
    (tmp_path / "b.mp4").write_text(text)
    assert reason(tmp_path / "b.mp4") == "not-a-video"


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    assert reason(tmp_path / "empty.mp4") == "empty-file"
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    for name in ("fifo.mp4", "loop.mp4", "zero.mp4", "."):
        assert reason(tmp_path / name) == "unreadable"


def test_reasons(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 50, "mpeg4")
    assert reason(path, max_pixels=1000) == "too-large"
    assert reason(path, min_frames=21) == "too-short"
    assert reason(write_video(tmp_path / "still.mkv", 1), fps=100, min_frames=1) == "too-short"
    assert reason(write_video(tmp_path / "strip.mkv", [np.zeros((2, 64, 3), np.uint8)] * 50)) == "too-large"
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_UNKNOWN/CODEC"))
    assert reason(path) == "no-decoder"
    with av.open(tmp_path / "sound.mkv", "w") as container:
        voice = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.ones((1, 800), np.int16), "s16", "mono")
        block.sample_rate = 8000
        container.mux(voice.encode(block))
    assert reason(tmp_path / "sound.mkv") == "no-video-stream"


def test_huge_promises_allocate_nothing(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = write_video(tmp_path / "a.avi", 50, "mpeg4")
    data = bytearray(path.read_bytes())
    place = data.index(b"strf") + 12  # width and height in the stream's format
    data[place : place + 8] = struct.pack("<2i", 65535, 65535)
    path.write_bytes(data)
    outcome(path, max_pixels=2**26)
    for field, offset, value in [("mdhd", 16, 0), ("mdhd", 20, 2**32 - 2), ("mvhd", 20, 2**32 - 2), ("stsd", 44, 2**32 - 1)]:
        path = write_video(tmp_path / "b.mp4", 50, "mpeg4")
        data = bytearray(path.read_bytes())
        place = data.index(field.encode()) + offset
        data[place : place + 4] = struct.pack(">I", value)
        path.write_bytes(data)
        outcome(path, max_pixels=2**26)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes


@pytest.mark.parametrize(("codec", "ending"), [("libx264", "mp4"), ("mpeg4", "avi"), ("ffv1", "mkv"), ("mpeg2video", "ts")])
@pytest.mark.parametrize("held_bytes", [2**25, 0], ids=["held", "by-the-header"])
def test_truncated_files_give_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, ending: str, held_bytes: int
) -> None:
    monkeypatch.setattr("elo_cli.prepare.reel.HELD_BYTES", held_bytes)
    data = write_video(tmp_path / f"a.{ending}", 100, codec).read_bytes()
    path = tmp_path / f"b.{ending}"
    for eighth in range(1, 7):
        path.write_bytes(data[: len(data) * eighth // 8])
        found = outcome(path)
        assert isinstance(found, DecodedVideo) or found in ("not-a-video", "too-short", "no-frames")
    assert isinstance(found, DecodedVideo)
    assert not held_bytes or found.duration_s < 3.9
    shown = numbers(found.segments[0].rgb_THWC)
    assert shown[:9] == list(range(shown[0], shown[0] + 18, 2))


def test_damaged_files_end_in_segments_or_a_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    damage = 0
    for codec, ending in CODECS:
        data = np.frombuffer(write_video(tmp_path / f"a.{ending}", 50, codec).read_bytes(), np.uint8)
        for _ in range(12):
            mutated = data.copy()
            mutated[random.integers(0, len(data), 20)] = random.integers(0, 256, 20)
            (tmp_path / f"b.{ending}").write_bytes(mutated.tobytes())
            found = outcome(tmp_path / f"b.{ending}")
            damage += isinstance(found, DecodedVideo) and found.bad_packets > 0
    assert damage > 5  # decoding goes on after a bad packet, and counts it
    assert capfd.readouterr() == ("", "")


def test_nothing_stays_open(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", sound=(np.ones(32000) / 2, 16000, 0.0))
    level = av.logging.get_level()
    decode_video(path, plan())
    before = open_now()
    for _ in range(10):
        decode_video(path, plan())
        assert reason(path, max_pixels=10) == "too-large"
    assert open_now() == before
    assert av.logging.get_level() == level
