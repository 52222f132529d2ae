"""Read random clips of 16 frames at stride 2, as a program: `python -m tests.perf.reading FROM SET SOURCE SECONDS`.

FROM is `shards` (elo's shards, raw or JPEG), `pyav` (seek in the source and decode, on one thread) or `elo`
(elo's own decoding of that stretch of the source). The same clips are drawn for each. It prints one JSON
object: `seconds`, and `clips`, how many were read in them. Files are in the page cache for all three.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from elo_cli.core.settings import PreprocessSettings
from elo_cli.data.video_set import Segment, VideoSet
from elo_cli.prepare.decode import decode_video
from elo_cli.prepare.segment import SegmentPlan, Span
from tests.perf.rivals import pictures

FRAMES, STRIDE = 16, 2
GIVEN = PreprocessSettings.model_validate({})
FPS = GIVEN.fps
SPAN = (FRAMES - 1) * STRIDE + 1

Read = Callable[[Segment, int], np.ndarray]  # a segment and the first frame → (16, H, W, 3) uint8


def shards(videos: VideoSet) -> Read:
    """Read from the preprocessed set."""

    def read(segment: Segment, start: int) -> np.ndarray:
        frames = videos.shards[segment.shard].read(segment.index, "rgb", start, start + SPAN)
        return np.ascontiguousarray(frames[::STRIDE])

    return read


def pyav(source: Path) -> Read:
    """Seek in the source, decode, and scale the frames that are on screen at the times of the clip."""

    def read(segment: Segment, start: int) -> np.ndarray:
        record = segment.record
        times_s = [record.start_s + (start + index * STRIDE) / FPS for index in range(FRAMES)]
        with av.open(str(source / record.video)) as container:
            stream = container.streams.video[0]
            assert stream.time_base is not None
            begin = stream.start_time or 0
            # FFmpeg seeks by decoding time, which runs ahead of presentation time.
            container.seek(max(0, begin + round((times_s[0] - 0.25) / stream.time_base)), stream=stream, backward=True)
            return np.stack(list(pictures(container, times_s, record.height, record.width, float(begin * stream.time_base))))

    return read


def elo(source: Path) -> Read:
    """Decode that stretch as `elo preprocess` would, at the clip's own rate."""
    rate = FPS / STRIDE
    plan = SegmentPlan(rate, GIVEN.short_side, FRAMES / rate, 1, 2, 0, GIVEN.max_pixels)

    def read(segment: Segment, start: int) -> np.ndarray:
        first_s = segment.record.start_s + start / FPS
        video = decode_video(source / segment.record.video, plan, Span(first_s, first_s + FRAMES / rate))
        return video.segments[0].rgb_THWC

    return read


def main() -> None:
    """Read clips for so many seconds, after one that is compared with the shard's."""
    name, root, source, seconds = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
    videos = VideoSet(root)
    read = {"shards": shards(videos)}.get(name) or {"pyav": pyav, "elo": elo}[name](source)
    segments = [segment for video in videos.videos for segment in video.segments if segment.record.frames >= SPAN]
    rng = np.random.default_rng(0)
    apart = np.abs(read(segments[0], 2).astype(float) - shards(videos)(segments[0], 2)).mean()
    assert apart < 4, f"{name} reads other frames than the shards hold: {apart:.1f} grey levels apart"
    clips, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        segment = segments[int(rng.integers(len(segments)))]
        read(segment, int(rng.integers(segment.record.frames - SPAN + 1)))
        clips += 1
    print(json.dumps({"seconds": time.perf_counter() - begun, "clips": clips}))


if __name__ == "__main__":
    main()
