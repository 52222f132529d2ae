"""`elo pretrain`: train all networks with one loss, keep the RGB encoder; in one process or in many."""

import time
from pathlib import Path
from typing import Any

from elo_cli import __version__, dist
from elo_cli.core.errors import Stopped, TrainingError
from elo_cli.core.files import write_atomic, write_json
from elo_cli.core.settings import Settings
from elo_cli.core.strict_yaml import dump_yaml
from elo_cli.core.weights import LossWeights, Term
from elo_cli.engine.export import save_encoder
from elo_cli.engine.loop import StepRecord, Training
from elo_cli.engine.precision import Precision
from elo_cli.engine.setup import loader_workers, make_training
from elo_cli.engine.snapshots import resume, save
from elo_cli.run.checkpoint import load_newest
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.run.workspace import Workspace
from elo_cli.workflows.candidate import step_seconds
from elo_cli.workflows.events import Outcome, Table, Watch
from elo_cli.workflows.material import (
    Material,
    about,
    dataset_root,
    open_material,
    read_loss,
    served_terms,
    spending,
)
from elo_cli.workflows.ranks import check, open_directory
from elo_cli.workflows.scalars import Scalars, open_scalars

FREE = frozenset({"machine.loader_workers", "machine.threads", "pretrain.checkpoint_every", "pretrain.max_skipped"})
_LOG_EVERY_S = 1.0  # the journal is synced to disk; more lines would slow small steps down


def plan(*, settings: Settings, data: Path | None, loss: str | None, out: Path | None, fresh: bool) -> Outcome:
    """Say what `run` would do; writes nothing."""
    material = open_material(dataset_root(settings, data))
    terms, _ = served_terms(settings.objective, material.videos)
    weights = choose_loss(settings, loss, terms)
    given, place = settings.pretrain, out or Workspace(Path(settings.workspace)).place("pretrain", fresh=fresh)
    videos = len(material.videos.videos)
    epochs = given.steps * given.batch / videos
    each = step_seconds(weights, given, settings, material)
    seconds = None if each is None else each * given.steps
    result = {
        "videos": videos,
        "steps": given.steps,
        "epochs": round(epochs, 2),
        "terms": [str(term) for term in weights.active()],
        "estimated_seconds": seconds,
        "precision": Precision.choose(settings.machine).describe(),
        "out": str(place),
    }
    clip = f"{given.clip.frames}×{given.clip.size}²"
    columns = ("videos", "steps", "batch", "epochs", "clip", "terms", "time here", "into")
    row = (
        str(videos),
        str(given.steps),
        str(given.batch),
        f"{epochs:.1f}",
        clip,
        str(len(weights.active())),
        about(seconds),
        str(place),
    )
    return Outcome(result, (Table("Pretraining would do", columns, (row,)),))


def run(*, settings: Settings, data: Path | None, loss: str | None, out: Path | None, fresh: bool, watch: Watch) -> Outcome:
    """Pretrain, or go on from the newest checkpoint.

    Args:
        loss: a loss file, `uniform`, or None for the best loss of the newest search.

    Raises:
        DataError: there is no preprocessed set or no loss.
        UsageError: the loss file is wrong, or the run was begun with other settings.
        TrainingError: too often something was no finite number; the state is saved.
    """
    material = open_material(dataset_root(settings, data))
    precision = Precision.choose(settings.machine)
    terms, lacking = served_terms(settings.objective, material.videos)
    if lacking:
        watch.note(f"The preprocessed set has no {' and no '.join(lacking)}: the terms that read it are left out.")
    weights = choose_loss(settings, loss, terms)
    dump = settings.model_dump(mode="json")
    stored = {key: dump[key] for key in ("seed", "objective", "pretrain", "machine")}
    stored |= {"loss": weights.to_names(), "data": material.fingerprint, "computed": precision.describe()}
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
        )
        opened = open_directory(place, stored, precision, fresh=fresh, free=FREE)
        with spending() as spent, opened as directory:
            last = _pretrain(training, settings, weights, directory, watch)
            if dist.rank():
                return Outcome({})
            result = _export(training, settings, material, weights, directory, last)
    figures = (str(settings.pretrain.steps), f"{result['loss']:.4f}", str(len(weights.active())), result["sha256"][:16])
    tables = (Table("Pretrained", ("steps", "last loss", "terms", "encoder"), (figures,)), spent.table())
    files = {"encoder": str(directory.encoder), "card": str(directory.encoder_card)}
    return Outcome({**result, **spent.record(), "out": str(directory.root)}, tables, files, "elo extract-features")


