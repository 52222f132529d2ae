"""Compare the methods of optical flow: time, error against known flow, and agreement on real clips (docs/flow.md).

    python -m tests.perf.flow_quality                      # known flow only: ten minutes
    python -m tests.perf.flow_quality --clips FOLDER       # and 20 real clips, evenly spread over the folder's videos
    python -m tests.perf.flow_quality --settings           # many settings of DIS in place of the methods
    python -m tests.perf.flow_quality --raft WEIGHTS       # and RAFT, on the processor

Tables are Markdown. Every film follows from its seed. Times are processor time of one thread for both directions:
run it on a machine that does nothing else.
"""

import argparse
import functools
import io
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar, get_args

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from elo_cli.prepare import flow as flow_module
from elo_cli.prepare.flow import DisSettings, FlowMethod, dequantise, flow_method, quantise
from elo_cli.prepare.motion_vectors import DECODER_OPTIONS, MotionField, VectorFlow, exports_vectors
from tests.perf.known_flow import STEP, STORED, KnownFilm, Manner, make_film

SPEEDS = {"small": (0.5, 1.0, 2.0), "large": (4.0, 8.0, 16.0)}  # pixels of a stored frame, of the fastest points
ENCODERS = {  # what the films and clips are written with, and read again
    "x264": ("libx264", "mp4", {"preset": "medium", "crf": "23"}),  # B frames, three references
    "mpeg4": ("mpeg4", "avi", {"flags": "+qscale", "global_quality": "354", "bf": "2"}),
}
CLIPS, FRAMES = 20, 41  # real clips, and stored frames of each
SHRINK = int(Interpolation.AREA) | 0x2000  # full chroma, as elo's pictures
OPENCV_FAST = DisSettings(finest=2, stride=4, descents=16, refinements=5)

Result = TypeVar("Result")


