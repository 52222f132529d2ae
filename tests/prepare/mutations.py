"""Damaged films, each made from a good one by a seed: bits, spans and words at random, and header fields that lie.

A mutant follows from its seed and the bytes of the good films; those follow from PyAV's version.
"""

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH, FPS, SECONDS, RATE = 48, 64, 12, 2, 48_000

# Name, encoder of pictures and of sound.
FILMS = {
    "h264-aac.mp4": ("libx264", "aac"),
    "hevc-ac3.mp4": ("libx265", "ac3"),
    "h264-opus.mkv": ("libx264", "libopus"),
    "vp9-opus.mkv": ("libvpx-vp9", "libopus"),
    "av1-flac.mkv": ("libsvtav1", "flac"),
    "vp9.webm": ("libvpx-vp9", None),
    "mpeg4-mp3.avi": ("mpeg4", "libmp3lame"),
    "mjpeg-pcm.mov": ("mjpeg", "pcm_s16le"),
    "mpeg2-mp2.ts": ("mpeg2video", "mp2"),
    "wmv2-wma.wmv": ("wmv2", "wmav2"),
    "h263-mp3.flv": ("flv", "libmp3lame"),
    "gif.gif": ("gif", None),
}
_FORMATS = {"gif": "rgb8", "mjpeg": "yuvj420p"}  # of pixels, where it is not yuv420p
_QUICK = {
    "libx264": {"preset": "veryfast", "mbtree": "0"},  # macroblock trees make other bytes each time
    "libx265": {"x265-params": "pools=none:log-level=none"},
    "libsvtav1": {"preset": "11", "svtav1-params": "lp=1"},
}


