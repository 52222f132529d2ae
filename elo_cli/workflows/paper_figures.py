"""The numbers of the paper's Tables 1 to 4, as printed, and which rows of a benchmark they are compared with.

The paper is A. Piergiovanni, A. Angelova, M. Ryoo, "Evolving Losses for Unsupervised Video Representation Learning", CVPR 2020.
"""

from dataclasses import dataclass

ENCODER = "(2+1)D ResNet-50"
TRAINED_ON = "2 million YouTube videos"
WAYS = {"linear": "a linear layer on fixed features", "finetune": "the whole network"}  # what low-label trains here
RANDOM_LOSSES = 10  # whose average is the paper's row "Random Loss" (caption of Table 1)


@dataclass(frozen=True)
class Method:
    """One row of a table.

    Attributes:
        name: what the paper calls it.
        row: what a benchmark calls it; in Table 4 the strategy. None: nothing that elo trains is compared with it.
        figures: accuracies in percent, in the order of the table's columns; None where the paper has none.
    """

    name: str
    row: str | None
    figures: tuple[float | None, ...]

    def shares(self) -> list[float | None]:
        """Return the accuracies as shares in [0, 1]."""
        return [None if percent is None else round(percent / 100, 6) for percent in self.figures]


@dataclass(frozen=True)
class Group:
    """Rows of a table under one heading."""

    name: str
    methods: tuple[Method, ...]


HMDB51_PROTOCOLS = ("kmeans", "linear", "finetune")  # in the paper k-means, 1-layer and fine-tune
HMDB51 = (
    Group(
        "Supervised using additional labeled data",
        (
            Method("Scratch (No Pretraining)", "scratch", (15.7, 17.8, 35.2)),
            Method("ImageNet Pretrained", "imagenet", (32.5, 37.8, 49.8)),
            Method("Kinetics Pretrained", "kinetics", (68.8, 71.5, 74.3)),
        ),
    ),
    Group(
        "Unsupervised using unlabeled videos",
        (
            Method("Frame Shuffle", "frame-shuffle", (22.3, 24.3, 28.4)),
            Method("Reverse Detection", "reverse", (21.3, 24.3, 27.5)),
            Method("Audio/RGB Align", "audio-align", (32.4, 36.8, 40.2)),
            Method("RGB to Flow", "rgb-to-flow", (31.5, 36.4, 39.9)),
            Method("Predicting 4 future frames", "predict", (31.8, 35.8, 39.2)),
            Method("Joint Embedding", "joint-embedding", (29.4, 32.5, 38.4)),
        ),
    ),
    Group(
        "Ours, weakly-sup clustering, using unlabeled videos",
        (Method("Evolved Loss - ELo-weak", "elo-weak", (45.7, 64.3, 67.8)),),
    ),
    Group(
        "Ours, unsupervised, using unlabeled videos",
        (
            Method("Random Loss (unsup.)", "random", (26.4, 26.9, 31.2)),
            Method("Evolved Loss - ELo (unsup.)", "elo", (43.4, 64.5, 67.4)),
        ),
    ),
)

STATE_OF_THE_ART_SETS = ("hmdb51", "ucf101")
STATE_OF_THE_ART = (
    Group(
        "Supervised",
        (
            Method("(2+1)D ResNet-50 Scratch", "scratch", (35.2, 63.1)),
            Method("(2+1)D ResNet-50 ImageNet", "imagenet", (49.8, 84.5)),
            Method("(2+1)D ResNet-50 Kinetics", "kinetics", (74.3, 95.1)),
        ),
    ),
    Group(
        "Unsupervised",
        (
            Method("Shuffle", None, (18.1, 50.2)),
            Method("O3N", None, (32.5, 60.3)),
            Method("OPN", None, (37.5, 37.5)),  # the paper prints one number twice
            Method("Patch", None, (None, 41.5)),
            Method("Multisensory", None, (None, 82.1)),
            Method("AVTS", None, (61.6, 89.0)),
        ),
    ),
    Group("Weakly guided, HMDB", (Method("Evolved Loss (ours)", "elo-weak", (67.8, 94.1)),)),
    Group(
        "Unsupervised",
        (
            Method("Evolved Loss (ours, no distillation)", "elo-without-distillation", (53.7, 84.2)),
            Method("Evolved Loss - ELo (ours)", "elo", (67.4, 93.8)),
        ),
    ),
)

# Labelled videos of Kinetics-400 that the network was fine-tuned on.
LABELS = (400, 2_000, 4_000, 8_000, 20_000, 40_000, 80_000, 120_000, 160_000, 225_000)
BY_LABELS = (
    Method("Random Init", "scratch", (0.93, 2.1, 2.8, 4.4, 6.2, 12.5, 26.4, 52.5, 64.3, 71.2)),
    Method("Frame Shuffle", "frame-shuffle", (1.5, 5.3, 12.4, 18.4, 28.4, 32.5, 38.2, 57.4, 66.8, 70.9)),
    Method("Audio Align", "audio-align", (2.5, 9.8, 17.2, 28.1, 36.0, 46.0, 54.1, 64.3, 69.5, 71.5)),
    Method("ELO (unsupervised)", "elo", (3.6, 15.8, 24.8, 47.0, 58.3, 67.5, 69.2, 70.2, 72.2, 74.4)),
)

# What the paper counts as iterations: losses tried, but rounds of many losses in the row of CMA-ES (3.2.3).
ITERATIONS = {"random": 2000, "grid": 2000, "tournament": 2000, "cma-es": 250}
BY_STRATEGY = (
    Method("Random Search", "random", (52.4,)),
    Method("Grid Search", "grid", (57.3,)),
    Method("Tournament Selection", "tournament", (61.4,)),
    Method("CMA-ES", "cma-es", (67.4,)),
)


def names_of_rows() -> dict[str, str]:
    """Return what the paper calls each row that a benchmark may have, in the order of Table 1, then of Table 2."""
    named: dict[str, str] = {}
    for group in (*HMDB51, *STATE_OF_THE_ART):
        for method in group.methods:
            if method.row is not None:
                named.setdefault(method.row, method.name)
    return named


def curve(method: Method) -> list[dict[str, float | None]]:
    """Return a row of Table 3 in the form of a measured curve: `labels`, and `accuracy`, a share."""
    return [{"labels": labels, "accuracy": share} for labels, share in zip(LABELS, method.shares(), strict=True)]
