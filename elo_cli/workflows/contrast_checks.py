"""What contrast needs and may not get: clips that can be paired, keys enough for its queue, steps enough for momentum."""

from collections.abc import Iterable, Iterator

from elo_cli.core.errors import DataError
from elo_cli.core.settings import ContrastSettings
from elo_cli.core.train_settings import ClipSettings, TrainSettings
from elo_cli.core.weights import Term
from elo_cli.data.sampling import drawable, paired_videos
from elo_cli.workflows.material import Material

_LEFT = 0.1  # of the first, random parameters, at the end of a training


def check_pairs(material: Material, clip: ClipSettings, terms: Iterable[Term]) -> str:
    """Make sure that contrast, where it is among the terms, finds two clips of a video that may be paired.

    Returns:
        What is to be said where not every video has such clips; empty otherwise.

    Raises:
        DataError: none has.
    """
    if not any(term.task == "contrast" for term in terms):
        return ""
    numbers = drawable(material.videos, clip)
    paired = paired_videos(material.videos, clip, numbers)
    if paired == len(numbers):
        return ""
    least, most = clip.pair_seconds
    said = (
        f"{paired} of {len(numbers)} videos have two clips that begin {least:g} to {most:g} s from one another, each of"
        f" {clip.extent} stored frames ({clip.extent / material.videos.rates.fps:.1f} s): contrast learns from these alone."
    )
    if paired:
        return said
    raise DataError(
        said,
        hint="Preprocess again with a higher preprocess.segment_seconds or max_segments; or set other clip.pair_seconds, or fewer"
        " frames or a lower stride of clip or clip.motion; or leave contrast out of objective.terms.",
    )


def starved(terms: Iterable[Term], given: TrainSettings, contrast: ContrastSettings) -> Iterator[str]:
    """Say what contrast would learn little from, under these settings."""
    terms = [term for term in terms if term.task == "contrast"]
    if not terms:
        return
    keys = given.steps * given.batch
    if contrast.queue > keys / 2:
        yield (
            f"The queue of {contrast.queue} keys is filled by {keys} clips in the whole training, if at all: lower"
            " objective.contrast.queue (the preset modist-small has what little training can use)."
        )
    left = contrast.momentum**given.steps
    if left > _LEFT:
        yield (
            f"The momentum copies are still {100 * left:.0f}% what they were at random after {given.steps} steps: lower"
            " objective.contrast.momentum."
        )
    asked, found = ({term.modalities[place] for term in terms} for place in (-1, 0))
    for name in sorted(found - asked):
        yield (
            f"No contrast teaches {name}: its keys are those of a random network, unless another task trains it. Give"
            f" {name}.contrast a weight too."
        )
