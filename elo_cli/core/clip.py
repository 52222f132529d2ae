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

Modality = Literal["rgb", "grey", "flow", "audio", "motion"]
MODALITIES: tuple[Modality, ...] = ("rgb", "grey", "flow", "audio", "motion")

# What an encoder sees of each. Of motion the loader brings flow, whose edges are drawn on the device.
CHANNELS: dict[str, int] = {"rgb": 3, "grey": 1, "flow": 2, "audio": 1, "motion": 3}

# Where a window of frames lies: the clip itself, the frames right after it, another stretch of the
# same length that does not overlap the clip, and another clip of the same video, some seconds from it,
# with a crop and a look of its own. All but the last are in one segment.
Window = Literal["clip", "future", "shifted", "paired"]

# What a view does to its window. Reversed flow is the flow of the reversed video, so the loader
# brings it ("backward"); the other forms are made from the window itself. A query is the clean clip
# through its encoder and a projection head, a key the other clip of a pair through momentum copies of
# both, without a gradient.
Form = Literal["clean", "shuffled", "reversed", "shifted", "query", "key"]

_WINDOWS: dict[Form, Window] = {"shifted": "shifted", "key": "paired"}  # of the other forms it is the clip


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
        return Source(self.modality, _WINDOWS.get(self.form, "clip"), self.modality == "flow" and self.form == "reversed")


@dataclass(frozen=True)
class ClipBatch:
    """B clips with everything that was asked of the loader.

    Attributes:
        inputs: for each source its tensor: `rgb` (B,3,T,H,W) and `grey` (B,1,T,H,W) of zero mean
            and about unit variance, `flow` (B,2,T,H,W) in hundredths of the clip's side for each
            stored frame, `audio` (B,1,F,T') log-mel of zero mean and about unit variance, `motion`
            (B,2,T″,H,W) flow of as many frames as `clip.motion` says.
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
