"""Make the views that encoders see from the tensors that the loader brought."""

import numpy as np
import torch
from torch import Tensor

from elo_cli.core.clip import ClipBatch, Form, Modality, View
from elo_cli.core.seeds import numpy_generator
from elo_cli.core.settings import SpecAugmentSettings
from elo_cli.engine.edges import flow_edges

# Sound is shuffled in as many pieces as this, so that pieces are as long as a few video frames.
_AUDIO_PIECES = 8


def make_view(batch: ClipBatch, view: View, seed: int, step: int, stripes: SpecAugmentSettings | None = None) -> Tensor:
    """Return the tensor of a view, of the shape of its source; of motion it has three channels.

    Shuffling draws one order for each clip of the whole batch, of all ranks, from (seed, step), the same for every
    modality that has as many pieces. Stripes, if given, cover parts of what the
    encoder of sound sees. They come last and lie alike in all views of a clip: a stripe that was
    shuffled or reversed with the sound would tell that it was.
    """
    made = _make(batch, view, seed, step)
    if view.modality != "audio" or stripes is None or not stripes.masks:
        return made
    covered_A1FT = _stripes((batch.size, *made.shape[1:]), stripes, seed, step)
    return made.masked_fill(covered_A1FT[batch.rows].to(made.device), 0.0)


def _make(batch: ClipBatch, view: View, seed: int, step: int) -> Tensor:
    clean = batch.inputs[view.source]
    if view.modality == "motion":
        clean = flow_edges(clean)
    if view.form == "reversed":
        return clean.flip(_time_axis(view))
    if view.form == "shuffled":
        pieces = _AUDIO_PIECES if view.modality == "audio" else clean.shape[2]
        orders_AT = shuffled_orders(batch.size, min(pieces, clean.shape[_time_axis(view)]), seed, step)
        return _permute(clean, orders_AT[batch.rows], _time_axis(view))
    return clean


def _stripes(shape: tuple[int, ...], settings: SpecAugmentSettings, seed: int, step: int) -> Tensor:
    """Draw for each clip of the whole batch where its spectrogram (A, 1, F, T) is covered; by 0, its mean over the data."""
    random = numpy_generator(seed, "stripes", step)
    clips, lengths = shape[0], shape[2:]
    covered = np.zeros((clips, 1, *lengths), bool)
    for axis, share in enumerate((settings.mels, settings.time)):
        length = lengths[axis]
        widths = (random.random((clips, settings.masks)) * (share * length + 1)).astype(np.int64).clip(0, length)
        starts = (random.random((clips, settings.masks)) * (length - widths + 1)).astype(np.int64)
        places = np.arange(length)
        stripes_BMN = (places >= starts[..., None]) & (places < (starts + widths)[..., None])
        covered |= np.expand_dims(stripes_BMN.any(1), (1, 3 - axis))
    return torch.from_numpy(covered)


def _time_axis(view: View) -> int:
    return 3 if view.modality == "audio" else 2  # (B,C,F,T) and (B,C,T,H,W)


def shuffled_orders(clips: int, pieces: int, seed: int, step: int) -> np.ndarray:
    """Draw for each clip an order of its pieces that is neither the order of time nor its reverse."""
    random = numpy_generator(seed, "shuffle", step)
    orders = np.empty((clips, pieces), np.int64)
    forward = np.arange(pieces)
    for row in range(clips):
        order = random.permutation(pieces)
        while pieces > 2 and (np.array_equal(order, forward) or np.array_equal(order, forward[::-1])):
            order = random.permutation(pieces)
        # Two pieces have no other order than these two; then the swapped one is taken.
        orders[row] = order if pieces > 2 else forward[::-1]
    return orders


def _permute(clean: Tensor, orders_BP: np.ndarray, axis: int) -> Tensor:
    length, pieces = clean.shape[axis], orders_BP.shape[1]
    edges = np.linspace(0, length, pieces + 1).round().astype(np.int64)
    frames = [np.arange(edges[piece], edges[piece + 1]) for piece in range(pieces)]
    index_BT = torch.from_numpy(np.stack([np.concatenate([frames[piece] for piece in order]) for order in orders_BP]))
    shape = [1] * clean.dim()
    shape[0], shape[axis] = index_BT.shape
    # Sent before it is expanded: expanded, the index would be as large as the clips.
    permuted = clean.gather(axis, index_BT.view(shape).to(clean.device).expand_as(clean))
    last = clean.dim() == 5 and clean.is_contiguous(memory_format=torch.channels_last_3d)
    return permuted.contiguous(memory_format=torch.channels_last_3d) if last else permuted


def forms_of(views: frozenset[View], modality: Modality) -> list[View]:
    """List what the encoder of a modality sees of its views, in a fixed order, the clean one first; keys are not its own."""
    rank: dict[Form, int] = {"clean": 0, "shuffled": 1, "reversed": 2, "shifted": 3}
    encoded = {View(modality) if view.form == "query" else view for view in views if view.modality == modality}
    return sorted((view for view in encoded if view.form != "key"), key=lambda view: rank[view.form])
