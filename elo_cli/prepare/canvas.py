"""Draw a decoded frame as a small upright RGB picture.

A picture is what this gives of the frame, turned upright:
`ffmpeg -i FILE -vf scale=W:H:flags=area+full_chroma_int+full_chroma_inp+accurate_rnd,format=rgb24 …`
Alpha is dropped; what is below it stays as it is stored.

Shape legend: H rows, W columns of the small picture.
"""

import functools
from fractions import Fraction
from typing import Literal

import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from elo_cli.core.errors import VideoError

MAX_ASPECT = 16.0  # a strip longer than this is no picture, and resized by its short side it would be huge
MAX_PIXEL_ASPECT = 8.0  # a pixel more oblong than this is a broken header
# AREA averages where an axis shrinks and interpolates where it grows. Of swscale's further flags, without
# FULL_CHR_H_INT it takes a table for RGB whose white is 253 and whose chroma is halved once more; without
# FULL_CHR_H_INP it skips every other pixel of an RGB source for the chroma; and without ACCURATE_RND a picture
# that keeps its size goes a short cut that is up to 3 levels too dark and repeats chroma instead of interpolating it.
SCALING = int(Interpolation.AREA) | 0x2000 | 0x4000 | 0x40000
# swscale's matrix for FFmpeg's AVCOL_SPC_*: by ITU-T H.273, MatrixCoefficients. What names none (RGB, unspecified,
# reserved) is BT.601, as everywhere in FFmpeg.
MATRICES = {0: 5, 1: 1, 2: 5, 3: 5, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}
# Their interlaced frames are single fields already (field_seq_flag): there is no second moment in them.
FIELD_CODECS = ("hevc", "vvc")
# swscale takes grey for full range whatever the frame says. 8-bit levels of limited range, to full range.
_FULL_RANGE = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)


class Canvas:
    """Draw source frames upright, with square pixels, at one size.

    Attributes:
        source_size: (height, width) as displayed: after rotation, with square pixels.
        size: (H, W) of what `draw` returns; the shorter of them is `short_side`.

    Raises:
        VideoError: too-large, when the picture is a strip longer than `MAX_ASPECT`.
    """

    def __init__(
        self, frame: VideoFrame, stream: VideoStream, short_side: int, max_pixels: int, deinterlace: bool = True
    ) -> None:
        self._max_pixels = max_pixels
        self._separates = deinterlace and stream.codec_context.name not in FIELD_CODECS
        self._graph: Graph | None = None
        self._graph_for: tuple[str, int, int] | None = None
        self._transposed, self._flip_rows, self._flip_columns = orientation(frame)
        aspect = float(stream.sample_aspect_ratio or 1)
        if not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:
            aspect = 1.0
        height, width = frame.height, max(1, round(frame.width * aspect))
        self.source_size = (width, height) if self._transposed else (height, width)
        ratio = max(height, width) / min(height, width)
        if ratio > MAX_ASPECT:
            raise VideoError("too-large", f"A picture of {width}x{height} is a strip: over {MAX_ASPECT:g} to 1.")
        long_side = max(short_side, round(short_side * ratio))
        self._height, self._width = (short_side, long_side) if height <= width else (long_side, short_side)
        self.size = (self._width, self._height) if self._transposed else (self._height, self._width)
        self._reformatter = VideoReformatter()

    def draw(self, frame: VideoFrame) -> np.ndarray:
        """Return the frame as (H, W, 3) uint8 RGB of full range; a view that is neither writable nor contiguous.

        Colours follow the matrix and the range that the frame names; where it names none, BT.601, and limited
        range for YUV and full range for grey. The transfer of HDR is kept: there is no tone mapping. Of an
        interlaced frame the first field alone is shown, unless deinterlacing is off: then both are blended.

        Raises:
            VideoError: too-large, when the stream has changed to larger frames; decode-error, when swscale
                has no matrix for the frame's colours.
        """
        if frame.width * frame.height > self._max_pixels:
            raise VideoError("too-large", f"A frame of {frame.width}x{frame.height} is over {self._max_pixels} pixels.")
        family = _family(frame.format.name)
        small = self._reformatter.reformat(
            self._one_moment(frame) if frame.interlaced_frame else frame,
            self._width,
            self._height,
            "rgb24",
            src_colorspace=_matrix(frame) if family == "yuv" else None,
            interpolation=SCALING,
            threads=1,
        )
        plane = small.planes[0]  # looked at in place: whoever keeps the picture copies it anyway
        rows: np.ndarray = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]  # a buffer, which PyAV's types do not say
        picture = rows.reshape(plane.height, plane.line_size)[:, : 3 * plane.width]
        picture = picture.reshape(plane.height, plane.width, 3)
        if family == "grey" and frame.color_range == ColorRange.MPEG:
            picture = _FULL_RANGE[picture]
        if self._transposed:
            picture = picture.transpose(1, 0, 2)
        if self._flip_rows:
            picture = picture[::-1]
        return picture[:, ::-1] if self._flip_columns else picture

    def _one_moment(self, frame: VideoFrame) -> VideoFrame:
        """Return the first field of an interlaced frame; with deinterlacing off the frame, said to be progressive.

        A frame that says it is interlaced never goes to swscale: it would scale the fields apart and weave
        them again, which leaves combs in the small picture.
        """
        found = (frame.format.name, frame.width, frame.height)
        if self._graph is None or found != self._graph_for:
            self._graph, self._graph_for = self._field_graph(frame), found
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _field_graph(self, frame: VideoFrame) -> Graph:
        """Build the filters for frames of this format and size. They copy no pixels."""
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
        )
        if not self._separates:
            filters = [graph.add("setfield", "prog")]
        elif frame.height % 2:  # FFmpeg does not separate such a frame into fields of two heights
            filters = [graph.add("field", "top")]
        else:
            filters = [graph.add("separatefields"), graph.add("select", "not(mod(n,2))")]
        graph.link_nodes(source, *filters, graph.add("buffersink")).configure()
        return graph


@functools.cache
def _family(name: str) -> Literal["yuv", "grey", "other"]:
    """Tell formats that need a matrix, and grey, from RGB, palettes and the like, by FFmpeg's name of the format."""
    if name.startswith(("gray", "ya8", "ya16", "yaf")):
        return "grey"
    layout = VideoFormat(name)
    return "yuv" if len(layout.components) >= 3 and not layout.is_rgb else "other"


def _matrix(frame: VideoFrame) -> int:
    """Find swscale's matrix for a YUV frame."""
    matrix = MATRICES.get(int(frame.colorspace))
    if matrix is None:
        raise VideoError("decode-error", f"No matrix to RGB is known for colours of kind {int(frame.colorspace)} (H.273).")
    return matrix


def orientation(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Read how a stored frame must be turned to stand upright: transpose, then flip rows, then flip columns.

    The display matrix takes a stored (x, y) to (a·x + c·y, b·x + d·y); of it the nearest of the eight
    quarter turns and mirrorings is kept.
    """
    if "DISPLAYMATRIX" not in frame.side_data:
        return False, False, False
    matrix = frame.side_data["DISPLAYMATRIX"]  # type: ignore[typeddict-item]  # PyAV describes a mapping as a TypedDict
    a, b, _, c, d = (int(value) for value in np.frombuffer(matrix, np.int32)[:5])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, d < 0, a < 0
    return True, b < 0, c < 0