class Shown(NamedTuple):
    """A video as training sees it: stored frames, and the flow of its motion vectors where it has any."""

    rgb_THWC: np.ndarray
    vectors: VectorFlow | None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="folder of real videos, searched with all its folders")
    parser.add_argument("--seeds", type=int, default=2, help="films of each manner and speed")
    parser.add_argument("--settings", action="store_true", help="compare settings of DIS")
    parser.add_argument("--raft", type=Path, help="file of RAFT's weights")
    choice = parser.parse_args()
    cv2.setNumThreads(1)
    methods = settings_of_dis() if choice.settings else all_methods(choice.raft)
    films = [
        (size, manner, make_film(manner, pixels, seed))
        for size, speeds in SPEEDS.items()
        for manner, pixels, seed in itertools.product(get_args(Manner), speeds, range(choice.seeds))
    ]
    show_known(films, methods, vectors=not choice.settings)
    if choice.clips:
        paths = sorted(
            path for path in choice.clips.rglob("*") if path.suffix.lower() in {".avi", ".mp4", ".mkv", ".webm", ".mov"}
        )
        chosen = paths[:: max(1, len(paths) // CLIPS)][:CLIPS]
        show_real(chosen, methods, vectors=not choice.settings)
        if not choice.settings:
            show_vector_cost(chosen)


def all_methods(weights: Path | None) -> dict[str, FlowMethod]:
    """Every method by its name, and OpenCV's preset "fast", which elo does not use."""
    named = {name: flow_method(name) for name in flow_module.METHODS if name != "raft"}
    named["OpenCV's fast"] = dis_with(OPENCV_FAST)
    return named | ({"raft": flow_method("raft", weights)} if weights else {})


def settings_of_dis() -> dict[str, FlowMethod]:
    """DIS with many settings: finest scale, stride, descents, refinements."""
    grid = itertools.product((2, 1), (3, 4, 5, 6, 8), (6, 12), (0, 1, 3))
    return {" ".join(map(str, each)): dis_with(DisSettings(*each)) for each in grid} | {"2 4 16 5": dis_with(OPENCV_FAST)}


def dis_with(settings: DisSettings) -> FlowMethod:
    """A flow method of other settings than those that have names."""
    return functools.partial(flow_module._flow_of_film, functools.partial(flow_module._dis, settings))


def show_known(films: Sequence[tuple[str, str, KnownFilm]], methods: dict[str, FlowMethod], *, vectors: bool) -> None:
    """Print the time and the error against the true flow, both ways together."""
    errors: dict[tuple[str, str], list[float]] = {}
    clocks: dict[str, list[float]] = {}
    for size, manner, film in films:
        shown = {kind: decode(encode(film.frames, kind)) for kind in ENCODERS}
        found: dict[str, Sequence[np.ndarray]] = {}
        for name, method in methods.items():
            found[name], spent_ms = clocked(functools.partial(method, shown["x264"].rgb_THWC))
            clocks.setdefault(name, []).append(spent_ms / len(film.forward))
        for kind, video in shown.items() if vectors else ():
            assert video.vectors is not None
            found[f"motion-vectors ({kind})"] = video.vectors[:2]
        for name, (forward, backward) in found.items():
            error = (epe(forward, film.forward, film.forward_seen) + epe(backward, film.backward, film.backward_seen)) / 2
            for column in (size, manner):
                errors.setdefault((name, column), []).append(error)
    columns = (*SPEEDS, *get_args(Manner))
    rows = [
        (
            name,
            f"{np.mean(clocks[name]):.2f}" if name in clocks else "",
            *(f"{np.mean(errors[name, each]):.3f}" for each in columns),
        )
        for name in dict.fromkeys(name for name, _ in errors)
    ]
    show(("method", "ms a stored frame", *columns), rows)


def show_real(paths: Sequence[Path], methods: dict[str, FlowMethod], *, vectors: bool) -> None:
    """Print how far each method is from dis-medium, how well it explains the next frame, and what 8 bits cost."""
    reference = flow_method("dis-medium")
    table: dict[str, list[tuple[float, ...]]] = {}
    lengths = []
    for path in paths:
        video = decode(path)
        agreed = reference(video.rgb_THWC)
        lengths.append(np.linalg.norm(agreed[0], axis=-1).mean())
        found: dict[str, tuple[Shown, Sequence[np.ndarray], Sequence[np.ndarray], float]] = {}
        for name, method in methods.items():
            flows, spent_ms = clocked(functools.partial(method, video.rgb_THWC))
            found[name] = video, flows, agreed, spent_ms / len(flows[0])
        if vectors and video.vectors:
            found["motion-vectors (as found)"] = video, video.vectors[:2], agreed, np.nan
        if vectors:
            again = decode(encode(raw_frames(path), "x264"))
            assert again.vectors is not None
            found["motion-vectors (x264)"] = again, again.vectors[:2], reference(again.rgb_THWC), np.nan
        found["no flow at all"] = video, [np.zeros_like(flow) for flow in agreed], agreed, np.nan
        for name, (shown, flows, others, spent_ms) in found.items():
            away = np.mean([np.linalg.norm(a - b, axis=-1).mean() for a, b in zip(flows, others, strict=True)])
            row = (spent_ms, away, unexplained(shown.rgb_THWC, flows[0]), *error_of_storage(flows))
            table.setdefault(name, []).append(tuple(map(float, row)))
    print(f"\n{len(paths)} clips; mean length of dis-medium's flow: {np.mean(lengths):.2f} pixels")
    heads = (
        "method",
        "ms a stored frame",
        "px from dis-medium",
        "grey levels unexplained",
        "8-bit error",
        "one scale for all",
        "largest",
    )
    means = {name: (*np.mean(rows, axis=0)[:-1], max(row[-1] for row in rows)) for name, rows in table.items()}
    show(heads, [(name, *(f"{mean:.4f}" for mean in row)) for name, row in means.items()])


def error_of_storage(flows: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Mean length of the error that 8 bits add, what it would be with one scale for a whole film, and the largest, in pixels."""
    errors = [np.linalg.norm(dequantise(*quantise(flow)) - flow, axis=-1) for flow in flows]
    scales = [float(np.abs(flow).max()) / 127 or 1.0 for flow in flows]
    alone = [np.linalg.norm(np.rint(flow / scale) * scale - flow, axis=-1) for flow, scale in zip(flows, scales, strict=True)]
    return float(np.mean(errors)), float(np.mean(alone)), float(np.max(errors))


def show(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def show_vector_cost(paths: Sequence[Path]) -> None:
    """Print what motion vectors add to the decoding of a clip."""
    for kind in ("as found", *ENCODERS):
        plain, wanted = [], []
        for path in paths:
            data = path if kind == "as found" else encode(raw_frames(path), kind).getvalue()
            for times, vectors in ((plain, False), (wanted, True)):
                times.append(min(clocked(functools.partial(decode, data, vectors=vectors))[1] for _ in range(3)) / FRAMES)
        each, more = np.mean(plain), np.mean(wanted) - np.mean(plain)
        print(f"\n{kind}: {each:.2f} ms a stored frame to decode and shrink, {more:.2f} more for vectors", flush=True)


def epe(flow: np.ndarray, truth: np.ndarray, seen: np.ndarray) -> float:
    """Mean end-point error in pixels where the point can be seen in both frames."""
    return float(np.linalg.norm(flow - truth, axis=-1)[seen].mean())


def unexplained(rgb_THWC: np.ndarray, forward: np.ndarray) -> float:
    """Mean difference of a frame and the next one carried back by the flow, in grey levels of 255."""
    y, x = np.mgrid[: forward.shape[1], : forward.shape[2]].astype(np.float32)
    differences = []
    for first, second, flow in zip(rgb_THWC, rgb_THWC[1:], forward, strict=False):
        carried = cv2.remap(second, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        differences.append(np.abs(carried.astype(np.float32) - first).mean())
    return float(np.mean(differences))


def clocked(work: Callable[[], Result]) -> tuple[Result, float]:
    """Return what a function returns, and the milliseconds of processor time that it takes."""
    start = time.process_time()
    result = work()
    return result, (time.process_time() - start) * 1000


def encode(frames: np.ndarray, kind: str) -> io.BytesIO:
    """Write source frames as a video of 25 frames a second."""
    codec, container, options = ENCODERS[kind]
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as output:
        track = output.add_stream(codec, rate=25, options=options)
        track.height, track.width = frames.shape[1:3]
        track.pix_fmt = "yuv420p"
        track.codec_context.thread_count = 1
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = number
            output.mux(track.encode(frame))
        output.mux(track.encode(None))
    stream.seek(0)
    return stream


def decode(source: "Path | io.BytesIO | bytes", *, vectors: bool = True) -> Shown:
    """Read every second frame at the stored size, at most FRAMES of them, and the motion vectors of all."""
    pictures: list[np.ndarray] = []
    field: MotionField | None = None
    with av.open(io.BytesIO(source) if isinstance(source, bytes) else source) as container:
        video = container.streams.video[0]
        video.thread_type = "NONE"
        vectors = vectors and exports_vectors(video.codec_context.name)
        if vectors:
            video.codec_context.options = DECODER_OPTIONS
        shrink = VideoReformatter()
        for index, frame in enumerate(container.decode(video)):
            if vectors:
                field = field or MotionField(video.codec_context.name, (frame.height, frame.width), STORED, (False, False, False))
                field.add(frame)
            if index % STEP == 0:
                if field:
                    field.mark()
                small = shrink.reformat(frame, STORED[1], STORED[0], "rgb24", interpolation=SHRINK)
                pictures.append(small.to_ndarray())
                if len(pictures) == FRAMES:
                    break
    return Shown(np.stack(pictures), field.finish() if field else None)


def raw_frames(path: Path) -> np.ndarray:
    """Read as many frames as `decode` looks at, as they are."""
    with av.open(path) as container:
        wanted = itertools.islice(container.decode(video=0), STEP * (FRAMES - 1) + 1)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in wanted])


if __name__ == "__main__":
    main()
