"""What a step costs, in words and figures."""

from collections.abc import Iterator
from typing import Any

from elo_cli.core.train_settings import TrainSettings
from elo_cli.workflows.events import Table, size_text
from elo_cli.workflows.material import about
from elo_cli.workflows.step_cost import MARGIN, Lines, Measured, shrunk

Row = tuple[str, ...]


def told(found: Measured, given: TrainSettings) -> dict[str, Any]:
    """Return what was measured for a machine: bytes and seconds."""
    result: dict[str, Any] = {"room_bytes": int(found.room), "lost": found.lost}
    lines = found.lines
    if lines is None:
        return result | {"fits": False, "largest_batch": None}
    seconds, size = _step(found, lines, given)
    fits = found.fits(given.batch, given.accumulate)
    parts = None if fits else lines.parts(given.batch, given.accumulate, found.room)
    again = found.recomputing
    return result | {
        "trials": [
            {
                "clips": point.clips,
                "clip": _clip(given, point.share),
                "seconds": point.cost.seconds,
                "bytes": point.cost.peak_bytes,
            }
            for point in lines.points
        ],
        "memory": {"fixed_bytes": int(lines.memory.fixed), "clip_bytes": int(lines.memory.each)},
        "time": {"fixed_seconds": lines.time.fixed, "clip_seconds": lines.time.each},
        "batch": {"clips": given.batch, "seconds": seconds, "bytes": int(size), "measured": found.batch is not None},
        "fits": fits,
        "largest_batch": _largest(found, lines, given),
        "verified": found.verified and given.accumulate == 1,
        "whole_clips": lines.whole,
        "accumulate_that_fits": parts,
        "recompute": None if again is None else _recomputed(again, found, given),
        "steps": given.steps,
        "training_seconds": given.steps * seconds,
    }


def tables(found: Measured, given: TrainSettings, name: str) -> Iterator[Table]:
    """Make the tables of a measured training.

    Args:
        found: what was measured.
        given: the training.
        name: its section of the settings.
    """
    lines = found.lines
    if lines is None:
        return
    how = "from a straight line" if lines.whole else f"roughly, from clips of {_clip(given, lines.points[-1].share)}"
    title = f"A step of {name} here: {_clip(given)} clips, ResNet-{given.encoder.depth} of width {given.encoder.width}"
    yield Table(title, ("clips", "time", "memory", "how"), [*_rows(found, lines, given, how)], note=_note(found, lines))
    seconds, size = _step(found, lines, given)
    fits = "yes" if found.fits(given.batch, given.accumulate) else "no"
    row = (str(given.steps), str(given.batch), about(given.steps * seconds), size_text(size), size_text(found.room), fits)
    ways = [] if fits == "yes" else list(_ways(found, lines, given, name))
    note = "" if ways or fits == "yes" else "It would with smaller clips, a smaller network, or a smaller preset (elo presets)."
    yield Table(f"The whole of {name}", ("steps", "batch", "time", "memory", "of", "fits"), [row], note=note)
    if ways:
        yield Table("So it would fit", ("setting", "a step", "memory"), ways)


def next_command(found: Measured, given: TrainSettings, name: str) -> str:
    """Say the setting that lets the batch fit, where one does and is needed; empty otherwise."""
    if found.lines is None or found.fits(given.batch, given.accumulate):
        return ""
    ways = list(_ways(found, found.lines, given, name))
    return ways[0][0] if ways else ""


