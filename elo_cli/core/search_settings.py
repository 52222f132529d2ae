"""The settings of searches: how a candidate is judged, and what proposes candidates; part of `elo_cli.core.settings`."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from elo_cli.core.section import Names, Section, Workers


class FitnessSettings(Section):
    """How a candidate is judged (3.2.2)."""

    measure: str = Field("zipf", description="a file of elo_cli/fitness")
    clusters: int = Field(50, ge=2, description="k of k-means (the paper is silent)")
    exponent: float = Field(1.0, ge=0, description="s of the Zipf law (the paper is silent)")
    runs: int = Field(20, ge=1, description="k-means runs that are averaged (the paper: 20)")
    two_sigma_squared: float = Field(1.0, gt=0, description="2σ² of Eq. 4, in the unit of bandwidth (the paper: 1)")
    bandwidth: Literal["absolute", "relative"] = Field(
        "relative", description="unit of 2σ²: 1 (the paper), or the mean squared distance of a video to its nearest centre"
    )
    scaling: Literal["none", "standardize", "unit", "rms", "whiten"] = Field(
        "standardize", description="what is done to the features first; none is the paper's letter"
    )
    videos: int = Field(2000, ge=2, description="videos whose features are judged, at most")
    record: Names = Field(
        ("rankme", "alpha-req"), description="further measures that are written down beside the one that guides the search"
    )
    labelled: str | None = Field(None, min_length=1, description="folder of a preprocessed set with labels, for the measure weak")
    labelled_clusters: int | None = Field(
        None, ge=1, description="k of k-means under weak; null: as many as classes (the paper is silent)"
    )


class SearchSettings(Section):
    """The search over losses."""

    # What decides how the work is done, and nothing of what is searched.
    OPERATION: ClassVar = frozenset(
        {"engine", "workers", "workers_per_device", "gpus_per_candidate", "stalled_seconds", "accept_version"}
    )

    strategy: str = Field("cma-es", description="a file of elo_cli/strategies")
    rounds: int = Field(250, ge=1, description="ask/tell rounds (the paper: 250 with CMA-ES)")
    population: int | None = Field(None, ge=2, description="candidates of a round; null: the strategy's own")
    sigma: float = Field(0.3, gt=0, le=1, description="first step size of CMA-ES")
    pool: int = Field(20, ge=2, description="losses that a tournament draws parents from (the paper is silent)")
    contestants: int = Field(5, ge=1, description="losses that compete for being the parent (the paper is silent)")
    ageing: bool = Field(True, description="the oldest leaves a tournament's pool, not the worst (the paper is silent)")
    sampler: Literal["uniform", "sobol"] = Field("uniform", description="how random search draws")
    warm_start: bool = Field(
        False,
        description="train every term alone first, as long as the first rung, and begin from the better ones (the paper: false)",
    )
    levels: int = Field(5, ge=2, description="values of each weight in a grid")
    held_out_objective: Literal["zipf", "rankme", "contrast"] = Field(
        "zipf", description="what gradient lowers on held-out videos (of rankme, minus it)"
    )
    held_out_share: float = Field(
        0.2, gt=0, lt=1, description="share of the videos that gradient learns weights on, and trains nothing on"
    )
    held_out_batch: int = Field(128, ge=8, description="of these, so many at most are looked at for each update")
    weights_every: int = Field(5, ge=1, description="steps from one update of the weights to the next, under gradient")
    weights_lr: float = Field(0.03, gt=0, description="Adam's learning rate of the weights, under gradient")
    rungs: int = Field(
        1, ge=1, le=10, description="lengths of training after which a round's candidates are compared; 1: the paper"
    )
    reduction: int = Field(
        3, ge=2, le=100, description="of so many candidates the best goes on to the next rung, so many times as long"
    )
    finalists: int = Field(3, ge=0, description="best candidates that are trained again before one is named (the paper: 0)")
    repeats: int = Field(2, ge=1, description="how often, each time under another seed")
    engine: str = Field("local", description="what spreads the candidates: a file of elo_cli/executors")
    workers: Workers = "auto"
    workers_per_device: int = Field(1, ge=1, le=64, description="candidates that share one GPU")
    gpus_per_candidate: float | None = Field(
        None, ge=0, description="GPUs that a candidate asks Ray for; null: one, or its part of one, where the cluster has some"
    )
    stalled_seconds: float = Field(600.0, gt=0, description="time without a step after which a candidate counts as hung")
    accept_version: bool = Field(
        False, description="go on under another version of the strategy's library, if it proposes the recorded losses alike"
    )

    @model_validator(mode="after")
    def _possible(self) -> "SearchSettings":
        gpus = self.gpus_per_candidate
        if gpus is not None and self.engine == "local":
            raise ValueError("gpus_per_candidate is for the engine ray; on this machine workers_per_device shares a GPU")
        if gpus is not None and gpus > 1 and gpus % 1:
            raise ValueError(f"gpus_per_candidate is a part of one GPU, or a whole number of them, and not {gpus:g}")
        return self


class ProxySearchSettings(Section):
    """The search in one shot: many losses, each trained once."""

    strategy: str = Field("random", description="what proposes the losses: random or grid")
    candidates: int = Field(100, ge=1, description="losses that are tried")
