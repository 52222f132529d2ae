"""The settings of benchmarks: what is looked at, and how it is scored; part of `elo_cli.core.settings`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from elo_cli.core.section import Names, Section
from elo_cli.core.train_settings import AugmentSettings, StepSettings

Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1)]


class KMeansSettings(Section):
    """The protocol kmeans: clusters of the training side classify the test side."""

    clusters: int | None = Field(None, ge=1, description="k; null: as many as training has classes (the paper is silent)")
    runs: int = Field(10, ge=1, description="runs of k-means that are averaged")


class LinearSettings(Section):
    """The protocol linear: one layer on fixed features."""

    grid: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False, min_length=1)] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0), description="inverse strengths of the penalty to choose from, on the training side"
    )
    folds: int = Field(3, ge=2, description="parts of the training side that the choice is made by")


class NeighbourSettings(Section):
    """The protocol knn: the nearest training videos vote."""

    grid: Counts = Field((1, 5, 10, 20, 50, 200), description="numbers of neighbours to choose from, on the training side")
    temperature: float = Field(0.07, gt=0, description="a vote weighs exp(cosine / temperature) (Wu et al. 2018)")
    folds: int = Field(3, ge=2, description="parts of the training side that the choice is made by")


class FewShotSettings(Section):
    """The protocol fewshot: small tasks, each of a few classes with a few training videos."""

    ways: int = Field(5, ge=2, description="classes of an episode")
    shots: Counts = Field((1, 5), description="labelled videos of each class; each number is a score of its own")
    queries: int = Field(15, ge=1, description="videos of each class to be classified, at most")
    episodes: int = Field(600, ge=2, description="episodes that are averaged")


class LowLabelSettings(Section):
    """The protocol low-label: accuracy against the number of labelled training videos (Table 3, Figure 5)."""

    counts: Counts | None = Field(
        None, description="labelled videos, from as many as classes to all; null: halves of the training side"
    )
    seeds: int = Field(3, ge=1, description="draws of the subsets that are averaged; those of one draw are nested")
    by: Literal["linear", "finetune"] = Field(
        "linear",
        description="what learns: a layer on fixed features, or (the paper) the whole network, by benchmark.finetune",
    )


class FinetuneSettings(StepSettings):
    """The protocol finetune: the whole network is trained on the labels."""

    epochs: float = Field(30.0, gt=0, description="times that each training video is seen (the paper is silent)")
    batch: int = Field(32, ge=2, le=65_536, description="clips of one step, of all processes together")
    optimizer: Literal["sgd", "adamw", "lars"] = Field("sgd", description="what takes the steps")
    lr: float = Field(0.01, gt=0, description="peak learning rate; not used where there are rates")
    rates: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False)] = Field(
        (), description="learning rates to choose from, on a fifth of the training side, before the training"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="share of the features that a training step does not see")
    crop_area: tuple[float, float] = Field(
        (0.4, 1.0), strict=False, description="area of a random crop, as a share of the frame's largest square"
    )
    flip: float | None = Field(
        None, ge=0, le=1, description="probability of mirroring; null: 0.5, and 0 on a set whose classes tell left from right"
    )
    augment: AugmentSettings = AugmentSettings()  # type: ignore[call-arg]
    segment_seconds: float = Field(4.0, gt=0, le=60, description="length of a stored stretch that clips are drawn from")
    max_segments: int = Field(3, ge=1, le=1000, description="stretches of one video at most, evenly spread")


class DetectionSettings(StepSettings):
    """The protocol detection, of ava: actions of persons in given boxes."""

    epochs: float = Field(10.0, gt=0, description="times that each labelled keyframe is seen")
    batch: int = Field(16, ge=2, le=65_536, description="keyframes of one step, of all processes together")
    lr: float = Field(0.1, gt=0, description="peak learning rate")
    frozen: bool = Field(False, description="train the head alone, on the encoder as it is")
    dropout: float = Field(0.5, ge=0, lt=1, description="share of the features that a training step does not see")
    score_threshold: float = Field(
        0.8, ge=0, le=1, description="a detected person counts if the detector was so sure of it (SlowFast: 0.8)"
    )
    most: int | None = Field(50, ge=1, description="detections of a keyframe that count (the official evaluation: 50); null: all")


class BenchmarkSettings(Section):
    """How a representation is scored."""

    protocols: Names = Field(("kmeans", "linear"), min_length=1, description="files of elo_cli/protocols")
    clips: int = Field(3, ge=1, le=100, description="clips of a video, evenly spread over it")
    crops: Literal[1, 3] = Field(1, description="crops of a clip: the middle, or three along the longer side")
    average: Literal["softmax", "features"] = Field(
        "softmax", description="what of a video's clips and crops is averaged: what a classifier says of each, or their features"
    )
    rows: Names = Field(
        (), description="rows of the paper's tables to train, where they are not yet, and to score: see elo benchmark --help"
    )
    random_losses: int = Field(10, ge=1, le=1000, description="losses drawn at random for the row random (the paper: 10)")
    baselines: bool = Field(True, description="rows for an untrained encoder and for trivial features beside the result")
    allow_incomplete: bool = Field(False, description="go on where videos of the official lists are missing; it is said")
    splits: Names = Field((), description="official splits to score, by name; none: all of them")
    split_by: Literal["auto", "listed", "seeded"] = Field("auto", description="folder: auto: the list's own split if it has one")
    folds: int = Field(3, ge=2, le=20, description="folder: seeded splits where there are no listed ones")
    kmeans: KMeansSettings = KMeansSettings()  # type: ignore[call-arg]
    linear: LinearSettings = LinearSettings()  # type: ignore[call-arg]
    knn: NeighbourSettings = NeighbourSettings()  # type: ignore[call-arg]
    fewshot: FewShotSettings = FewShotSettings()  # type: ignore[call-arg]
    low_label: LowLabelSettings = LowLabelSettings()  # type: ignore[call-arg]
    finetune: FinetuneSettings = FinetuneSettings()  # type: ignore[call-arg]
    detection: DetectionSettings = DetectionSettings()  # type: ignore[call-arg]

    @model_validator(mode="after")
    def _once(self) -> "BenchmarkSettings":
        if len(set(self.protocols)) < len(self.protocols):
            raise ValueError("protocols names one of them twice")
        return self
