"""`elo dataset sample`: a few random clips of a preprocessed set → one picture."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from elo_cli.core.errors import DataError
from elo_cli.core.seeds import numpy_generator
from elo_cli.core.settings import Settings
from elo_cli.data.records import SegmentRecord, VideoRecord
from elo_cli.data.shard import Shard
from elo_cli.figures.contact_sheet import Clip, contact_sheet, shown_frames
from elo_cli.figures.pictures import free_target, save_picture
from elo_cli.workflows.dataset_verify import set_root, shard_files
from elo_cli.workflows.events import Outcome, Table, Watch

SHEET = "contact-sheet.png"

_MARK = "elo dataset sample"  # in the picture's own text, under `Software`
_SILENCE = {
    "none": "no track",
    "silent": "silent",
    "broken": "its sound cannot be decoded",
    "off": "not asked for",
    "heard": "silent here",
}


def plan(*, settings: Settings, data: Path | None, clips: int, motion: bool, out: Path | None) -> Outcome:
    """Say what `run` would draw; writes nothing."""
    root = set_root(settings, data)
    target = free_target(out or root / SHEET, _MARK)
    row = (str(root), str(clips), str(settings.seed), str(target))
    result = {"data": str(root), "clips": clips, "seed": settings.seed, "out": str(target)}
    return Outcome(result, (Table("A sheet would show", ("set", "clips", "seed", "into"), (row,)),))


def run(*, settings: Settings, data: Path | None, watch: Watch, clips: int, motion: bool, out: Path | None) -> Outcome:
    """Draw a contact sheet of random segments, of different videos as long as there are any.

    Args:
        settings: they name the workspace and the seed.
        data: the set; the newest one if not given.
        watch: is told of shards that cannot be read.
        clips: how many, 1 to `MOST_CLIPS`; fewer are shown where the set has fewer segments.
        motion: show the edges of the flow too, which are what the motion pathway sees.
        out: the picture; `contact-sheet.png` in the set if not given. An earlier sheet is replaced.

    Raises:
        DataError: there is no set, or no readable segment in it.
        UsageError: `out` is a file that is no contact sheet.
        StorageError: the picture cannot be written.
    """
    root = set_root(settings, data)
    target = free_target(out or root / SHEET, _MARK)
    paths = shard_files(root)
    chosen, shown = [], []
    watch.start("reading", clips, "clip")
    for shard, number in _drawn(paths, settings.seed, watch):
        watch.check()
        try:
            clip, what = _read(shard, number, motion=motion)
        except DataError as error:
            watch.warn(f"{error.message} It is left out; elo dataset verify says more.")
            continue
        shown.append(clip)
        chosen.append(what)
        watch.advance("reading", len(chosen))
        if len(chosen) == clips:
            break
    watch.finish("reading")
    if not shown:
        raise DataError(f"There is no readable clip in {root}.", hint="elo dataset verify says what is damaged.")
    line = f"{root} · seed {settings.seed} · {len(paths)} shard{'s' if len(paths) > 1 else ''}"
    sheet = contact_sheet(shown, f"{len(shown)} random clip{'s' if len(shown) > 1 else ''}", line)
    save_picture(sheet, target, _MARK)
    rows = [(clip["video"], clip["label"] or "-", f"{clip['start_s']:.1f} s", clip["flow"], clip["sound"]) for clip in chosen]
    result = {"data": str(root), "seed": settings.seed, "clips": chosen, "out": str(target), "size": list(sheet.size)}
    table = Table("Clips on the sheet", ("video", "label", "from", "flow", "sound"), rows)
    return Outcome(result, (table,), {"contact sheet": str(target)})


def _drawn(paths: list[Path], seed: int, watch: Watch) -> Iterator[tuple[Shard, int]]:
    """Yield segments in random order: one of each shard, then another of each, and so on.

    Shards hold about as many videos as one another, so this is nearly a draw among all videos, and no
    more shards are opened than are needed. A shard's second segment is of another video if it has one.
    """
    order = [paths[place] for place in numpy_generator(seed, "contact-sheet").permutation(len(paths))]
    turn = 0
    while order:
        left = []
        for path in order:
            try:
                shard = Shard(path)
                segments = _order(shard, seed)
            except DataError as error:
                watch.warn(f"{error.message} It is left out; elo dataset verify says more.")
                continue
            if turn < len(segments):
                left.append(path)
                yield shard, segments[turn]
        order, turn = left, turn + 1


def _order(shard: Shard, seed: int) -> list[int]:
    """Order the segments of a shard: a random one of each video, then of each a second one, …"""
    random = numpy_generator(seed, "contact-sheet", shard.path.name)
    videos: dict[str, list[int]] = {}
    for number, segment in enumerate(shard.segments):
        videos.setdefault(segment.video, []).append(number)
    shuffled = [random.permutation(numbers) for numbers in videos.values()]
    rounds = [(turn, random.random(), int(number)) for numbers in shuffled for turn, number in enumerate(numbers)]
    return [number for _, _, number in sorted(rounds)]


def _read(shard: Shard, number: int, *, motion: bool) -> tuple[Clip, dict[str, Any]]:
    """Read what is shown of a segment, and nothing else; return it, and a record of it."""
    segment, settings = shard.segments[number], shard.settings
    video, fps = shard.videos[segment.video], float(settings["fps"])
    places = shown_frames(segment.height, segment.width, segment.frames)
    carried = "yes" if segment.flow else f"no flow ({'not asked for' if video.flow == 'off' else video.flow or 'reason unknown'})"
    sound = "yes" if segment.audio_frames else f"no sound ({_SILENCE[video.sound]})"
    clip = Clip(
        title=segment.video,
        label=video.label if video.label is not None else "no label",
        details=_details(segment, video, fps),
        start_s=segment.start_s,
        seconds=segment.frames / fps,
        frames_NHWC=np.concatenate([shard.read(number, "rgb", place, place + 1) for place in places]),
        no_flow=carried,
        no_sound=sound,
    )
    if segment.flow:
        scale_T2 = shard.read(number, "flow_scale", 0, segment.frames)
        flow_NHW2 = [shard.read(number, "flow", place, place + 1) * scale_T2[place, 0] for place in places]
        flow = np.concatenate(flow_NHW2)
        clip = dataclasses.replace(clip, flow_NHW2=flow, edges_NHW3=_edges(flow) if motion else None)
    if segment.audio_frames:
        heard = segment.audio_frames * float(settings["hop_seconds"]) / clip.seconds
        spectrogram = shard.read(number, "audio", 0, segment.audio_frames)
        clip = dataclasses.replace(clip, spectrogram=spectrogram, heard=min(1.0, heard))
    return clip, {
        "video": segment.video,
        "label": video.label,
        "start_s": segment.start_s,
        "seconds": clip.seconds,
        "flow": carried,
        "sound": sound,
        "shard": shard.path.name,
    }


def _edges(flow_NHW2: np.ndarray) -> np.ndarray:
    """Draw the edges of flow in pixels, (N, H, W, 3), from 0."""
    import torch

    from elo_cli.engine.edges import DEVIATION, MEAN, flow_edges

    height, width = flow_NHW2.shape[1:3]
    share_NHW2 = flow_NHW2 * np.array([100 / width, 100 / height], np.float32)  # as the networks get it
    edges_13NHW = flow_edges(torch.from_numpy(share_NHW2.transpose(3, 0, 1, 2)[None].astype(np.float32)))
    return (edges_13NHW[0] * DEVIATION + MEAN).clamp_min(0).permute(1, 2, 3, 0).numpy()


def _details(segment: SegmentRecord, video: VideoRecord, fps: float) -> str:
    end_s = segment.start_s + segment.frames / fps
    parts = [
        f"{segment.start_s:.1f} to {end_s:.1f} s of {video.duration_s:.1f} s",
        f"{segment.height}×{segment.width} of {video.source_height}×{video.source_width}",
        f"{segment.frames} frames, {fps:g} a second",
    ]
    return " · ".join(parts)
