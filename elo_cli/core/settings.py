"""Every setting of elo, typed, bounded and explained; one frozen object holds them all.

The sections are handed down to the code that they govern. `elo_cli.config` fills them from the
preset, `elo.yaml`, `--config` and `--set`. Where the paper gives a value, it is the default here or
in the preset `paper`; where the paper is silent, the description says so.
"""

from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from elo_cli.core.benchmark_settings import BenchmarkSettings
from elo_cli.core.methods import MethodName
from elo_cli.core.search_settings import FitnessSettings, ProxySearchSettings, SearchSettings
from elo_cli.core.section import Names, Section, Workers
from elo_cli.core.train_settings import TrainSettings

Modalities = Annotated[tuple[Literal["rgb", "grey", "flow", "audio", "motion"], ...], Field(strict=False, min_length=1)]
FlowName = Literal["none", "dis-ultrafast", "dis-fast", "dis-medium", "farneback", "tv-l1", "raft", "motion-vectors"]


class PreprocessSettings(Section):
    """How videos become shards."""

    # What decides how the work is done, and nothing of what is stored of a video.
    OPERATION: ClassVar = frozenset(
        {"videos_per_shard", "on_error", "max_failures", "video_seconds_limit", "worker_memory", "engine", "workers"}
    )

    fps: float = Field(12.5, gt=0, le=240, description="stored frames per second, picked by presentation time")
    short_side: int = Field(128, ge=8, le=2048, description="pixels of the shorter side of a stored frame")
    segment_seconds: float = Field(8.0, gt=0, le=3600, description="length of one segment")
    max_segments: int = Field(3, ge=1, le=10_000, description="segments of one video at most, evenly spread")
    min_seconds: float = Field(0.5, ge=0, description="a shorter stretch than this is not kept")
    deinterlace: bool = Field(True, description="show one field of a frame that says it is interlaced, not two moments at once")
    flow: FlowName = Field("dis-fast", description="how optical flow is estimated; docs/flow.md compares the methods")
    flow_weights: str | None = Field(
        None, description="file of RAFT's weights (torchvision's, .pth or .safetensors); only for raft"
    )
    audio: bool = Field(True, description="store the log-mel spectrogram of the sound")
    audio_rate: int = Field(16_000, ge=4000, le=192_000, description="samples per second of the sound before the spectrogram")
    mels: int = Field(80, ge=8, le=256, description="mel bands")
    window_seconds: float = Field(0.025, gt=0, le=1, description="length of a spectrogram window")
    hop_seconds: float = Field(0.010, gt=0, le=1, description="time between spectrogram frames")
    max_pixels: int = Field(2**26, ge=1, description="a source frame with more pixels than this is refused")
    storage: Literal["raw", "jpeg"] = Field("raw", description="raw: read without decoding; jpeg: about ten times smaller")
    jpeg_quality: int = Field(90, ge=1, le=100, description="quality of frames and flow under storage jpeg")
    videos_per_shard: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = Field(
        "auto", description="videos that share one shard file; auto: 1, and 64 from 10,000 videos on"
    )
    on_error: Literal["skip", "stop"] = Field("skip", description="what a video that cannot be used does to the run")
    max_failures: int | None = Field(None, ge=0, description="more failed videos than this stop the run; null: no bound")
    video_seconds_limit: float = Field(600.0, gt=0, description="time that one video may take before it counts as failed")
    worker_memory: float = Field(
        4.0, ge=0.25, description="GiB that a worker process may allocate before its video counts as failed"
    )
    engine: str = Field("local", description="what spreads the work: a file of elo_cli/executors")
    workers: Workers = "auto"

    @model_validator(mode="after")
    def _possible(self) -> "PreprocessSettings":
        # 16:9 at the stored size, with a copy of the frames and both flows in 32 bits.
        largest = self.segment_seconds * self.fps * self.short_side**2 * 16 / 9 * (3 if self.flow == "none" else 24)
        if largest > self.worker_memory * 2**30 / 2:
            raise ValueError(
                f"a segment of {self.segment_seconds:g} s needs about {largest / 2**30:.1f} GiB, over half of worker_memory:"
                " shorten segment_seconds (and raise max_segments), or raise worker_memory"
            )
        if self.flow == "raft" and self.flow_weights is None:
            raise ValueError(
                "flow raft needs the file of torchvision's weights: set flow_weights; docs/flow.md says where they are"
            )
        if self.flow != "raft" and self.flow_weights is not None:
            raise ValueError(f"flow_weights is for flow raft alone, and flow is {self.flow}")
        return self

    def content(self) -> dict[str, Any]:
        """Return the settings that decide what is stored of a video, as JSON: one set of shards shares them.

        Of RAFT's weights it is the file's name, which torchvision ends in a hash, wherever the file lies.
        """
        content = self.model_dump(mode="json", exclude={*self.OPERATION, *(("jpeg_quality",) if self.storage == "raw" else ())})
        return content | {"flow_weights": PurePath(self.flow_weights).name if self.flow_weights else None}


class ClusterSettings(Section):
    """The pseudo-labels of the cluster task."""

    number: int = Field(50, ge=2, description="clusters, at most; never more than half of the videos (the paper is silent)")
    every: int = Field(500, ge=1, description="steps from one k-means to the next; the first ones come sooner")
    momentum: float = Field(0.5, ge=0, lt=1, description="what a video's vector keeps of itself when it is seen again")


class AggregationSettings(ClusterSettings):
    """Local aggregation; the values are those of its paper, but for the number of clusters and clusterings."""

    clusterings: int = Field(3, ge=1, le=100, description="runs of k-means whose clusters are united (its paper: 10)")
    neighbours: int = Field(4096, ge=2, description="background neighbours of a clip, at most")
    temperature: float = Field(0.07, gt=0, description="temperature of the neighbours' weights")


