"""Bring the activations of the RGB network near those of another network at one stage (Eq. 2).

The gradient flows only into RGB unless `objective.teacher_gradient` says otherwise. Where the two
maps differ in shape (sound has no space, picture no frequency), both are averaged down to
(B, C, T): over rows and columns, over mel bands; and the teacher's time is averaged into as many
steps as RGB has. Where the channels differ, a 1×1 convolution maps RGB's to the teacher's; it is no
part of the exported encoder.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional

from elo_cli.core.clip import ClipBatch, View, modality_names
from elo_cli.core.weights import Term
from elo_cli.nets.blocks import Encoding
from elo_cli.nets.distances import distance, masked_mean
from elo_cli.nets.term import Parts, TermLoss


def terms(modalities: Sequence[str], sites: Sequence[int]) -> list[Term]:
    """Offer one term for each other modality and stage, where RGB is there."""
    if "rgb" not in modalities:
        return []
    return [Term("distill", (name, "rgb"), True, site) for name in modalities if name != "rgb" for site in sites]


def build(term: Term, parts: Parts) -> TermLoss:
    """Build the comparison of one stage."""
    teacher, student = modality_names(term)
    assert term.site is not None
    return Distillation(View(teacher), View(student), term.site, parts)


class Distillation(TermLoss):
    """Eq. 2: ‖L − M‖₂, L the teacher's activations and M those of RGB."""

    def __init__(self, teacher: View, student: View, site: int, parts: Parts) -> None:
        super().__init__([teacher, student])
        self.teacher, self.student, self.stage = teacher, student, site - 1
        self.form, self.teacher_gradient = parts.settings.distance, parts.settings.teacher_gradient
        shapes = parts.stages[student.modality][self.stage], parts.stages[teacher.modality][self.stage]
        self.alike = shapes[0][1:] == shapes[1][1:]
        same_channels = shapes[0][0] == shapes[1][0]
        self.adapter = nn.Identity() if same_channels else nn.Conv1d(shapes[0][0], shapes[1][0], 1)

    def pair(self, encoded: Mapping[View, Encoding]) -> tuple[Tensor, Tensor]:
        """Return M and L, brought to one shape."""
        student, teacher = encoded[self.student].stages[self.stage], encoded[self.teacher].stages[self.stage]
        if not self.alike:
            student, teacher = _over_time(student), _over_time(teacher)
            teacher = functional.adaptive_avg_pool1d(teacher, student.shape[-1])
        return self.adapter(student.flatten(2)).view(len(student), -1, *student.shape[2:]), teacher

    def forward(self, encoded: Mapping[View, Encoding], batch: ClipBatch) -> Tensor:
        student, teacher = self.pair(encoded)
        if not self.teacher_gradient:
            teacher = teacher.detach()
        valid_B = self.valid(batch)
        return masked_mean(distance(student, teacher, self.form), valid_B)


def _over_time(stage: Tensor) -> Tensor:
    """Average a clip's map (B,C,T,H,W) over space, or a spectrogram's (B,C,F,T) over mel bands, to (B,C,T)."""
    return stage.float().mean((3, 4)) if stage.dim() == 5 else stage.float().mean(2)
