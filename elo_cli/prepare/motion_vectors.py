"""Optical flow from the motion vectors that a video already carries: nearly free, and coarse.

An encoder has sought, for each block of 16x16 or 8x8 pixels, where in an earlier (or later) frame it comes
from. FFmpeg hands these vectors out with the decoded frame. They serve compression, not truth: they are
wrong where anything predicts equally well (plain walls, stripes), and absent where nothing did.

Shape legend: H, W rows and columns of a stored frame; R, C rows and columns of cells of 8x8 source pixels.

What is approximate, because FFmpeg does not say more:
- which of several references a vector means. A P frame's is taken to be the I or P frame before it. That of
  a B frame, the nearest or a further one, is found by comparing its vectors with those of the P frame behind.
- time inside a run of B frames: vectors are divided by the number of frames that they span.
- blocks without vectors (intra coded) take those of the blocks around them, or of the same place before.
- I frames and interlaced frames have none: the motion before them is carried on, and at the beginning of a
  stretch the first that is known is taken back. `VectorFlow.measured` tells how much of a stretch rests on
  vectors of its own, so that an intra-coded film is not taken for a still one.
"""

from typing import NamedTuple

import cv2
import numpy as np
from av.video.frame import PictureType, VideoFrame

CELL = 8  # the smallest block of which FFmpeg tells the vector
DECODER_OPTIONS = {"flags2": "+export_mvs"}  # of the codec context, set before the first packet

# Decoders that export vectors, and whether those of their B frames are right: MPEG-4's leaves zeros there.
# Each was seen to do so with PyAV 15 to 18; hevc, vp8, vp9 and av1 export none.
_B_VECTORS = {
    "h264": True, "mpeg1video": True, "mpeg2video": True,
    "mpeg4": False, "h261": False, "h263": False, "flv": False, "msmpeg4v2": False, "msmpeg4": False,
    "wmv1": False, "wmv2": False,
}  # fmt: skip
_LONGEST_RUN = 32  # B frames in a row that are waited for; H.264 allows 16
_CELLS_COMPARED = 2048  # enough to tell which reference a B frame means


def exports_vectors(codec: str) -> bool:
    """Say whether the decoder of that FFmpeg name (`codec_context.name`) hands out its motion vectors."""
    return codec in _B_VECTORS


class VectorFlow(NamedTuple):
    """Flow of the intervals between marked frames.

    Attributes:
        forward, backward: (T-1, H, W, 2) float32 in stored pixels for one interval, x right and y down, as of
            `elo_cli.prepare.flow`.
        measured: share of the intervals in which at least one frame had vectors; 1.0 where there is no interval.
    """

    forward: np.ndarray
    backward: np.ndarray
    measured: float


class _Motion(NamedTuple):
    """The way from each cell of a frame back to the frame before, (R, C, 2) source pixels, and where it is known, (R, C)."""

    motion: np.ndarray
    known: np.ndarray


class _Vectors(NamedTuple):
    """Vectors of one frame towards earlier and later frames, (R, C, 2) source pixels, and where there are any, (R, C)."""

    past: np.ndarray
    past_known: np.ndarray
    future: np.ndarray
    future_known: np.ndarray


