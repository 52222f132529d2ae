"""Trials of a step, each in a process of its own, under a person's eyes."""

import time
from dataclasses import replace
from typing import Any

from elo_cli.core.settings import Settings
from elo_cli.core.train_settings import TrainSettings
from elo_cli.core.weights import LossWeights
from elo_cli.data.video_set import StoredRates
from elo_cli.engine.trial import Trial, TrialCost, try_step
from elo_cli.executors import Limits, Lost, make_executor
from elo_cli.workflows.events import Watch

VIDEOS = 1000  # what the banks of pseudo-labels are sized for
_TRIAL_SECONDS = 4.0  # steps are repeated for so long
_STEP_SECONDS = 300.0  # one that takes longer is given up
_PATIENCE_SECONDS = 90.0


class Trials:
    """Trials of one training.

    Args:
        settings: all of them.
        train: the training; `pretrain` or `proxy`.
        weights: the loss.
        memory_bytes: what a trial may allocate; None for no bound, as on a GPU.
        watch: is told what is tried.
    """

    def __init__(
        self, settings: Settings, train: TrainSettings, weights: LossWeights, memory_bytes: int | None, watch: Watch
    ) -> None:
        stored = settings.preprocess
        rates = StoredRates(stored.fps, stored.hop_seconds, stored.mels)
        named = {str(term): weights[term] for term in weights.active()}
        self.train, self._watch, self._begun = train, watch, time.monotonic()
        self._limits = Limits(_STEP_SECONDS, memory_bytes)
        self._trial = Trial(named, train, settings.objective, settings.machine, rates, VIDEOS, _TRIAL_SECONDS)

    @property
    def on_gpu(self) -> bool:
        """Whether the memory in question is not that of processes."""
        return self._limits.memory_bytes is None

    @property
    def tired(self) -> bool:
        """Whether so much time has gone that what could be left out should be."""
        return time.monotonic() - self._begun > _PATIENCE_SECONDS

    def attempt(self, train: TrainSettings) -> TrialCost | Lost[Any]:
        """Make a few steps.

        Raises:
            EloError: the settings are impossible, or someone asked to stop.
        """
        stage = f"a step of {train.batch} clips of {train.clip.frames}×{train.clip.size}²"
        pool = make_executor("local", try_step, 1, self._limits)
        self._watch.start(stage, None, "step")

        def tick() -> None:
            self._watch.check()
            for _, item, _ in pool.at_work():
                if item is not None and item.startswith("step "):
                    self._watch.advance(stage, int(item.removeprefix("step ")))

        (outcome,) = pool.results(tick, [replace(self._trial, train=train)])
        self._watch.finish(stage)
        return outcome
