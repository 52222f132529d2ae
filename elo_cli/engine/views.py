"""Make the views that encoders see from the tensors that the loader brought."""

import numpy as np
import torch
from torch import Tensor

from elo_cli.core.clip import ClipBatch, Form, View
from elo_cli.core.seeds import numpy_generator

# Sound is shuffled in as many pieces as this, so that pieces are as long as a few video frames.
_AUDIO_PIECES = 8


def make_view(batch: ClipBatch, view: View, seed: int, step: int) -> Tensor:
    """Return the tensor of a view, of the shape of its source.

    Shuffling draws one order for each clip from (seed, step), the same for every modality, so that
    shuffled views of different modalities stay aligned.
    """
    clean = batch.inputs[view.source]
    if view.form == "reversed":
        return clean.flip(_time_axis(view))
    if view.form == "shuffled":
        pieces = _AUDIO_PIECES if view.modality == "audio" else clean.shape[2]
        orders_BT = shuffled_orders(len(clean), min(pieces, clean.shape[_time_axis(view)]), seed, step)
        return _permute(clean, orders_BT, _time_axis(view))
    return clean


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
    return clean.gather(axis, index_BT.view(shape).expand_as(clean).to(clean.device))


def forms_of(views: frozenset[View], modality: str) -> list[View]:
    """List the views of one modality in a fixed order, the clean one first."""
    rank: dict[Form, int] = {"clean": 0, "shuffled": 1, "reversed": 2, "shifted": 3}
    return sorted((view for view in views if view.modality == modality), key=lambda view: rank[view.form])
