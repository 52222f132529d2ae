"""What preprocessing is measured against, as programs: `python -m tests.perf.rivals bare|ffmpeg …`.

Each prints one JSON object: `seconds` and processor seconds `cpu_s` from the first file opened to the last
one done, without the start of the interpreter and its imports, and `frames`, how many pictures were made.
"""

import collections
import itertools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import Interpolation, VideoReformatter

FFMPEG_FILTER = "fps={fps},scale=w='if(gte(iw,ih),-2,{side})':h='if(gte(iw,ih),{side},-2)':flags=area,format=rgb24"
# Averages over the area, and colour at full width (SWS_FULL_CHR_H_INT): the scaling that elo stores.
SCALING = int(Interpolation.AREA) | 0x2000
EPSILON_S = 1.5e-3  # containers round times to milliseconds
# Before PyAV 17 scaling had one thread and no such argument.
ONE_THREAD: dict[str, int] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


def bare(path: str, times_s: Sequence[float], height: int, width: int) -> int:
    """Decode a file and scale the frames on screen at these times after its first one; return how many.

    It stops after the last of them, keeps nothing and checks nothing.
    """
    with av.open(path) as container:
        return sum(1 for _ in pictures(container, times_s, height, width))


def pictures(
    container: InputContainer, times_s: Sequence[float], height: int, width: int, origin_s: float | None = None
) -> Iterator[np.ndarray]:
    """Decode on one thread from where the container is, and yield for each time the small picture then on screen.

    `times_s` grow, and count from `origin_s` on the stream's clock; None: from the first frame that comes.
    """
    stream = container.streams.video[0]
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    scaler, waiting = VideoReformatter(), collections.deque(times_s)
    for shown, following in itertools.pairwise(itertools.chain(container.decode(stream), [None])):
        assert shown is not None and shown.time is not None, f"{container.name}: a frame without a time"
        origin_s = shown.time if origin_s is None else origin_s
        until_s = math.inf if following is None else (following.time or 0.0) - origin_s - EPSILON_S
        small = None
        while waiting and waiting[0] < until_s:
            waiting.popleft()
            if small is None:
                small = scaler.reformat(shown, width, height, "rgb24", interpolation=SCALING, **ONE_THREAD).to_ndarray()
            yield small
        if not waiting:
            return


def ffmpeg(path: str, fps: float, side: int) -> int:
    """Let the ffmpeg program decode and scale a file on one thread, pictures only; return how many it made."""
    picture = FFMPEG_FILTER.format(fps=fps, side=side)
    quiet = ["-nostdin", "-loglevel", "error", "-nostats", "-progress", "pipe:1"]
    threads = ["-filter_threads", "1", "-threads", "1"]
    command = ["ffmpeg", *quiet, *threads, "-i", path, "-an", "-vf", picture, "-f", "null", "-"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(said.rpartition("frame=")[2].split()[0])


def main() -> None:
    """Run one rival over all files of a list of picks (see `preprocessing.picks`)."""
    name, listed, *rest = sys.argv[1:]
    picks = json.loads(Path(listed).read_text())
    begun, before = time.perf_counter(), os.times()
    if name == "bare":
        frames = sum(bare(pick["path"], pick["times_s"], pick["height"], pick["width"]) for pick in picks)
    else:
        fps, side = float(rest[0]), int(rest[1])
        frames = sum(ffmpeg(pick["path"], fps, side) for pick in picks)
    seconds, spent = time.perf_counter() - begun, os.times()
    cpu_s = spent.user + spent.system - before.user - before.system + spent.children_user + spent.children_system
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "frames": frames}))


if __name__ == "__main__":
    main()
