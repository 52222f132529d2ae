"""What is written down of a training: its log, its checkpoints, and what was seen of held-out videos."""

import math
import time
from collections.abc import Mapping
from typing import Any

from elo_cli.core.files import storage_errors
from elo_cli.core.settings import Settings
from elo_cli.engine.loop import StepRecord, Training
from elo_cli.engine.objective import Objective
from elo_cli.engine.snapshots import save
from elo_cli.figures.decoded import decoded_sheet
from elo_cli.figures.pictures import save_picture
from elo_cli.run.directory import RunDirectory
from elo_cli.run.journal import Journal
from elo_cli.workflows.monitoring import Look, Monitor
from elo_cli.workflows.scalars import Scalars

LOG_EVERY_S = 1.0  # the journal is synced to disk; more lines would slow small steps down
_MARK = "elo pretrain"


class Notes:
    """What rank 0 writes down.

    Args:
        training: that is noted, put back to where it goes on from.
        run: where.
        settings: when to save and when to look.
        card: what the RGB encoder is, but for the steps that it was trained.
        best: what was seen so far, as the checkpoint has it; None if nothing was.
        monitor: None where nothing is held out.
        scalars: where for TensorBoard.
    """

    def __init__(
        self,
        training: Training[Objective],
        run: RunDirectory,
        settings: Settings,
        card: Mapping[str, Any],
        best: dict[str, Any] | None,
        monitor: Monitor | None,
        scalars: Scalars,
    ) -> None:
        self._training, self._run, self._settings, self._card = training, run, settings, card
        self._monitor, self._scalars = monitor, scalars
        self._log, self._logged = Journal(run.log), 0.0
        self._best = best
        self._seen: dict[str, float] = {}

    def take(self, record: StepRecord) -> dict[str, float]:
        """Note a step, look at the held-out videos and save the state when it is time; return what was seen last."""
        done, given = record.step + 1, self._settings
        last = done == given.pretrain.steps
        if last or record.skipped or time.monotonic() - self._logged > LOG_EVERY_S:
            self._logged = time.monotonic()
            self._log.append(step_line(record))
            parts = {f"parts/{name}": value for name, value in record.parts.items()}
            self._scalars.add(done, {"loss": record.loss, "lr": record.lr, **parts})
        better = self._monitor is not None and (last or done % given.monitor.every == 0) and self._look(self._monitor, done)
        if last or better or done % given.pretrain.checkpoint_every == 0:
            self._scalars.flush()  # the next start writes what comes after the checkpoint
            self.save(record)
        return self._seen

    def save(self, record: StepRecord) -> None:
        """Save the state after this step."""
        card = {**self._card, "origin": {**self._card["origin"], "steps": self._training.done}}
        save(self._training, self._run.checkpoints, record, best=self._best, card=card)

    def _look(self, monitor: Monitor, done: int) -> bool:
        """Look, and say whether it is the best so far."""
        begun = time.monotonic()
        look = monitor.look()
        better = look.score > (-math.inf if self._best is None else self._best["score"])
        if better:
            self._best = {"step": done, "score": look.score, "zipf": look.values["zipf"]}
        divergence = look.values["zipf"]
        self._seen = {} if divergence is None else {"zipf": divergence}
        told = {"values": look.values, "clusters": monitor.clusters, "videos": len(monitor.videos), "better": better}
        self._log.append({"event": "look", "after": done, **told, "seconds": round(time.monotonic() - begun, 3)})
        self._scalars.add(done, {f"held-out/{name}": value for name, value in look.values.items()})
        self._picture(look, done)
        return better

    def _picture(self, look: Look, done: int) -> None:
        """Draw what decoders make: the newest as a file, all for TensorBoard."""
        if not look.blocks:
            return
        line = f"after {done} of {self._settings.pretrain.steps} steps; above: what it should be, below: what is decoded"
        sheet = decoded_sheet(list(look.blocks.values()), "Held-out clips", line)
        with storage_errors(self._run.pictures):
            self._run.pictures.mkdir(exist_ok=True)
        save_picture(sheet, self._run.pictures / "decoded.png", _MARK)
        for name, block in look.blocks.items():
            self._scalars.add_picture(done, f"decoded/{name}", block)


def step_line(record: StepRecord) -> dict[str, Any]:
    """Say what a step did, as a line of the log."""
    return {
        "step": record.step + 1,
        "loss": record.loss,
        "lr": record.lr,
        "seconds": round(record.seconds, 4),
        "waiting": round(record.waiting, 4),
        "parts": record.parts,
        **({"skipped": record.skipped, "clips": record.clips} if record.skipped else {}),
    }