class MotionField:
    """Gathers the vectors of one stretch of a video: `add` every decoded frame, `mark` those that are stored.

    A frame's vectors can name a later one, so flow is known at the end only: `finish` gives it.
    Memory follows the marked frames; of the others only the current run of B frames is kept.

    Args:
        codec: FFmpeg's name of the decoder, one for which `exports_vectors`.
        source_size: (height, width) of a decoded frame; frames of other sizes count as without vectors.
        stored_size: (H, W) of a stored frame, after turning.
        orientation: transpose, then flip rows, then flip columns, as `prepare.canvas` turns a frame upright.
    """

    def __init__(
        self, codec: str, source_size: tuple[int, int], stored_size: tuple[int, int], orientation: tuple[bool, bool, bool]
    ) -> None:
        self._b_vectors = _B_VECTORS[codec]
        self._source, self._orientation = source_size, orientation
        self._size = stored_size[::-1] if orientation[0] else stored_size
        self._ratio = np.array([self._size[1] / source_size[1], self._size[0] / source_size[0]], np.float32)
        self._cells = tuple(2 * -(-side // (2 * CELL)) for side in source_size)  # whole macroblocks
        y, x = np.mgrid[: self._cells[0], : self._cells[1]].astype(np.float32)
        self._here = np.stack([x, y], axis=-1)
        self._index = -1  # of the frame added last
        self._resolved: int | None = None  # the last frame whose motion is known; None before the first mark
        self._anchor: int | None = None  # the last I or P frame
        self._run: list[tuple[int, _Vectors | None]] = []  # B frames that wait for the next of those
        self._marks: list[int] = []  # frames that are marked and not yet resolved
        self._motion: np.ndarray | None = None  # of the last resolved frame: to the one before it
        self._early: list[int] = []  # frames that wait for the first motion that is known
        self._forward = np.zeros((*self._cells, 2), np.float32)  # since the last mark
        self._backward = np.zeros_like(self._forward)
        self._seen = False  # whether any frame since the last mark had vectors
        self._flows: list[tuple[np.ndarray, np.ndarray]] = []
        self._measured = 0

    def add(self, frame: VideoFrame) -> None:
        """Take the next decoded frame, in order of presentation, whether it is stored or not."""
        self._index += 1
        wanted = self._resolved is not None  # before the first mark only the places of the references count
        if frame.pict_type in (PictureType.B, PictureType.BI):
            self._run.append((self._index, self._read(frame) if wanted and self._b_vectors else None))
            if len(self._run) >= _LONGEST_RUN:
                self._resolve_run(None, None)
            return
        own = self._read(frame) if wanted and self._anchor is not None else None
        span = self._index - (self._anchor or 0)
        motion = None if own is None else _Motion(own.past / np.float32(span), own.past_known)
        self._resolve_run(motion, self._index)
        self._advance(self._index, motion)
        self._anchor = self._index

    def mark(self) -> None:
        """Say that the frame added last is stored: an interval ends there, and the next begins."""
        if self._resolved is None:
            self._resolved = self._index
        elif self._index <= self._resolved:
            self._end_interval()
        else:
            self._marks.append(self._index)

    def finish(self) -> VectorFlow:
        """Return the flow of the intervals between the marked frames; the field is spent."""
        self._resolve_run(None, None)
        for index in self._early:
            self._step(index, np.zeros_like(self._forward), seen=False)
        size = self._size[::-1] if self._orientation[0] else self._size
        both = np.zeros((2, len(self._flows), *size, 2), np.float32)
        for index, flows in enumerate(self._flows):
            both[:, index] = flows
        measured = self._measured / len(self._flows) if self._flows else 1.0
        self._flows = []
        return VectorFlow(both[0], both[1], measured)

    def _read(self, frame: VideoFrame) -> _Vectors | None:
        """Paint the vectors of a frame onto cells; None where it has none that can be used."""
        side = frame.side_data.get("MOTION_VECTORS")
        if side is None or frame.interlaced_frame or (frame.height, frame.width) != self._source:
            return None
        rows = side.to_ndarray()
        height, width = self._cells
        wide, tall = rows["w"] >> 4, rows["h"] >> 4  # 1 for a side of 16 pixels, 0 for one of 8
        column, row = (rows["dst_x"] >> 3) - wide, (rows["dst_y"] >> 3) - tall  # dst is the block's middle
        inside = (row >= 0) & (column >= 0) & (row + tall < height) & (column + wide < width)
        if not inside.all():  # a damaged header
            rows, wide, tall, column, row = rows[inside], wide[inside], tall[inside], column[inside], row[inside]
            if not len(rows):
                return None
        place = (row + height * (rows["source"] > 0).astype(np.int32)) * width + column
        # A vector as one complex number: NumPy moves those ten times faster than pairs.
        motion = (rows["motion_x"] + 1j * rows["motion_y"]).astype(np.complex64) / np.float32(rows["motion_scale"][0])
        painted = np.full(2 * height * width, np.nan, np.complex64)
        painted[place] = motion
        for step, which in ((1, wide), (width, tall), (width + 1, wide & tall)):
            larger = np.flatnonzero(which)
            painted[place[larger] + step] = motion[larger]
        known = ~np.isnan(painted)
        painted[~known] = 0
        past, future = painted.view(np.float32).reshape(2, height, width, 2)
        past_known, future_known = known.reshape(2, height, width)
        return _Vectors(past, past_known, future, future_known)

    def _resolve_run(self, ahead: _Motion | None, anchor: int | None) -> None:
        """Find the motion of the waiting B frames; `ahead` is that of the I or P frame `anchor` behind them, if any."""
        for index, vectors in self._run:
            self._advance(index, self._between(index, vectors, ahead, anchor))
        self._run = []

    def _between(self, index: int, vectors: _Vectors | None, ahead: _Motion | None, anchor: int | None) -> _Motion | None:
        """Combine a B frame's vectors with those of the P frame behind: weighted by the square of the frames spanned."""
        if vectors is None or self._anchor is None:
            return ahead
        total = np.zeros_like(self._forward)
        guess = ahead.motion if ahead is not None else total if self._motion is None else self._motion
        weight = np.zeros(self._cells, np.float32)
        if ahead is not None and anchor is not None:
            total += ahead.motion * np.float32((anchor - self._anchor) ** 2)
            weight += ahead.known * np.float32((anchor - self._anchor) ** 2)
        span = _span(vectors.past, vectors.past_known, guess, index - self._anchor)
        total += vectors.past * np.float32(span)
        weight += vectors.past_known * np.float32(span * span)
        if anchor is not None:
            span = _span(vectors.future, vectors.future_known, -guess, anchor - index)
            total -= vectors.future * np.float32(span)
            weight += vectors.future_known * np.float32(span * span)
        return _Motion(total / np.maximum(weight, 1)[..., None], weight > 0)

    def _advance(self, index: int, found: _Motion | None) -> None:
        """Go on to a frame whose motion since the frame before is found, or else is that of its neighbours in time."""
        if self._resolved is None or index <= self._resolved:
            return
        seen = found is not None and bool(found.known.any())
        if found is not None and seen:
            self._motion = _completed(found, self._motion)
            for early in self._early:
                self._step(early, self._motion, seen=False)
            self._early = []
        if self._motion is None:
            self._early.append(index)
        else:
            self._step(index, self._motion, seen=seen)

    def _step(self, index: int, motion: np.ndarray, *, seen: bool) -> None:
        """Add the motion of the next frame to what has gathered since the last mark."""
        step = motion / CELL
        if motion.any():
            self._backward = motion + _sample(self._backward, self._here + step)
            # The motion is that of the place arrived at: looked up at the place left, then where that leads.
            arrived = self._here + self._forward / CELL
            arrived -= _sample(step, arrived)
            self._forward = self._forward - _sample(motion, arrived)
        self._seen |= seen
        self._resolved = index
        while self._marks and self._marks[0] <= index:
            self._marks.pop(0)
            self._end_interval()

    def _end_interval(self) -> None:
        """Enlarge what has gathered to the stored size, and turn it upright."""
        self._flows.append((self._upright(self._forward), self._upright(self._backward)))
        self._measured += self._seen
        self._forward, self._backward, self._seen = np.zeros_like(self._forward), np.zeros_like(self._backward), False

    def _upright(self, cells: np.ndarray) -> np.ndarray:
        """Turn the flow of cells in source pixels into that of a stored frame."""
        # By the factors, not the size: macroblocks may reach beyond the picture.
        fx, fy = (float(ratio) * CELL for ratio in self._ratio)
        flow = cv2.resize(cells * self._ratio, None, fx=fx, fy=fy, interpolation=cv2.INTER_LINEAR)
        flow = flow[: self._size[0], : self._size[1]]
        transposed, flip_rows, flip_columns = self._orientation
        if transposed:
            flow = flow.transpose(1, 0, 2)[..., ::-1]
        if flip_rows:
            flow = flow[::-1] * np.array([1, -1], np.float32)
        if flip_columns:
            flow = flow[:, ::-1] * np.array([-1, 1], np.float32)
        return flow


def _span(vectors: np.ndarray, known: np.ndarray, guess: np.ndarray, longest: int) -> int:
    """Tell how many frames vectors span, from 1 to `longest`, given the motion of one frame; `longest` where that is open."""
    if longest == 1:
        return 1
    every = max(1, known.size // _CELLS_COMPARED)
    here = known.ravel()[::every]
    seen, expected = vectors.reshape(-1, 2)[::every][here], guess.reshape(-1, 2)[::every][here]
    errors = [float(np.abs(seen - expected * span).sum()) for span in range(1, longest + 1)]
    best = int(np.argmin(errors)) + 1
    return best if errors[best - 1] < 0.8 * errors[-1] else longest


def _completed(found: _Motion, before: np.ndarray | None) -> np.ndarray:
    """Give cells without vectors the mean of those around, or what they had before; then drop outliers by a median of 3x3."""
    motion, known = found
    if not known.all():
        share = cv2.blur(known.astype(np.float32), (5, 5))
        mean = cv2.blur(motion * known[..., None], (5, 5)) / np.maximum(share, 1e-3)[..., None]
        motion = np.where(known[..., None], motion, np.where(share[..., None] > 1e-3, mean, 0 if before is None else before))
    smooth: np.ndarray = cv2.medianBlur(np.ascontiguousarray(motion, np.float32), 3)
    return smooth


def _sample(field: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Read a field (R, C, 2) at real places (x, y) of its cells."""
    read: np.ndarray = cv2.remap(field, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return read
