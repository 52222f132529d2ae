"""`elo export`: the encoder in a format that other programs read, checked against the original."""

from pathlib import Path
from typing import Any

from elo_cli.core.errors import UsageError
from elo_cli.core.settings import Settings
from elo_cli.engine.conversion import BATCHES, STEPS, TOLERANCE, convert, free_target
from elo_cli.engine.export import LoadedEncoder, card_path, encoder_at, save_encoder
from elo_cli.engine.foreign import load_any_encoder
from elo_cli.engine.formats import FORMATS
from elo_cli.engine.precision import Precision
from elo_cli.run.directory import RunDirectory
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.events import Outcome, Table, Watch, size_text


def plan(*, settings: Settings, encoder: Path | None, step: str | None, kind: str | None, out: Path | None) -> Outcome:
    """Say what `run` would write; refuses what `run` refuses, and writes nothing."""
    source = _source(settings, encoder, step, kind, out)
    target = source.path if kind is None else _target(source, kind, out)
    row = (str(source.path), kind or "elo", str(target))
    return Outcome(_told(source, kind, target), (Table("The export would write", ("encoder", "format", "into"), (row,)),))


def run(
    *, settings: Settings, encoder: Path | None, step: str | None, kind: str | None, out: Path | None, watch: Watch
) -> Outcome:
    """Take an encoder out of a checkpoint, or write one in another format, or both.

    Args:
        settings: they name the workspace and the threads.
        encoder: the file of an encoder, or the directory of its run; that of the newest pretraining if not given.
        step: of the checkpoint; None for the finished encoder.
        kind: a key of `FORMATS`; None for elo's own.
        out: the file of another format; beside the encoder if not given.
        watch: is told of the steps, and asked whether to stop.

    Raises:
        DataError: there is no encoder, or it is damaged.
        UsageError: neither a step nor a format is given, the format does not fit the encoder, or `out` is a file of somebody
            else's.
        MachineError: a package is missing.
        EloError: the file gives other features than the encoder; it is not kept.
    """
    source = _source(settings, encoder, step, kind, out)
    target = source.path if kind is None else _target(source, kind, out)
    if step is not None:
        save_encoder(source.path, source.network, source.card)
    if kind is None:
        steps = str(source.card["origin"]["steps"])
        row = (steps, str(source.path), source.card["sha256"][:16])
        files = {"encoder": str(source.path), "card": str(card_path(source.path))}
        told = _told(source, None, source.path)
        return Outcome(
            told,
            (Table("Taken out", ("steps", "file", "encoder"), (row,)),),
            files,
            f"elo extract-features --encoder {source.path}",
        )
    return _convert(settings, source, kind, target, watch)


def _convert(settings: Settings, source: LoadedEncoder, kind: str, target: Path, watch: Watch) -> Outcome:
    # Everywhere in the same way, so that a GPU's shorter numbers are never taken for a fault of the file.
    exact = {"device": "cpu", "precision": "float32", "layout": "contiguous"}
    Precision.choose(settings.machine.model_copy(update=exact)).place(source)
    stage = f"exporting to {kind}"
    watch.start(stage, STEPS, "step")

    def progress(done: int) -> None:
        watch.advance(stage, done)
        watch.check()

    agreement = convert(source, FORMATS[kind], target, progress)
    watch.finish(stage)
    beside = target.with_name(target.name + FORMATS[kind].beside)
    size = sum(path.stat().st_size for path in {target, beside} if path.exists())
    usage = FORMATS[kind].usage(target, source)
    checked = {"differences": dict(agreement.differences), "difference": agreement.largest, "tolerance": TOLERANCE}
    columns = ("format", "size", "largest difference", "allowed", "encoder")
    row = (kind, size_text(size), f"{agreement.largest:.1e}", f"{TOLERANCE:.0e}", source.card["sha256"][:16])
    note = (
        f"difference: of features of random clips, {' and '.join(map(str, BATCHES))} at a time, between the file read back and"
        " the encoder; as a share of the largest feature."
    )
    result = _told(source, kind, target) | {"bytes": size, **checked, "python": usage}
    return Outcome(result, (Table("Exported", columns, (row,), note),), {kind: str(target)}, python=usage)


def _source(settings: Settings, encoder: Path | None, step: str | None, kind: str | None, out: Path | None) -> LoadedEncoder:
    workspace = Workspace(Path(settings.workspace))
    if kind is None and out is not None:
        raise UsageError(
            "--out is for a file of another format; an encoder out of a checkpoint is put beside it.",
            hint="Leave --out away, or give --format.",
        )
    if kind is None and step is None:
        raise UsageError(
            "Nothing is asked for that is not there: the encoder is in elo's own format.",
            hint="Give --format torchvision, onnx or torch-export; or --step for an encoder out of a checkpoint.",
        )
    if step is None:
        return load_any_encoder(encoder or workspace.encoder())
    return encoder_at(RunDirectory(encoder or workspace.place("pretrain", fresh=False)), step)


def _target(source: LoadedEncoder, kind: str, out: Path | None) -> Path:
    FORMATS[kind].require(source)
    return free_target(out or source.path.with_name(source.path.stem + FORMATS[kind].default), FORMATS[kind])


def _told(source: LoadedEncoder, kind: str | None, target: Path) -> dict[str, Any]:
    return {"encoder": str(source.path), "sha256": source.card["sha256"], "format": kind or "elo", "out": str(target)}