def _pretrain(
    training: Training, settings: Settings, weights: LossWeights, directory: RunDirectory, watch: Watch
) -> StepRecord | None:
    """Go on with the training to its end; return its last step, if it was not there before."""
    for change in directory.environment_changes:
        watch.warn(f"The environment changed since this run began: {change}")
    if dist.world() > 1:
        each = settings.pretrain.batch // dist.world()
        watch.note(f"{dist.world()} processes train together, {each} clips of each batch of {settings.pretrain.batch} in each.")
    if dist.rank() == 0:
        write_atomic(directory.loss, dump_yaml(weights.to_names()).encode())
    _resume(training, directory, watch)
    if dist.rank():
        return _train(training, settings, None, watch)
    with open_scalars(directory.tensorboard, watch, first=training.done + 1) as scalars:
        return _train(training, settings, _Notes(training, directory, scalars), watch)


def choose_loss(settings: Settings, loss: str | None, terms: tuple[Term, ...]) -> LossWeights:
    """Read the loss to train with."""
    if loss == "uniform":
        return LossWeights.uniform(terms)
    path = Path(loss) if loss is not None else Workspace(Path(settings.workspace)).best_loss()
    return read_loss(path, terms)


def _resume(training: Training, run: RunDirectory, watch: Watch) -> None:
    checkpoint = resume(training, run.checkpoints)
    if checkpoint is None:
        return
    for damaged in checkpoint.skipped:
        watch.warn(f"A damaged checkpoint is passed over: {damaged}")
    watch.note(f"Going on from step {checkpoint.step} of {training.settings.steps} in {run.root}.")


class _Notes:
    """What rank 0 writes down of a training.

    Args:
        training: that is noted.
        run: where.
        scalars: where for TensorBoard.
    """

    def __init__(self, training: Training, run: RunDirectory, scalars: Scalars) -> None:
        self._training, self._run, self._scalars = training, run, scalars
        self._log, self._logged = Journal(run.log), 0.0

    def take(self, record: StepRecord, *, last: bool, every: int) -> None:
        """Note a step, and save the state after each `every` of them and after the last."""
        if last or record.skipped or time.monotonic() - self._logged > _LOG_EVERY_S:
            self._logged = time.monotonic()
            self._log.append(_line(record))
            parts = {f"parts/{name}": value for name, value in record.parts.items()}
            self._scalars.add(record.step + 1, {"loss": record.loss, "lr": record.lr, **parts})
        if last or (record.step + 1) % every == 0:
            self._scalars.flush()  # the next start writes what comes after the checkpoint
            self.save(record)

    def save(self, record: StepRecord) -> None:
        """Save the state after this step."""
        save(self._training, self._run.checkpoints, record)


def _train(training: Training, settings: Settings, notes: _Notes | None, watch: Watch) -> StepRecord | None:
    total, every = settings.pretrain.steps, settings.pretrain.checkpoint_every
    record: StepRecord | None = None
    watch.start("pretraining", total, "step")
    try:
        for record in training.run(loader_workers(settings.machine, training.precision)):
            watch.advance("pretraining", record.step + 1, {"loss": record.loss})
            if notes is not None:
                notes.take(record, last=record.step + 1 == total, every=every)
            if record.skipped:
                watch.warn(
                    f"Step {record.step + 1} went without {', '.join(record.skipped)}: no finite number, on clips of"
                    f" {', '.join(record.clips)}."
                )
            check(watch, training.precision)
    except (Stopped, TrainingError):
        if record is not None and notes is not None:
            notes.save(record)
        raise
    watch.finish("pretraining")
    return record


def _line(record: StepRecord) -> dict[str, Any]:
    return {
        "step": record.step + 1,
        "loss": record.loss,
        "lr": record.lr,
        "seconds": round(record.seconds, 4),
        "waiting": round(record.waiting, 4),
        "parts": record.parts,
        **({"skipped": record.skipped, "clips": record.clips} if record.skipped else {}),
    }


def _export(
    training: Training, settings: Settings, material: Material, weights: LossWeights, run: RunDirectory, last: StepRecord | None
) -> dict[str, Any]:
    origin = {
        "elo": __version__,
        "method": "elo",
        "loss": weights.to_names(),
        "steps": settings.pretrain.steps,
        "seed": settings.seed,
        "data": material.fingerprint,
        "videos": len(material.videos.videos),
        "short_side": material.preprocess.short_side,
    }
    digest = save_encoder(
        run.encoder,
        training.objective.encoders["rgb"],
        settings.pretrain.encoder,
        settings.pretrain.clip,
        material.videos.rates.fps,
        origin,
    )
    if last is None:  # the last checkpoint was already the end
        checkpoint = load_newest(run.checkpoints)
        assert checkpoint is not None
        loss, parts = checkpoint.state["loss"], checkpoint.state["parts"]
    else:
        loss, parts = last.loss, last.parts
    result = {"steps": settings.pretrain.steps, "loss": loss, "parts": parts, "sha256": digest}
    write_json(run.result, result)
    return result
