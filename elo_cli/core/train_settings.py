"""The settings of one training: its clips, its networks, its steps; part of `elo_cli.core.settings`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from elo_cli.core.section import Section


class AugmentSettings(Section):
    """How the look of training clips is changed; the paper is silent, so nothing is unless asked for."""

    brightness: float = Field(0.0, ge=0, le=4, description="the factor is drawn from 1 ± this; likewise contrast and saturation")
    contrast: float = Field(0.0, ge=0, le=4, description="strength of random contrast")
    saturation: float = Field(0.0, ge=0, le=4, description="strength of random saturation")
    hue: float = Field(0.0, ge=0, le=0.5, description="largest turn of the colour wheel, in turns")
    jitter: float = Field(0.8, ge=0, le=1, description="probability of these four")
    grey: float = Field(0.0, ge=0, le=1, description="probability of losing all colour")
    blur: float = Field(0.0, ge=0, le=1, description="probability of a Gaussian blur")
    blur_sigma: tuple[float, float] = Field(
        (0.1, 2.0), strict=False, description="its least and largest deviation, in pixels of a clip of 224 rows"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "AugmentSettings":
        if not 0 <= self.blur_sigma[0] <= self.blur_sigma[1] <= 50:  # the kernel must fit into the clip
            raise ValueError("blur_sigma must be two numbers with 0 <= smaller <= larger <= 50")
        return self


class MotionSettings(Section):
    """The frames that the motion pathway sees; it sees the edges of their flow."""

    frames: Annotated[int, Field(ge=2, le=256)] | None = Field(
        None, description="frames of flow (MoDist: 16); null: as many as the clip has"
    )
    stride: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="stored frames from one to the next (MoDist: 4); null: as the clip"
    )


class ClipSettings(Section):
    """What training draws from a segment."""

    frames: int = Field(16, ge=2, le=256, description="frames of a clip (T)")
    stride: int = Field(1, ge=1, le=64, description="stored frames from one clip frame to the next")
    size: int = Field(112, ge=16, le=512, description="rows and columns of a clip after cropping")
    frame: Literal["crop", "whole"] = Field(
        "crop", description="crop: a part of the frame; whole: all of it, squeezed into the square, whatever the crops say"
    )
    future: int = Field(4, ge=1, le=64, description="frames that the predict task foretells (N; the paper: 4)")
    crop_area: tuple[float, float] = Field(
        (0.5, 1.0), strict=False, description="area of a random crop, as a share of the frame's largest square"
    )
    crop_aspect: tuple[float, float] = Field(
        (1.0, 1.0), strict=False, description="least and largest width of a crop for each unit of its height"
    )
    flip: float = Field(0.5, ge=0, le=1, description="probability of mirroring a clip left to right")
    motion: MotionSettings = MotionSettings()  # type: ignore[call-arg]
    pair_seconds: tuple[float, float] = Field(
        (0.5, 10.0), strict=False, description="seconds between the beginnings of the two clips that contrast pairs"
    )
    augment: AugmentSettings = AugmentSettings()  # type: ignore[call-arg]

    @model_validator(mode="after")
    def _ordered(self) -> "ClipSettings":
        if not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise ValueError("crop_area must be two numbers with 0 < smaller <= larger <= 1")
        if not 0.1 <= self.crop_aspect[0] <= self.crop_aspect[1] <= 10:
            raise ValueError("crop_aspect must be two numbers with 0.1 <= smaller <= larger <= 10")
        if not 0 <= self.pair_seconds[0] <= self.pair_seconds[1] <= 86_400:
            raise ValueError("pair_seconds must be two numbers with 0 <= smaller <= larger <= 86400")
        return self

    @property
    def span(self) -> int:
        """Stored frames from the first to the last frame of a clip, both counted."""
        return (self.frames - 1) * self.stride + 1

    @property
    def reach(self) -> int:
        """Stored frames that a clip needs with what the motion pathway sees of it."""
        frames, stride = self.timing("motion", "clip")
        return max(self.span, (frames - 1) * stride + 1)

    @property
    def extent(self) -> int:
        """Stored frames from the beginning of a clip to where its next frame would come, in every modality."""
        frames, stride = self.timing("motion", "clip")
        return max(self.frames * self.stride, frames * stride)

    def timing(self, modality: str, window: str) -> tuple[int, int]:
        """Return how many frames of a modality a window has, and how many stored frames lie from one to the next."""
        if modality == "motion":
            return self.motion.frames or self.frames, self.motion.stride or self.stride
        return self.future if window == "future" else self.frames, self.stride


class EncoderSettings(Section):
    """The networks; the same depth and width for every modality."""

    architecture: str = Field("r2plus1d", description="encoder of rgb, grey and flow (a file of elo_cli/encoders)")
    audio_architecture: str = Field("audio_resnet", description="encoder of the log-mel spectrogram")
    depth: Literal[10, 18, 34, 50] = Field(18, description="layers of the ResNet (the paper: 18 for proxies, 50 at the end)")
    width: int = Field(64, ge=4, le=256, description="channels of the first stage (64 is the full network)")


class StepSettings(Section):
    """How the steps of a training are taken."""

    batch: int = Field(32, ge=2, le=65_536, description="clips of one step, of all processes together")
    accumulate: int = Field(
        1, ge=1, description="parts of a process's clips that go through the networks one after the other; saves memory"
    )
    recompute: bool = Field(
        False, description="keep only what goes from block to block, and compute the rest again for the gradient; saves memory"
    )
    sync_batch_norm: bool = Field(
        True, description="batch norm over the clips of all processes: as many processes as there are, it is the same training"
    )
    optimizer: Literal["sgd", "adamw", "lars"] = Field("sgd", description="what takes the steps (the paper is silent)")
    lr: float = Field(0.1, gt=0, description="peak learning rate (the paper: 0.1)")
    lr_scaling: Literal["none", "linear", "sqrt"] = Field(
        "none", description="multiply lr by batch / lr_batch (Goyal et al. 2017), or by its root; none: lr as it is"
    )
    lr_batch: int = Field(256, ge=1, description="the batch that lr is meant for, under lr_scaling")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD and LARS; the first beta of AdamW")
    trust: float = Field(0.001, gt=0, description="η of LARS: a layer's step for a step of the weights' own size")
    weight_decay: float = Field(1e-4, ge=0, description="weight decay")
    warmup: float = Field(0.05, ge=0, le=1, description="share of the steps over which the learning rate rises")
    clip_norm: float = Field(1.0, ge=0, description="largest norm of the gradient; 0: no bound (the paper is silent)")
    max_skipped: int = Field(10, ge=0, description="steps with a term or gradient that is not finite; more stop the run")
    checkpoint_every: int = Field(500, ge=1, description="steps from one checkpoint to the next")
    keep: int = Field(2, ge=1, description="checkpoints that are kept, the newest; the best by monitor besides")


class TrainSettings(StepSettings):
    """One training run: a proxy of the search, or the final one."""

    clip: ClipSettings = ClipSettings()  # type: ignore[call-arg]
    encoder: EncoderSettings = EncoderSettings()  # type: ignore[call-arg]
    steps: int = Field(10_000, ge=1, description="optimiser steps (the paper: 10,000 for a proxy)")