def _rows(found: Measured, lines: Lines, given: TrainSettings, how: str) -> Iterator[Row]:
    rows: dict[int, Row] = {}
    costs = {point.clips: point.cost for point in lines.points if lines.whole}
    for point in lines.points:
        if lines.whole:
            rows[point.clips] = _row(str(point.clips), point.cost.seconds, point.cost.peak_bytes, "measured")
        else:
            clips = f"{point.clips} of {_clip(given, point.share)}"
            yield _row(clips, point.cost.seconds, point.cost.peak_bytes, "measured")
    if not lines.whole:
        rows[1] = _row("1", lines.time.each, lines.memory.each, f"each, {how}")
    seconds, size = _step(found, lines, given)
    parts = f", in {given.accumulate} parts" if given.accumulate > 1 else ""
    words = f"the batch{parts}, {how if found.batch is None else 'measured'}"
    rows[given.batch] = _row(str(given.batch), seconds, size, words)
    largest = _largest(found, lines, given)
    if largest == given.batch:
        rows[largest] = _row(str(largest), seconds, size, f"{words}: the largest that fits")
    elif largest:
        tried = costs.get(largest) if given.accumulate == 1 else None
        if tried is not None:
            seconds, size = tried.seconds, tried.peak_bytes
        else:
            seconds, size = lines.seconds(largest, given.accumulate), lines.bytes(largest, given.accumulate)
        words = how if tried is None else "measured"
        if found.verified and tried is None and given.accumulate == 1:
            words = f"as {max(costs)} have shown"
        rows[largest] = _row(str(largest), seconds, size, f"the largest that fits, {words}")
    yield from (rows[clips] for clips in sorted(rows))


def _row(clips: str, seconds: float, size: float, how: str) -> Row:
    return clips, seconds_text(seconds), size_text(size), how


def seconds_text(seconds: float) -> str:
    """Say a time: short ones with their decimals."""
    return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s" if seconds < 120 else about(seconds)


def _note(found: Measured, lines: Lines) -> str:
    return (
        f"Memory: {size_text(lines.memory.fixed)}, and {size_text(lines.memory.each)} for each clip at a time."
        + ("" if found.largest else " Not even two clips fit.")
        + f"\n{size_text(found.room)} may be used: what is free, less {MARGIN:.0%}. Reading clips is not timed."
    )


def _ways(found: Measured, lines: Lines, given: TrainSettings, name: str) -> Iterator[Row]:
    """List settings under which the batch fits, the cheapest first."""
    variants = [("", lines), (f"{name}.recompute=true", found.recomputing)]
    for setting, variant in variants:
        if variant is None:
            continue
        parts = variant.parts(given.batch, given.accumulate, found.room)
        if parts is None:
            continue
        settings = [f"{name}.accumulate={parts}"] * (parts > given.accumulate) + [setting] * bool(setting)
        yield (
            " ".join(f"--set {each}" for each in settings),
            seconds_text(variant.seconds(given.batch, parts)),
            size_text(variant.bytes(given.batch, parts)),
        )
    whole = [f"{name}.accumulate=1"] * (given.accumulate > 1)
    for setting, variant in variants:
        most = 0 if variant is None else variant.largest(found.room) if setting else found.largest
        if variant is not None and most:
            yield (
                " ".join(f"--set {each}" for each in [f"{name}.batch={most}", *whole, *([setting] if setting else [])]),
                seconds_text(variant.seconds(most, 1)),
                size_text(variant.bytes(most, 1)),
            )


def _largest(found: Measured, lines: Lines, given: TrainSettings) -> int:
    """Return the largest batch that fits in as many parts as now: the one that was tried, where it goes through whole."""
    return found.largest if given.accumulate == 1 else lines.largest(found.room, given.accumulate)


def _step(found: Measured, lines: Lines, given: TrainSettings) -> tuple[float, float]:
    """Return seconds and bytes of a step with the batch of the settings."""
    if found.batch is not None:
        return found.batch.seconds, found.batch.peak_bytes
    return lines.seconds(given.batch, given.accumulate), lines.bytes(given.batch, given.accumulate)


def _recomputed(lines: Lines, found: Measured, given: TrainSettings) -> dict[str, Any]:
    return {
        "clip_bytes": int(lines.memory.each),
        "clip_seconds": lines.time.each,
        "bytes": int(lines.bytes(given.batch, given.accumulate)),
        "seconds": lines.seconds(given.batch, given.accumulate),
        "largest_batch": lines.largest(found.room, given.accumulate),
    }


def _clip(given: TrainSettings, share: float = 1.0) -> str:
    clip = shrunk(given.clip, share)
    return f"{clip.frames}×{clip.size}²"
