"""Drawing: colours through known matrices, fields, orientations, oblong pixels, odd sizes, frames that change."""

import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from elo_cli.core.errors import VideoError
from elo_cli.prepare.canvas import Canvas
from tests.prepare.films import as_interlaced, raw_frame, write_frames

# Kr and Kb of ITU-T H.273, table 4, by MatrixCoefficients; what names no matrix is taken for BT.601.
BT601 = (0.299, 0.114)
WEIGHTS = {0: BT601, 1: (0.2126, 0.0722), 2: BT601, 3: BT601, 4: (0.30, 0.11), 5: BT601, 6: BT601, 7: (0.212, 0.087)}
WEIGHTS[9] = (0.2627, 0.0593)
UNSAID, LIMITED, FULL = 0, 1, 2


def canvas(frame: av.VideoFrame, short_side: int, aspect: "Fraction | None" = None, codec: str = "h264", **more: bool) -> Canvas:
    stream = SimpleNamespace(sample_aspect_ratio=aspect, codec_context=SimpleNamespace(name=codec))
    return Canvas(frame, stream, short_side, 2**20, **more)  # type: ignore[arg-type]


def draw(frame: av.VideoFrame, short_side: int, **more: "bool | str") -> NDArray[np.uint8]:
    return canvas(frame, short_side, **more).draw(frame)  # type: ignore[arg-type]


