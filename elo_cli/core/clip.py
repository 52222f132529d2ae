"""A batch of clips, aligned in time over its modalities, and the views that tasks ask for.

Shape legend: B clips, C channels, T frames, H rows, W columns, F mel bands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from elo_cli.core.errors import UsageError
from elo_cli.core.shelf import suggest
from elo_cli.core.weights import Term

if TYPE_CHECKING:
    from torch import Tensor

Modality = Literal["rgb", "grey", "flow", "audio"]
MODALITIES: tuple[Modality, ...] = ("rgb", "grey", "flow", "audio")
CHANNELS: dict[str, int] = {"rgb": 3, "grey": 1, "flow": 2, "audio": 1}

# Where in its segment a window of frames lies: the clip itself, the frames right after it, and
# another stretch of the same length that does not overlap the clip.
Window = Literal["clip", "future", "shifted"]

# What a view does to its window. Reversed flow is the flow of the reversed video, so the loader
# brings it ("backward"); the other forms are made from the window itself.
Form = Literal["clean", "shuffled", "reversed", "shifted"]


def modality_names(term: Term) -> tuple[Modality, ...]:
    """Return the modalities of a term, known to be such.

    Raises:
        UsageError: one is not a modality.
    """
    for name in term.modalities:
        if name not in MODALITIES:
            raise UsageError(f"'{name}' in {term} is not a modality.", hint=suggest(name, MODALITIES))
    return cast(tuple[Modality, ...], term.modalities)


class Source(NamedTuple):
    """What the loader must bring: one modality of one window, played forwards or backwards."""

    modality: Modality
    window: Window = "clip"
    backward: bool = False


class View(NamedTuple):
    """What an encoder sees: one modality in one form."""

    modality: Modality
    form: Form = "clean"

    @property
    def source(self) -> Source:
        """The loader's part in this view."""
        window: Window = "shifted" if self.form == "shifted" else "clip"
        return Source(self.modality, window, self.modality == "flow" and self.form == "reversed")


@dataclass(frozen=True)
class ClipBatch:
    """B clips with everything that was asked of the loader.

    Attributes:
        inputs: for each source its tensor: `rgb` (B,3,T,H,W) and `grey` (B,1,T,H,W) of zero mean
            and about unit variance, `flow` (B,2,T,H,W) in hundredths of the clip's side for each
            stored frame, `audio` (B,1,F,T') log-mel of zero mean and about unit variance.
        present: for each source whether a clip has it, (B,) bool; absent clips are zeros.
        ids: the id of each clip's video.
        video_B: the number of each clip's video in its set.
        first: the number of the first clip in the whole batch of the step, which may be over many ranks.
        whole: how many clips that batch has; None: no more than these.
    """

    inputs: "Mapping[Source, Tensor]"
    present: "Mapping[Source, Tensor]"
    ids: tuple[str, ...]
    video_B: "Tensor"
    first: int = 0
    whole: int | None = None

    @property
    def size(self) -> int:
        """How many clips the whole batch of the step has."""
        return len(self.ids) if self.whole is None else self.whole

    @property
    def rows(self) -> slice:
        """Where these clips stand in the whole batch of the step."""
        return slice(self.first, self.first + len(self.ids))

    def parts(self, count: int) -> "Iterator[ClipBatch]":
        """Cut it into so many parts of equal size, in order."""
        size, rest = divmod(len(self.ids), count)
        assert not rest, (len(self.ids), count)
        for part in range(count):
            rows = slice(part * size, (part + 1) * size)
            yield replace(
                self,
                inputs={source: tensor[rows] for source, tensor in self.inputs.items()},
                present={source: present_B[rows] for source, present_B in self.present.items()},
                ids=self.ids[rows],
                video_B=self.video_B[rows],
                first=self.first + rows.start,
                whole=self.size,
            )