class SpecAugmentSettings(Section):
    """Stripes of the spectrogram that the sound's encoder does not see (Park et al. 2019); targets are whole."""

    masks: int = Field(0, ge=0, le=16, description="stripes along time, and as many along mel bands")
    time: float = Field(0.2, ge=0, le=1, description="largest share of the clip that one stripe covers")
    mels: float = Field(0.2, ge=0, le=1, description="largest share of the mel bands that one stripe covers")


class ContrastSettings(Section):
    """Contrast with momentum encoders and a queue of negatives; the values are MoDist's."""

    temperature: float = Field(0.1, gt=0, description="temperature of InfoNCE")
    queue: int = Field(65_536, ge=1, description="keys of earlier clips that each term keeps as negatives")
    momentum: float = Field(0.999, ge=0, lt=1, description="what a momentum encoder keeps of itself at each step")
    batch_negatives: bool = Field(
        False, description="keys of the same step are negatives too; MoDist's are those of earlier steps alone"
    )
    hidden: int = Field(2048, ge=1, description="units of the projection head's hidden layer")
    dimension: int = Field(128, ge=2, description="dimension of queries and keys")


class ObjectiveSettings(Section):
    """Which terms exist and the form of their losses (Eq. 1, 2, 6, 7, 8)."""

    modalities: Modalities = ("rgb", "grey", "flow", "audio")
    terms: Names = Field(("*",), description="patterns (*, ?) of the terms that exist; the search weighs these")
    distance: Literal["l2", "mean"] = Field("l2", description="l2: the paper's plain norm; mean: mean square for each element")
    scale: Literal["none", "initial"] = Field("none", description="initial: divide each term by its value at the first step")
    margin: float = Field(1.0, gt=0, description="α of Eq. 8 (the paper is silent)")
    embed_form: Literal["margin", "infonce"] = Field("margin", description="margin: Eq. 8; infonce: over the batch")
    temperature: float = Field(0.1, gt=0, description="temperature of the InfoNCE form")
    align_form: Literal["pair", "match"] = Field(
        "pair", description="pair: Eq. 7 on one pair; match: which of two moments goes with which"
    )
    spec_augment: SpecAugmentSettings = SpecAugmentSettings()  # type: ignore[call-arg]
    cluster: ClusterSettings = ClusterSettings()  # type: ignore[call-arg]
    aggregate: AggregationSettings = AggregationSettings()  # type: ignore[call-arg]
    contrast: ContrastSettings = ContrastSettings()  # type: ignore[call-arg]
    distill_sites: tuple[Literal[1, 2, 3, 4], ...] = Field(
        (1, 2, 3, 4), strict=False, description="stages that distillation acts on"
    )
    teacher_gradient: bool = Field(False, description="let the gradient of distillation flow into the teacher as well")


class MonitorSettings(Section):
    """What elo pretrain looks at while it trains; no label is needed."""

    every: int = Field(500, ge=1, description="steps from one look to the next; there is one after the last step too")
    held_out: float = Field(
        0.1, ge=0, lt=1, description="share of the videos, at most fitness.videos, that it sees and training not"
    )
    pictures: int = Field(4, ge=0, le=8, description="held-out clips of which decoded pictures are drawn; 0: none")


class ExtractSettings(Section):
    """How features are taken from a video."""

    clips: int = Field(3, ge=1, le=100, description="clips of a video, evenly spread, whose features are averaged")
    batch: int = Field(32, ge=1, description="clips of one forward pass")


class MachineSettings(Section):
    """What depends on the machine; none of it belongs to the experiment."""

    precision: Literal["auto", "bf16", "float32"] = Field("auto", description="auto: bf16 where the processor or GPU has it")
    layout: Literal["auto", "channels_last", "contiguous"] = Field("auto", description="memory layout of the networks")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    compile: bool = Field(False, description="let torch.compile make the encoders' code; needs a C++ compiler (docs/training.md)")
    tf32: bool = Field(True, description="let NVIDIA GPUs round what is float32 to TF32 inside of products")
    threads: Workers = "auto"
    loader_workers: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto", description="processes that load clips; 0: none"
    )


class Settings(Section):
    """All settings of elo."""

    seed: int = Field(0, ge=0, lt=2**63, description="every random choice follows from it")
    method: MethodName = Field(
        "elo", description="what elo pretrain trains: elo, a loss that is found or named; modist; contrastive"
    )
    workspace: str = Field("elo", min_length=1, description="folder under the working directory that holds data and runs")
    preprocess: PreprocessSettings = PreprocessSettings()  # type: ignore[call-arg]
    objective: ObjectiveSettings = ObjectiveSettings()  # type: ignore[call-arg]
    proxy: TrainSettings = TrainSettings()  # type: ignore[call-arg]
    pretrain: TrainSettings = TrainSettings()  # type: ignore[call-arg]
    monitor: MonitorSettings = MonitorSettings()  # type: ignore[call-arg]
    fitness: FitnessSettings = FitnessSettings()  # type: ignore[call-arg]
    search: SearchSettings = SearchSettings()  # type: ignore[call-arg]
    proxy_search: ProxySearchSettings = ProxySearchSettings()  # type: ignore[call-arg]
    extract: ExtractSettings = ExtractSettings()  # type: ignore[call-arg]
    benchmark: BenchmarkSettings = BenchmarkSettings()  # type: ignore[call-arg]
    machine: MachineSettings = MachineSettings()  # type: ignore[call-arg]
