"""`elo pretrain`: train all networks with one loss, keep the RGB encoder; in one process or in many."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from elo_cli import __version__, dist
from elo_cli.core.files import write_atomic, write_json
from elo_cli.core.settings import Settings
from elo_cli.core.strict_yaml import dump_yaml
from elo_cli.core.weights import LossWeights
from elo_cli.data.sampling import drawable
from elo_cli.engine.export import make_card, save_encoder
from elo_cli.engine.loop import Training
from elo_cli.engine.objective import Objective
from elo_cli.engine.optim import peak_rate
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import make_training
from elo_cli.engine.snapshots import resume
from elo_cli.run.checkpoint import has_step, load_newest
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.candidate import step_seconds
from elo_cli.workflows.contrast_checks import check_pairs, starved
from elo_cli.workflows.events import Outcome, Table, Watch
from elo_cli.workflows.loss_choice import ChosenLoss, choose_loss, offered
from elo_cli.workflows.material import (
    Material,
    about,
    dataset_root,
    open_material,
    served_terms,
    spending,
)
from elo_cli.workflows.monitoring import FEWEST, JUDGING, Monitor, held_out
from elo_cli.workflows.ranks import open_directory
from elo_cli.workflows.scalars import open_scalars
from elo_cli.workflows.stepping import step_through
from elo_cli.workflows.training_notes import Notes

FREE = frozenset(
    {"machine.loader_workers", "machine.threads", "monitor.every", "monitor.pictures"}
    | {f"pretrain.{name}" for name in ("checkpoint_every", "keep", "max_skipped", "recompute")}
)


_STAGE = "pretraining"


def plan(*, settings: Settings, data: Path | None, loss: str | None, out: Path | None, fresh: bool) -> Outcome:
    """Say what `run` would do; writes nothing."""
    material = open_material(dataset_root(settings, data))
    terms, _ = served_terms(offered(settings, loss), material.videos)
    weights = choose_loss(settings, loss, terms).weights
    few = check_pairs(material, settings.pretrain.clip, weights.active())
    given, place = settings.pretrain, out or Workspace(Path(settings.workspace)).place("pretrain", fresh=fresh)
    numbers = held_out(settings, material.videos)
    videos = len(drawable(material.videos, given.clip, numbers.tolist()))
    epochs = given.steps * given.batch / videos
    each = step_seconds(weights, given, settings, material)
    seconds = None if each is None else each * given.steps
    result = {
        "videos": videos,
        "held_out": len(numbers),
        "steps": given.steps,
        "batch": given.batch,
        "epochs": round(epochs, 2),
        "lr": peak_rate(given),
        "terms": [str(term) for term in weights.active()],
        "estimated_seconds": seconds,
        "precision": Precision.choose(settings.machine).describe(),
        "pairs": few,
        "out": str(place),
    }
    clip = f"{given.clip.frames}×{given.clip.size}²"
    columns = ("videos", "held out", "steps", "batch", "epochs", "lr", "clip", "terms", "time here", "into")
    row = (
        str(videos),
        str(len(numbers)),
        str(given.steps),
        str(given.batch),
        f"{epochs:.1f}",
        f"{peak_rate(given):g}",
        clip,
        str(len(weights.active())),
        about(seconds),
        str(place),
    )
    told = [few, *starved(weights.active(), given, settings.objective.contrast)]
    return Outcome(result, (Table("Pretraining would do", columns, (row,), note="\n".join(filter(None, told))),))


def run(*, settings: Settings, data: Path | None, loss: str | None, out: Path | None, fresh: bool, watch: Watch) -> Outcome:
    """Pretrain, or go on from the newest checkpoint.

    Args:
        loss: as `choose_loss` takes it; None for that of the method, which for `elo` is the best loss of the newest search.

    Raises:
        DataError: there is no preprocessed set or no loss.
        UsageError: the loss file is wrong, or the run was begun with other settings.
        TrainingError: too often something was no finite number; the state is saved.
    """
    material = open_material(dataset_root(settings, data))
    precision = Precision.choose(settings.machine)
    terms, lacking = served_terms(offered(settings, loss), material.videos)
    if lacking:
        watch.note(f"The preprocessed set has no {' and no '.join(lacking)}: the terms that read it are left out.")
    chosen = choose_loss(settings, loss, terms)
    weights = chosen.weights
    if few := check_pairs(material, settings.pretrain.clip, weights.active()):
        watch.note(few)
    dump = settings.model_dump(mode="json")
    numbers = held_out(settings, material.videos)
    stored = {key: dump[key] for key in ("seed", "method", "objective", "pretrain", "monitor", "machine")}
    stored |= {"loss": weights.to_names(), "data": material.fingerprint, "computed": precision.describe()}
    stored |= {"held_out": len(numbers)}
    if len(numbers):  # what the looks, and so the best of them, depend on
        stored |= {"fitness": {name: dump["fitness"][name] for name in JUDGING}}
    place = out or Workspace(Path(settings.workspace)).place("pretrain", fresh=fresh)
    with dist.joined(precision.device):
        # Before the directory is made: what cannot begin shall not bind the next attempt to its settings.
        training = make_training(
            weights,
            settings.pretrain,
            settings.objective,
            material.videos,
            seed=settings.seed,
            precision=precision,
            without=numbers.tolist(),
        )
        opened = open_directory(place, stored, precision, fresh=fresh, free=FREE)
        with spending() as spent, opened as directory:
            best = _begin(training, settings, weights, directory, watch)
            monitor = _monitor(training, settings, material, numbers, watch)
            if dist.rank():
                step_through(training, settings, _STAGE, watch, note=lambda record: {}, save=lambda record: None)
                return Outcome({})
            card = _card(training, settings, material, chosen)
            with open_scalars(directory.tensorboard, watch, first=training.done + 1) as scalars:
                notes = Notes(training, directory, settings, card, best, monitor, scalars)
                step_through(training, settings, _STAGE, watch, note=notes.take, save=notes.save)
            result = _export(training, card, directory)
    figures = (str(settings.pretrain.steps), f"{result['loss']:.4f}", str(len(weights.active())), result["sha256"][:16])
    tables = (Table("Pretrained", ("steps", "last loss", "terms", "encoder"), (figures,)), spent.table())
    files = {"encoder": str(directory.encoder), "card": str(directory.encoder_card)}
    return Outcome({**result, **spent.record(), "out": str(directory.root)}, tables, files, "elo extract-features")


def _begin(
    training: Training[Objective], settings: Settings, weights: LossWeights, directory: RunDirectory, watch: Watch
) -> dict[str, Any] | None:
    """Say what begins or goes on, put the training back to its newest checkpoint, and return the best look so far."""
    for said in starved(weights.active(), settings.pretrain, settings.objective.contrast):
        watch.note(said)
    for change in directory.environment_changes:
        watch.warn(f"The environment changed since this run began: {change}")
    given, extent = settings.pretrain, training.extent()
    parts = (
        f" (processes × parts × clips: {dist.world()} × {given.accumulate} × {given.batch // dist.world() // given.accumulate})"
    )
    watch.note(
        f"A step has {given.batch} clips{parts if dist.world() * given.accumulate > 1 else ''}; {given.steps} steps are"
        f" {extent['epochs']:g} epochs of {extent['videos']} videos; the learning rate rises to {extent['lr']:g}."
    )
    if dist.rank() == 0:
        write_atomic(directory.loss, dump_yaml(weights.to_names()).encode())
        Journal(directory.log).append({"event": "extent", "time": time.time(), "processes": dist.world(), **extent})
    checkpoint = resume(training, directory.checkpoints)
    if checkpoint is None:
        return None
    for damaged in checkpoint.skipped:
        watch.warn(f"A damaged checkpoint is passed over: {damaged}")
    watch.note(f"Going on from step {checkpoint.step} of {given.steps} in {directory.root}.")
    best: dict[str, Any] | None = checkpoint.state["best"]
    # Damage may have taken a later best, for which this one was given up.
    return best if best is not None and has_step(directory.checkpoints, best["step"]) else None


def _monitor(
    training: Training[Objective], settings: Settings, material: Material, numbers: np.ndarray, watch: Watch
) -> Monitor | None:
    """Return what rank 0 looks at while it trains; None where nothing is held out."""
    if settings.monitor.held_out and not len(numbers):
        watch.note(
            f"monitor.held_out would hold out fewer than {FEWEST} videos, which say nothing: all are trained on, and there is no"
            " curve of the fitness."
        )
    if dist.rank() or not len(numbers):
        return None
    monitor = Monitor(training, settings, material.videos, numbers)
    watch.note(
        f"{len(numbers)} videos are held out; every {settings.monitor.every} steps their features are judged,"
        f" in {monitor.clusters} clusters (monitor)."
    )
    return monitor


def _card(training: Training[Objective], settings: Settings, material: Material, chosen: ChosenLoss) -> dict[str, Any]:
    """Say what the RGB encoder is at the end of the training."""
    given, extent = settings.pretrain, training.extent()
    origin = {
        "elo": __version__,
        "method": "elo",
        "loss": chosen.weights.to_names(),
        **chosen.origin,
        "steps": given.steps,
        **{name: extent[name] for name in ("batch", "epochs", "lr")},
        "seed": settings.seed,
        "data": material.fingerprint,
        "videos": len(material.videos.videos),
        "short_side": material.preprocess.short_side,
    }
    return make_card(given.encoder, given.clip, material.videos.rates.fps, origin)


def _export(training: Training[Objective], card: dict[str, Any], run: RunDirectory) -> dict[str, Any]:
    digest = save_encoder(run.encoder, training.objective.encoders["rgb"], card)
    checkpoint = load_newest(run.checkpoints)
    assert checkpoint is not None
    state = {name: checkpoint.state[name] for name in ("loss", "parts", "best")}
    result = {"steps": training.settings.steps, **training.extent(), **state, "sha256": digest}
    write_json(run.result, result)
    return result
