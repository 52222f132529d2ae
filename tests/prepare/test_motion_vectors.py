"""The codec's vectors as flow: which codecs have them, hand-made frames with exact answers, and films that glide."""

import io
import itertools
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.video.frame import PictureType

from elo_cli.prepare.encode import can_encode
from elo_cli.prepare.motion_vectors import DECODER_OPTIONS, MotionField, VectorFlow, exports_vectors

UPRIGHT = (False, False, False)
I, P, B = PictureType.I, PictureType.P, PictureType.B  # noqa: E741  # their names everywhere
HEIGHT, WIDTH = 64, 96  # of hand-made frames: 4 x 6 macroblocks

ROW = np.dtype(
    {
        "names": ["source", "w", "h", "dst_x", "dst_y", "motion_x", "motion_y", "motion_scale"],
        "formats": ["<i4", "u1", "u1", "<i2", "<i2", "<i4", "<i4", "<u2"],
        "offsets": [0, 4, 5, 10, 12, 24, 28, 32],  # of FFmpeg's AVMotionVector
        "itemsize": 40,
    }
)
Turn = tuple[bool, bool, bool]
Block = tuple[int, int, float, float]  # column and row of a macroblock, and its vector (x, y) in pixels


def every(x: float, y: float) -> list[Block]:
    return [(column, row, x, y) for column in range(WIDTH // 16) for row in range(HEIGHT // 16)]


def hand_made(kind: PictureType, past: list[Block] = [], future: list[Block] = [], **changes: Any) -> Any:  # noqa: B006
    """A decoded frame as far as MotionField looks at it; vectors point from the block to where it comes from."""
    rows = np.zeros(len(past) + len(future), ROW)
    for row, (source, (column, line, x, y)) in zip(rows, [(-1, b) for b in past] + [(1, b) for b in future], strict=True):
        row["source"], row["w"], row["h"], row["motion_scale"] = source, 16, 16, 4
        row["dst_x"], row["dst_y"], row["motion_x"], row["motion_y"] = 16 * column + 8, 16 * line + 8, 4 * x, 4 * y
    side = {"MOTION_VECTORS": SimpleNamespace(to_ndarray=lambda: rows)} if len(rows) else {}
    frame = {"pict_type": int(kind), "height": HEIGHT, "width": WIDTH, "interlaced_frame": False, "side_data": side}
    return SimpleNamespace(**(frame | changes))


def gather(
    frames: list[Any], step: int = 1, codec: str = "h264", stored: tuple[int, int] = (HEIGHT, WIDTH), orientation: Turn = UPRIGHT
) -> VectorFlow:
    field = MotionField(codec, (HEIGHT, WIDTH), stored, orientation)
    for index, frame in enumerate(frames):
        field.add(frame)
        if index % step == 0:
            field.mark()
    return field.finish()


def uniform(flow: np.ndarray) -> list[list[float]]:
    """The vector of each interval, which must be the same everywhere."""
    np.testing.assert_allclose(flow, np.broadcast_to(flow[:, :1, :1], flow.shape), atol=1e-5)
    return np.round(flow[:, 0, 0], 5).tolist()


def test_a_vector_leads_back_and_its_negative_forth() -> None:
    flow = gather([hand_made(I), hand_made(P, every(-3, 1)), hand_made(P, every(0.25, 0))])
    assert flow.backward.dtype == flow.forward.dtype == np.float32
    assert uniform(flow.backward) == [[-3, 1], [0.25, 0]]
    assert uniform(flow.forward) == [[3, -1], [-0.25, 0]]
    assert flow.measured == 1.0


def test_frames_in_between_add_up_and_pixels_are_those_of_the_stored_frame() -> None:
    frames = [hand_made(I), *(hand_made(P, every(x, 2)) for x in (1, 2, 4, 8))]
    flow = gather(frames, step=2, stored=(HEIGHT // 4, WIDTH // 2))
    assert flow.backward.shape == (2, 16, 48, 2)
    assert uniform(flow.backward) == [[1.5, 1], [6, 1]]


def test_b_frames_share_the_way_of_the_p_frame_behind_them() -> None:
    """As mpeg4's B frames, whose own vectors FFmpeg leaves at zero."""
    frames = [hand_made(I), hand_made(B, every(0, 0)), hand_made(B, every(0, 0)), hand_made(P, every(6, -3))]
    flow = gather(frames, codec="mpeg4")
    assert uniform(flow.backward) == [[2, -1]] * 3


@pytest.mark.parametrize("reference", ["anchors", "pyramid"])
def test_b_frames_vectors_are_divided_by_the_frames_they_span(reference: str) -> None:
    """A pyramid: the middle B frame serves the others as reference."""
    near = reference == "pyramid"
    frames = [
        hand_made(I),
        hand_made(B, every(2, 1), every(-2, -1) if near else every(-6, -3)),
        hand_made(B, every(4, 2), every(-4, -2)),
        hand_made(B, every(2, 1) if near else every(6, 3), every(-2, -1)),
        hand_made(P, every(8, 4)),
    ]
    assert uniform(gather(frames).backward) == [[2, 1]] * 4
    assert uniform(gather(frames, step=4).forward) == [[-8, -4]]


def test_b_frames_vectors_count_where_the_p_frame_has_none() -> None:
    left, right = [b for b in every(6, 0) if b[0] < 3], [b for b in every(3, 0) if b[0] >= 3]
    frames = [hand_made(I), hand_made(B, right), hand_made(B), hand_made(P, left)]
    flow = gather(frames)
    np.testing.assert_allclose(flow.backward[0, :, 56:, 0], 3, atol=1e-5)
    np.testing.assert_allclose(flow.backward[0, :, :40, 0], 2, atol=1e-5)


def test_backward_flow_lies_where_a_thing_is_and_forward_flow_where_it_was() -> None:
    thing = {(2, 1), (3, 1), (2, 2), (3, 2)}  # after the interval; before it, 8 pixels to the left
    blocks = [(c, r, -8.0 if (c, r) in thing else 0.0, 0.0) for c, r, _, _ in every(0, 0)]
    flow = gather([hand_made(I), hand_made(P, blocks)])
    middle = np.s_[0, 28:36]  # edges are blurred by half a cell, corners rounded
    np.testing.assert_allclose(flow.backward[middle][:, 36:60, 0], -8, atol=1e-5)
    np.testing.assert_allclose(flow.forward[middle][:, 36:52, 0], 8, atol=1e-5)
    for way, still in ((flow.backward, 68), (flow.forward, 60)):
        assert not way[:, :, still:].any() and not way[:, :, :28].any()


def test_gaps_are_filled_from_around_and_lone_vectors_dropped() -> None:
    holed = [b for b in every(4, 0) if b[:2] != (2, 1)]
    assert uniform(gather([hand_made(I), hand_made(P, holed)]).backward) == [[4, 0]]
    frame = hand_made(P, every(4, 0))
    row = frame.side_data["MOTION_VECTORS"].to_ndarray()[5:6]
    row["w"], row["h"], row["motion_x"] = 8, 8, 400  # one cell of 8 x 8, the others of its block unknown
    assert uniform(gather([hand_made(I), frame]).backward) == [[4, 0]]


def test_an_i_frame_carries_the_motion_on_and_is_not_counted_as_measured() -> None:
    flow = gather([hand_made(I), hand_made(P, every(2, 0)), hand_made(I), hand_made(P, every(3, 0))])
    assert uniform(flow.backward) == [[2, 0], [2, 0], [3, 0]]
    assert flow.measured == pytest.approx(2 / 3)


def test_a_stretch_that_begins_in_the_middle_takes_the_first_motion_back() -> None:
    flow = gather([hand_made(B, every(9, 9)), hand_made(B, every(9, 9)), hand_made(P, every(9, 9)), hand_made(P, every(4, 0))])
    assert uniform(flow.backward) == [[4, 0]] * 3  # a first P frame's reference is unknown
    assert flow.measured == pytest.approx(1 / 3)


@pytest.mark.parametrize("changes", [{"interlaced_frame": True}, {"height": HEIGHT + 16}, {"side_data": {}}])
def test_frames_without_usable_vectors_are_not_taken_for_stills(changes: dict[str, Any]) -> None:
    flow = gather([hand_made(I), hand_made(P, every(2, 0), **changes), hand_made(P, every(2, 0), **changes)])
    assert flow.measured == 0.0 and not flow.backward.any()


def test_a_frame_that_is_stored_twice_does_not_move_in_between() -> None:
    field = MotionField("h264", (HEIGHT, WIDTH), (HEIGHT, WIDTH), UPRIGHT)
    for frame in (hand_made(I), hand_made(B), hand_made(P, every(4, 0))):
        field.add(frame)
        field.mark()
        field.mark()
    assert uniform(field.finish().backward) == [[0, 0], [2, 0], [0, 0], [2, 0], [0, 0]]


def test_frames_before_the_first_mark_are_references_only() -> None:
    field = MotionField("h264", (HEIGHT, WIDTH), (HEIGHT, WIDTH), UPRIGHT)
    for index, frame in enumerate([hand_made(I), hand_made(P, every(100, 0)), *[hand_made(B)] * 2, hand_made(P, every(6, 0))]):
        field.add(frame)
        if index >= 2:
            field.mark()
    assert uniform(field.finish().backward) == [[2, 0], [2, 0]]


def test_nothing_or_one_frame_has_no_flow() -> None:
    for frames in ([], [hand_made(I)]):
        flow = gather(frames, stored=(20, 30), orientation=(True, False, False))
        assert flow.forward.shape == flow.backward.shape == (0, 20, 30, 2)
        assert flow.measured == 1.0


def test_blocks_outside_the_frame_and_endless_b_frames_do_no_harm() -> None:
    outside = [(6, 0, 9.0, 9.0), (0, 4, 9.0, 9.0), (-1, 0, 9.0, 9.0), (400, 400, 9.0, 9.0)]
    field = MotionField("h264", (HEIGHT, WIDTH), (HEIGHT, WIDTH), UPRIGHT)
    for frame in (hand_made(I), hand_made(P, every(1, 0) + outside), *[hand_made(B, every(1, 0) + outside, outside)] * 100):
        field.add(frame)
        field.mark()
        assert len(field._run) < 40
    flow = field.finish()
    assert flow.backward.shape == (101, HEIGHT, WIDTH, 2) and np.isfinite(flow.backward).all()
    assert uniform(flow.backward[:1]) == [[1, 0]]


@pytest.mark.parametrize("orientation", list(itertools.product([False, True], repeat=3)))
def test_flow_turns_with_the_picture(orientation: Turn) -> None:
    blocks = [(c, r, -2.0 * c + r, 3.0 * r - c) for c, r, _, _ in every(0, 0)]
    transposed, flip_rows, flip_columns = orientation
    frames = [hand_made(I), hand_made(P, blocks)]
    plain = gather(frames, stored=(40, 60))
    height, width = (60, 40) if transposed else (40, 60)
    turned = gather(frames, stored=(height, width), orientation=orientation)

    def place(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = (y, x) if transposed else (x, y)
        return width - 1 - x if flip_columns else x, height - 1 - y if flip_rows else y

    y, x = np.mgrid[:40, :60]
    there_x, there_y = place(x, y)
    for before, after in zip(plain[:2], turned[:2], strict=True):
        end_x, end_y = place(x + before[0, ..., 0], y + before[0, ..., 1])
        np.testing.assert_allclose(after[0, there_y, there_x, 0], end_x - there_x, atol=1e-4)
        np.testing.assert_allclose(after[0, there_y, there_x, 1], end_y - there_y, atol=1e-4)


def glide(height: int, width: int, frames: int, right: int, down: int) -> np.ndarray:
    """A texture that moves by so many pixels a frame, with a camera's noise, or an encoder would take any frame as reference."""
    size = (height + down * frames, width + right * frames)
    rng = np.random.default_rng(0)
    grain = sum(cv2.GaussianBlur(rng.normal(size=(*size, 3)), (0, 0), blur) * blur for blur in (1.5, 5))
    texture = np.clip(128 + 40 * grain, 0, 255).astype(np.uint8)
    starts = [(down * (frames - t), right * (frames - t)) for t in range(frames)]
    noise = rng.normal(0, 2, (frames, height, width, 3))
    clean = np.stack([texture[top : top + height, left : left + width] for top, left in starts])
    return np.clip(clean + noise, 0, 255).astype(np.uint8)


def encode(frames: np.ndarray, codec: str, container: str, options: dict[str, str]) -> io.BytesIO:
    if not can_encode(codec):
        pytest.skip(f"this build of PyAV has no {codec}")
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as output:
        track = output.add_stream(codec, rate=25, options=options)
        track.height, track.width = frames.shape[1:3]
        track.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        track.bit_rate = 3_000_000
        track.codec_context.thread_count = 1
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts = number
            output.mux(track.encode(frame))
        output.mux(track.encode(None))
    stream.seek(0)
    return stream


def decode(stream: io.BytesIO, stored: tuple[int, int], step: int) -> tuple[str, VectorFlow | None, bool, set[int]]:
    """Return the decoder's name, the flow if it exports vectors, whether any were seen, and the kinds of frames."""
    seen, kinds, field = False, set[int](), None
    with av.open(stream) as container:
        video = container.streams.video[0]
        video.thread_type = "NONE"
        video.codec_context.options = DECODER_OPTIONS
        name = video.codec_context.name
        for index, frame in enumerate(container.decode(video)):
            if exports_vectors(name):
                field = field or MotionField(name, (frame.height, frame.width), stored, UPRIGHT)
                field.add(frame)
                if index % step == 0:
                    field.mark()
            seen = seen or "MOTION_VECTORS" in frame.side_data
            kinds.add(int(frame.pict_type))
    return name, field.finish() if field else None, seen, kinds


X264 = {"preset": "medium", "crf": "23"}
CODECS = [
    ("libx264", "mp4", X264), ("libx264", "mp4", X264 | {"bf": "0", "refs": "1"}),
    ("libx264", "mp4", X264 | {"bf": "2", "b-pyramid": "none"}),
    ("mpeg4", "avi", {}), ("mpeg4", "mp4", {"bf": "2"}), ("mpeg4", "avi", {"flags": "+qpel+mv4"}),
    ("mpeg1video", "mpegts", {}), ("mpeg1video", "mpegts", {"bf": "2"}), ("mpeg2video", "mpegts", {"bf": "2"}),
    ("msmpeg4", "avi", {}), ("msmpeg4v2", "avi", {}), ("wmv1", "avi", {}), ("wmv2", "asf", {}), ("flv", "flv", {}),
    ("h263", "avi", {}), ("h263p", "avi", {}), ("h261", "avi", {}),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "container", "options"), CODECS)
def test_films_that_glide(codec: str, container: str, options: dict[str, str]) -> None:
    height, width = (144, 176) if codec.startswith("h26") else (120, 168)  # H.263 knows few sizes
    frames = glide(height, width, 9, 3, 1)
    name, flow, seen, kinds = decode(encode(frames, codec, container, options), (height // 2, width // 2), 2)
    assert exports_vectors(name) and seen and flow is not None
    assert (int(B) in kinds) == (options.get("bf", "3" if codec == "libx264" else "0") != "0")
    assert flow.measured >= 0.75  # where MPEG-4 has B frames, FFmpeg hands out no vectors with the last frame of all
    inner = np.s_[:, 8:-8, 8:-8]
    for found, truth in ((flow.forward, (3, 1)), (flow.backward, (-3, -1))):
        assert found.shape == (4, height // 2, width // 2, 2)
        np.testing.assert_allclose(np.median(found[inner], axis=(1, 2)), [truth] * 4, atol=0.26)
        assert np.abs(found[inner] - truth).mean() < 0.3


WITHOUT = [
    ("libx265", "mp4", {"x265-params": "log-level=none"}), ("libvpx", "webm", {}), ("libvpx-vp9", "webm", {}),
    ("libsvtav1", "mp4", {}), ("mjpeg", "avi", {}), ("ffv1", "matroska", {}),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "container", "options"), WITHOUT)
def test_other_codecs_have_none(codec: str, container: str, options: dict[str, str]) -> None:
    name, flow, seen, _ = decode(encode(glide(64, 96, 4, 2, 0), codec, container, options), (64, 96), 1)
    assert not seen and flow is None
    assert not exports_vectors(name)


def test_an_all_intra_film_measures_nothing() -> None:
    stream = encode(glide(64, 96, 5, 2, 0), "libx264", "mp4", X264 | {"g": "1"})
    _, flow, seen, kinds = decode(stream, (64, 96), 1)
    assert not seen and kinds == {int(I)}
    assert flow is not None and flow.measured == 0.0