def write_films(folder: Path) -> dict[str, bytes]:
    """Write the good films, and return their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (codec, voice) in FILMS.items():
        _write(folder / name, codec, voice)
    return {name: (folder / name).read_bytes() for name in FILMS}


def _write(path: Path, codec: str, voice: str | None) -> None:
    rng = np.random.default_rng(1)
    ground = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    with av.open(os.fspath(path), "w", container_options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream(codec, rate=FPS, options=_QUICK.get(codec, {}))
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, _FORMATS.get(codec, "yuv420p")
        stream.codec_context.gop_size, stream.codec_context.thread_count = 8, 1
        sound = output.add_stream(voice, rate=RATE, layout="mono", bit_rate=64_000) if voice else None
        for number in range(FPS * SECONDS):
            frame = av.VideoFrame.from_ndarray(np.roll(ground, 2 * number, axis=1), "rgb24").reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            tone = np.sin(np.arange(RATE * SECONDS) * 0.05)[None] * 0.5
            kind = sound.codec_context.format.name
            samples = (tone * 32767).astype(np.int16) if kind.startswith("s16") else tone.astype(np.float32)
            heard = av.AudioFrame.from_ndarray(samples, "s16" if kind.startswith("s16") else "fltp", "mono")
            heard.sample_rate, heard.pts, heard.time_base = RATE, 0, Fraction(1, RATE)
            for block in av.AudioResampler(kind, "mono", RATE, frame_size=sound.codec_context.frame_size or 0).resample(heard):
                output.mux(sound.encode(block))
            output.mux(sound.encode(None))


@dataclass(frozen=True)
class Mutant:
    """A damaged film.

    Attributes:
        name: of its file; says the seed, what was done, and to which film.
        content: its bytes.
    """

    name: str
    content: bytes


def mutate(seed: int, films: Mapping[str, bytes]) -> Mutant:
    """Damage one of the films; header fields first, so that each of them lies once in the first few hundred seeds."""
    name = sorted(films)[seed % len(films)]
    lies = list(_lies(name, films[name]))
    turn = seed // len(films)
    if turn < len(lies):
        what, content = lies[turn]
    else:
        rng = np.random.default_rng(seed)
        what = str(rng.choice(sorted(_DAMAGES)))
        content = _DAMAGES[what](rng, bytearray(films[name]))
    return Mutant(f"{seed:04d} {what} {name}", content)


def _truncated(rng: np.random.Generator, data: bytearray) -> bytes:
    return bytes(data[: int(rng.integers(1, len(data)))])


def _flipped(rng: np.random.Generator, data: bytearray) -> bytes:
    for bit in rng.integers(0, 8 * len(data), int(rng.integers(1, 201))):
        data[bit // 8] ^= 1 << bit % 8
    return bytes(data)


def _flipped_head(rng: np.random.Generator, data: bytearray) -> bytes:
    """Flip bits where the headers are: at the beginning, or at the end of an mp4."""
    size = min(1500, len(data))
    start = data.find(b"moov") if b"moov" in data else 0
    for bit in rng.integers(0, 8 * min(size, len(data) - start), int(rng.integers(1, 21))):
        data[start + bit // 8] ^= 1 << bit % 8
    return bytes(data)


def _span(rng: np.random.Generator, data: bytearray) -> tuple[int, int]:
    start = int(rng.integers(0, len(data) - 1))
    return start, int(min(len(data), start + 1 + rng.integers(0, max(1, len(data) // 4))))


def _zeroed(rng: np.random.Generator, data: bytearray) -> bytes:
    start, end = _span(rng, data)
    data[start:end] = bytes(end - start)
    return bytes(data)


def _doubled(rng: np.random.Generator, data: bytearray) -> bytes:
    start, end = _span(rng, data)
    return bytes(data[:end] + data[start:])


def _swapped(rng: np.random.Generator, data: bytearray) -> bytes:
    (start, end), (other, _) = _span(rng, data), _span(rng, data)
    one, two = min(start, other), max(start, other)
    length = min(end - start, two - one, len(data) - two)
    data[one : one + length], data[two : two + length] = data[two : two + length], data[one : one + length]
    return bytes(data)


def _overwritten(rng: np.random.Generator, data: bytearray) -> bytes:
    """Set whole words to what overflows, half of them in the first kilobyte."""
    for _ in range(int(rng.integers(1, 9))):
        word = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0")[int(rng.integers(4))]
        start = int(rng.integers(0, min(1024, len(data) - 4) if rng.random() < 0.5 else len(data) - 4))
        data[start : start + 4] = word
    return bytes(data)


_DAMAGES = {
    "truncated": _truncated, "flipped": _flipped, "flipped in its head": _flipped_head, "zeroed": _zeroed,
    "doubled": _doubled, "swapped": _swapped, "overwritten": _overwritten,
}  # fmt: skip

_U32, _BIG = 0xFFFFFFFF, 2**62


@dataclass(frozen=True)
class _Lie:
    """What is written so many bytes after the `nth` place of a marker."""

    what: str
    marker: bytes
    offset: int
    content: bytes
    nth: int = 0


def _both(marker: bytes, offset: int, form: str, what: str, *values: float) -> list[_Lie]:
    return [_Lie(f"{what} {value:g}", marker, offset, struct.pack(form, value)) for value in values]


_MP4 = [
    *(_Lie("65535x65535 in stsd", kind, 28, b"\xff" * 4) for kind in (b"avc1", b"hev1", b"jpeg")),
    *(_Lie("0x0 in stsd", kind, 28, bytes(4)) for kind in (b"avc1", b"hev1", b"jpeg")),
    _Lie("65535x65535 in tkhd", b"tkhd", 80, struct.pack(">II", 65535 << 16, 65535 << 16)),
    *_both(b"mdhd", 16, ">I", "mdhd timescale", 0, _U32),
    *_both(b"mvhd", 16, ">I", "mvhd timescale", 0),
    *_both(b"mdhd", 20, ">I", "mdhd duration", _U32),
    *_both(b"stts", 12, ">I", "stts frames", _U32, 0x7FFFFFFF),
    *_both(b"stts", 16, ">I", "stts delta", _U32, 0),
    _Lie("2^62 ticks in stts", b"stts", 12, struct.pack(">II", _U32, 2**30)),
    *_both(b"stsz", 8, ">I", "stsz bytes", _U32, 0x7FFFFFFF),
    *_both(b"stsz", 12, ">I", "stsz frames", _U32, 0x7FFFFFFF),
    *_both(b"stsc", 16, ">I", "stsc frames", 0x7FFFFFFF),
    *_both(b"stco", 12, ">I", "stco place", _U32),
    *_both(b"elst", 12, ">I", "elst duration", _U32),
    *(_Lie("0 channels", kind, 20, bytes(2)) for kind in (b"mp4a", b"ac-3", b"sowt")),
    *(_Lie("65535 channels", kind, 20, b"\xff\xff") for kind in (b"mp4a", b"ac-3", b"sowt")),
    *(_Lie("sample rate 0", kind, 28, bytes(4)) for kind in (b"mp4a", b"ac-3", b"sowt")),
    _Lie("0 channels in esds", b"\x05\x80\x80\x80", 5, b"\x14\x00"),
]  # fmt: skip
_AVI = [
    _Lie("65535x65535 in avih", b"avih", 40, struct.pack("<II", 65535, 65535)),
    _Lie("65535x65535 in strf", b"strf", 12, struct.pack("<ii", 65535, 65535)),
    _Lie("2^31-1 rows in strf", b"strf", 16, struct.pack("<i", 2**31 - 1)),
    _Lie("-2^31 rows in strf", b"strf", 16, struct.pack("<i", -(2**31))),
    *_both(b"avih", 8, "<I", "avih period", 0, _U32),
    *_both(b"avih", 24, "<I", "avih frames", _U32),
    *_both(b"vids", 20, "<I", "picture scale", 0, _U32),
    *_both(b"vids", 24, "<I", "picture rate", 0, _U32),
    _Lie("picture scale and rate 0", b"vids", 20, bytes(8)),
    *_both(b"vids", 28, "<I", "picture start", _U32),
    *_both(b"vids", 32, "<I", "strh frames", _U32),
    *_both(b"auds", 20, "<I", "sound scale", 0),
    *_both(b"auds", 24, "<I", "sound rate", 0),
    _Lie("0 channels", b"strf", 10, bytes(2), nth=1),
    _Lie("65535 channels", b"strf", 10, b"\xff\xff", nth=1),
    _Lie("0 samples per second", b"strf", 12, bytes(4), nth=1),
    _Lie("block align 0", b"strf", 20, bytes(2), nth=1),
]
_MKV = [
    *(_Lie(f"timestamp scale {value:x}", b"\x2a\xd7\xb1\x83", 4, value.to_bytes(3, "big")) for value in (0, 0xFFFFFF)),
    *_both(b"\x44\x89\x88", 3, ">d", "duration", float(_BIG), float("nan"), float("inf"), -1.0),
    *(
        _Lie(f"{width} columns", b"\xb0\x81\x40\xba\x81\x30", 0, b"\xb0\x84" + struct.pack(">I", width))
        for width in (65535, _U32)
    ),
    *_both(b"\x9f\x81", 2, ">B", "channels", 0, 255),
    *_both(b"\xb5\x88", 2, ">d", "sample rate", 0.0, float("nan"), 1e300),
    *_both(b"\x23\xe3\x83\x84", 4, ">I", "frame nanoseconds", 0, 1, _U32),
    _Lie("seek pre-roll", b"\x56\xbb", 3, b"\xff" * 4),
]
_GIF = [
    _Lie("screen 65535x65535", b"GIF89a", 6, b"\xff" * 4),
    _Lie("screen 0x0", b"GIF89a", 6, bytes(4)),
    *(_Lie("picture 65535x65535", b"\x2c\0\0\0\0", 5, b"\xff" * 4, nth) for nth in (0, 1)),
    *(_Lie("picture outside", b"\x2c\0\0\0\0", 1, b"\xff" * 4, nth) for nth in (0, 1)),
    *(_Lie(f"delay {value}", b"\x21\xf9\x04", 4, struct.pack("<H", value)) for value in (0, 65535)),
]
_TS = [
    *(_Lie("4095x4095", b"\0\0\1\xb3", 4, b"\xff\xff\xff", nth) for nth in (0, 1)),
    _Lie("0x0", b"\0\0\1\xb3", 4, bytes(3)),
    _Lie("rate code 0", b"\0\0\1\xb3", 7, b"\0"),
    *(_Lie("time 2^33-1", b"\0\0\1\xe0", 9, b"\x2f\xff\xff\xff\xff", nth) for nth in (0, 1, 5)),
    *(_Lie("sound of time 2^33-1", b"\0\0\1\xc0", 9, b"\x2f\xff\xff\xff\xff", nth) for nth in (0, 1)),
]
_SIZE, _PROPERTIES = struct.pack("<II", WIDTH, HEIGHT), bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_WMV = [
    *(_Lie("65535x65535", _SIZE, 0, struct.pack("<II", 65535, 65535), nth) for nth in (0, 1)),
    *_both(_PROPERTIES, 56, "<Q", "packets", _BIG, 0),
    *_both(_PROPERTIES, 64, "<Q", "duration", _BIG),
    *_both(_PROPERTIES, 80, "<Q", "pre-roll", _BIG),
    *_both(_PROPERTIES, 92, "<Q", "packet bytes", 0, 2**64 - 1, 2**32 + 1),
    *_both(struct.pack("<HHI", 0x161, 1, RATE), 2, "<H", "channels", 0, 65535),
    *_both(struct.pack("<HHI", 0x161, 1, RATE), 4, "<I", "sample rate", 0),
    *_both(struct.pack("<HHI", 0x161, 1, RATE), 12, "<H", "block align", 0),
]
_FLV = [
    *_both(b"width\0", 6, ">d", "width", 65535.0, float("nan"), 1e300),
    *_both(b"height\0", 7, ">d", "height", 65535.0),
    *_both(b"duration\0", 9, ">d", "duration", float(_BIG), float("nan"), -1.0),
    *_both(b"framerate\0", 10, ">d", "frame rate", 0.0, float("nan"), 1e300),
]
_LIES = {
    ".mp4": _MP4,
    ".mov": _MP4,
    ".avi": _AVI,
    ".mkv": _MKV,
    ".webm": _MKV,
    ".gif": _GIF,
    ".ts": _TS,
    ".wmv": _WMV,
    ".flv": _FLV,
}


def _lies(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the film with each of its header fields overwritten in turn."""
    for lie in _LIES[Path(name).suffix]:
        place = -1
        for _ in range(lie.nth + 1):
            place = data.find(lie.marker, place + 1)
            if place < 0:
                break
        if place >= 0:
            start = place + lie.offset
            yield lie.what, data[:start] + lie.content + data[start + len(lie.content) :]
    if b"mdhd" in data:
        yield "2^62 frames", _promise(data)


def _promise(data: bytes) -> bytes:
    """Let the first track of an mp4 promise 2^62 ticks: its mdhd becomes one of 64 bits, and what holds it grows."""
    place = data.index(b"mdhd") - 4
    times = struct.unpack(">II", data[place + 12 : place + 20])
    timescale, language = data[place + 20 : place + 24], data[place + 28 : place + 32]
    box = struct.pack(">I4sIQQ", 44, b"mdhd", 1 << 24, *times) + timescale + struct.pack(">Q", _BIG) + language
    changed = bytearray(data[:place] + box + data[place + 32 :])
    for kind in (b"moov", b"trak", b"mdia"):  # the last of each before it
        parent = data.rindex(kind, 0, place) - 4
        changed[parent : parent + 4] = struct.pack(">I", struct.unpack(">I", data[parent : parent + 4])[0] + 12)
    return bytes(changed)