def to_rgb(yuv: np.ndarray, matrix: int, colour_range: int, bits: int) -> np.ndarray:
    """H.273, equations 20 to 31 backwards: (..., 3) code values to (..., 3) 8-bit RGB, not rounded."""
    step = 2 ** (bits - 8)
    if colour_range == FULL:
        y, u, v = np.moveaxis((yuv - [0, 128 * step, 128 * step]) / (256 * step - 1), -1, 0)
    else:
        y, u, v = np.moveaxis((yuv - [16 * step, 128 * step, 128 * step]) / (np.array([219, 224, 224]) * step), -1, 0)
    red_weight, blue_weight = WEIGHTS[matrix]
    red, blue = y + 2 * (1 - red_weight) * v, y + 2 * (1 - blue_weight) * u
    green = (y - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    return np.clip(np.stack([red, green, blue], -1), 0, 1) * 255


@pytest.mark.parametrize("colour_range", [UNSAID, LIMITED, FULL])
@pytest.mark.parametrize(
    ("kind", "bits", "chroma"),
    [("yuv420p", 8, (2, 2)), ("yuv422p", 8, (1, 2)), ("yuv444p", 8, (1, 1)), ("nv12", 8, (2, 2)),
     ("yuv420p10le", 10, (2, 2)), ("p010le", 10, (2, 2)), ("yuv444p12le", 12, (1, 1)), ("yuva420p", 8, (2, 2))],
)  # fmt: skip
def test_colours_follow_matrix_and_range(kind: str, bits: int, chroma: tuple[int, int], colour_range: int) -> None:
    low, high = (0, 255) if colour_range == FULL else (16, 235)
    values = np.random.default_rng(bits).integers([low, 16, 16], [high + 1, 241, 241], (4, 4, 3)) << (bits - 8)
    whole = np.kron(values.transpose(2, 0, 1), np.ones((1, 8, 8), int)) << (6 if kind == "p010le" else 0)
    small = whole[1:, :: chroma[0], :: chroma[1]]
    if kind in ("nv12", "p010le"):
        planes = [whole[0], small.transpose(1, 2, 0).reshape(16, 32)]
    else:
        planes = [whole[0], *small, *([np.full((32, 32), 7)] if kind == "yuva420p" else [])]
    for matrix in WEIGHTS:
        frame = raw_frame(kind, [plane.astype(np.uint16 if bits > 8 else np.uint8) for plane in planes], matrix, colour_range)
        expected = to_rgb(values, matrix, colour_range, bits)
        for side in (32, 16, 64):  # as it is, down and up; away from the seams
            at = slice(side // 8, None, side // 4)
            assert np.abs(draw(frame, side)[at, at] - expected).max() < 1.5, (matrix, side)


@pytest.mark.parametrize("colour_range", [UNSAID, LIMITED, FULL])
@pytest.mark.parametrize(("kind", "bits"), [("gray", 8), ("ya8", 8), ("gray10le", 10), ("gray12le", 12), ("gray16le", 16)])
def test_grey_is_full_range_unless_it_says_limited(kind: str, bits: int, colour_range: int) -> None:
    level = np.arange(0, 256, 4).reshape(8, 8)
    data = np.kron(level, np.ones((4, 4), int)) << (bits - 8)
    plane = data.astype(np.uint16 if bits > 8 else np.uint8)
    if kind == "ya8":
        plane = np.stack([plane, np.full_like(plane, 9)], -1).reshape(32, 64)
    frame = raw_frame(kind, [plane], colour_range=colour_range, width=32)
    expected = np.clip((level - 16) / 219 * 255, 0, 255) if colour_range == LIMITED else level
    for side in (32, 16):
        picture = draw(frame, side)[side // 16 :: side // 8, side // 16 :: side // 8]
        assert np.abs(picture - expected[..., None]).max() <= 1.2


@pytest.mark.parametrize("kind", ["rgb24", "rgba", "bgra", "gbrp", "gbrap", "bgr0"])
def test_rgb_stays_what_it_is_whatever_its_alpha(kind: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    whole = np.kron(rgb, np.ones((4, 4, 1), np.uint8))
    alpha = np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4, np.ones((4, 4), np.uint8))
    red, green, blue = np.moveaxis(whole, -1, 0)
    channels = {"r": red, "g": green, "b": blue, "a": alpha, "0": alpha}
    if kind.startswith("gbr"):
        planes = [channels[letter] for letter in kind.removesuffix("p")]
    else:
        planes = [np.stack([channels[letter] for letter in kind.removesuffix("24")], -1).reshape(32, -1)]
    frame = raw_frame(kind, planes, width=32)
    assert np.abs(draw(frame, 32).astype(int) - whole).max() <= 1
    assert np.abs(draw(frame, 8).astype(int) - rgb).max() <= 1


def test_pictures_shrink_to_the_means_of_their_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    for factor in (2, 3, 5):
        means = noise.reshape(60 // factor, factor, 90 // factor, factor, 3).mean(axis=(1, 3))
        for kind in ("rgb24", "gbrp"):
            frame = av.VideoFrame.from_ndarray(noise, "rgb24").reformat(format=kind, threads=1)
            assert np.abs(draw(frame, 60 // factor) - means).max() < 1.1


@pytest.mark.parametrize("kind", ["yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv420p10le", "gray"])
@pytest.mark.parametrize(("height", "width", "side"), [(241, 321, 96), (241, 321, 241), (321, 241, 100), (3, 5, 8), (35, 33, 70)])
def test_odd_sizes_lose_nothing_at_their_edges(kind: str, height: int, width: int, side: int) -> None:
    """A ramp from edge to edge stays one; chroma that is shared by fewer pixels at the edge stays in its place."""
    step = 4 if kind.endswith("10le") else 1
    frame = av.VideoFrame(width, height, kind)
    ramp = np.tile(np.linspace(40, 210, width).round(), (height, 1)) * step
    for index, plane in enumerate(frame.planes):
        values = ramp if not index else np.full((plane.height, plane.width), 128 * step)
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        data = values.astype(np.uint16 if step > 1 else np.uint8).view(np.uint8)
        rows[:, : data.shape[1]] = data
        plane.update(rows.tobytes())
    frame.color_range = FULL
    picture = draw(frame, side)
    columns = np.clip((np.arange(picture.shape[1]) + 0.5) * width / picture.shape[1] - 0.5, 0, width - 1)
    assert picture.shape[:2] == ((side, round(side * width / height)) if width > height else (round(side * height / width), side))
    assert np.abs(picture - np.interp(columns, np.arange(width), ramp[0] / step)[None, :, None]).max() < 2


def test_colours_that_no_matrix_is_known_for_are_refused() -> None:
    planes = [np.full((8, 8), 100, np.uint8)] * 3
    for matrix in (8, 10, 11, 14):  # YCgCo, BT.2020 with constant luminance, SMPTE ST 2085, ICtCp
        with pytest.raises(VideoError) as caught:
            draw(raw_frame("yuv444p", planes, matrix), 8)
        assert caught.value.reason == "decode-error"
        assert draw(raw_frame("gbrp", planes, matrix), 8)[4, 4].tolist() == [100, 100, 100]


def fields(first: np.ndarray, second: np.ndarray, order: str, kind: str = "yuv420p") -> av.VideoFrame:
    """A frame that shows two moments, each as every other row; `first` is the earlier."""
    woven = np.empty((2 * first.shape[0], first.shape[1]), np.uint8)
    woven[0::2], woven[1::2] = (first, second) if order == "tff" else (second, first)
    frame = av.VideoFrame.from_ndarray(woven, "gray").reformat(format=kind, threads=1)
    return as_interlaced(frame, order)


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize("kind", ["yuv420p", "yuv422p10le", "gray", "rgb24"])
@pytest.mark.parametrize("side", [32, 24, 64])
def test_of_an_interlaced_frame_the_first_field_is_shown(order: str, kind: str, side: int) -> None:
    rng = np.random.default_rng(1)
    shown = None
    for number in range(3):  # the next frame is not disturbed by the one before
        first, second = rng.integers(16, 236, (2, 16, 48), dtype=np.uint8)
        frame = fields(first, second, order, kind)
        shown = shown or canvas(frame, side)
        alone = av.VideoFrame.from_ndarray(first, "gray").reformat(format=kind, threads=1)
        assert shown.size == (side, side * 48 // 32)
        expected = canvas(alone, side, Fraction(1, 2)).draw(alone)  # as if each row were two high
        assert np.array_equal(shown.draw(frame), expected), number


def test_without_deinterlacing_the_fields_are_blended() -> None:
    frame = fields(np.full((16, 48), 200, np.uint8), np.full((16, 48), 100, np.uint8), "tff", "gray")
    assert np.abs(draw(frame, 16, deinterlace=False).astype(int) - 150).max() <= 1  # never combed
    assert np.abs(draw(frame, 16).astype(int) - 200).max() <= 1


def test_interlaced_frames_of_other_kinds() -> None:
    black, white = np.full((16, 48), 0, np.uint8), np.full((16, 48), 255, np.uint8)
    frame = fields(white, black, "tff")
    drawing = canvas(frame, 16)
    assert drawing.draw(frame).min() >= 254
    assert drawing.draw(fields(black[:8, :24], white[:8, :24], "bff")).max() <= 1  # another size and order
    odd = raw_frame("gray", [np.tile(np.array([[200], [50]], np.uint8), (9, 20))[:17]])
    assert np.abs(drawing.draw(as_interlaced(odd, "bff")).astype(int) - 200).max() <= 1  # only the top field ends a row later
    assert drawing.draw(odd).min() < 140  # a progressive frame keeps all its rows
    stripes = draw(fields(white, black, "tff"), 32, codec="hevc")  # its interlaced pictures are single fields
    assert stripes[0::2].min() >= 254 and stripes[1::2].max() <= 1


@pytest.mark.parametrize(
    "matrix",
    [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)],
)
def test_all_eight_orientations(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    """The display matrix takes a stored (x, y) to (a·x + c·y, b·x + d·y), y downwards (ISO/IEC 14496-12)."""
    stored = np.random.default_rng(2).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    frames = [av.VideoFrame.from_ndarray(stored, "rgb24") for _ in range(2)]
    path = write_frames(tmp_path / "a.mov", frames, "png")
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    a, b, c, d = matrix
    data[place : place + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    upright = np.empty((6, 4, 3) if b else (4, 6, 3), np.uint8)
    for row in range(4):
        for column in range(6):
            x, y = 2 * column - 5, 2 * row - 3  # about the middle of the picture
            upright[(b * x + d * y + len(upright) - 1) // 2, (a * x + c * y + upright.shape[1] - 1) // 2] = stored[row, column]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        drawing = Canvas(frame, stream, 4, 2**20)
        assert (drawing.source_size, drawing.size) == (upright.shape[:2], upright.shape[:2])
        assert np.array_equal(drawing.draw(frame), upright)


@pytest.mark.parametrize(
    ("aspect", "displayed"),
    [(Fraction(4, 3), (36, 64)), (Fraction(16, 15), (36, 51)), (Fraction(1, 2), (36, 24)), (Fraction(1137, 800), (36, 68)),
     (Fraction(100, 1), (36, 48)), (Fraction(1, 9), (36, 48)), (None, (36, 48))],
)  # fmt: skip
def test_oblong_pixels_are_stretched_over_their_square_ones(aspect: "Fraction | None", displayed: tuple[int, int]) -> None:
    rows = np.zeros((36, 48), np.uint8)
    rows[:, 12:24] = 200  # the second quarter of the width
    frame = raw_frame("gray", [rows])
    drawing = canvas(frame, 36, aspect)
    assert drawing.source_size == displayed
    assert min(drawing.size) == 36 and drawing.size[0] / drawing.size[1] == pytest.approx(displayed[0] / displayed[1], rel=0.02)
    lit = drawing.draw(frame)[..., 0].mean(axis=0) / 200
    assert lit.sum() == pytest.approx(drawing.size[1] / 4, abs=0.6)
    assert np.average(np.arange(len(lit)), weights=lit) == pytest.approx(drawing.size[1] * 3 / 8 - 0.5, abs=0.3)


def test_size_and_format_may_change_in_the_middle() -> None:
    first = raw_frame("gray", [np.full((16, 32), 100, np.uint8)])
    drawing = canvas(first, 16)
    for kind, height, width in [("yuv420p", 32, 48), ("rgb24", 8, 8), ("yuv444p10le", 100, 20), ("gray", 16, 32), ("pal8", 6, 6)]:
        grey = av.VideoFrame.from_ndarray(np.full((height, width), 90, np.uint8), "gray")
        frame = av.VideoFrame(width, height, "pal8") if kind == "pal8" else grey.reformat(format=kind, threads=1)
        if kind == "pal8":
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.planes[1].update(bytes([90, 90, 90, 255] * 256))
        assert np.abs(drawing.draw(frame).astype(int) - 90).max() <= 1
        assert drawing.draw(frame).shape == (16, 32, 3)


def test_strips_and_giants_are_refused() -> None:
    with pytest.raises(VideoError, match="strip") as caught:
        canvas(raw_frame("gray", [np.zeros((2, 34), np.uint8)]), 8)
    assert caught.value.reason == "too-large"
    drawing = canvas(raw_frame("gray", [np.zeros((8, 8), np.uint8)]), 8)
    with pytest.raises(VideoError, match="1025x1024") as caught:
        drawing.draw(av.VideoFrame(1025, 1024, "gray"))
    assert caught.value.reason == "too-large"
