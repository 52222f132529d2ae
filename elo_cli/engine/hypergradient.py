"""How an objective on held-out videos changes with each weight of the loss, through one step of training.

A step takes θ to θ - η P Σ λ_t ∇L_t(θ), where P is what the optimiser multiplies gradients by: 1 for SGD, 1/(√v + ε) for
AdamW. So, to first order and with P held fixed,

    dF/dλ_t = -η ⟨P ∇F(θ), ∇L_t(θ)⟩

(Luketina et al. 2016; DARTS, Liu et al. 2019, who differentiate through one step likewise). A weight whose term pulls
the encoder where F falls is raised. It looks one step ahead and no further: what pays off late is not seen.

P is not fixed: under AdamW, and where gradients are clipped, a step hardly depends on the size of the loss, so that to
multiply all weights by a number changes nothing, and Σ λ_t dF/dλ_t = 0. What the formula says otherwise is taken out
(`without_size`): else all weights would drift together whenever training as a whole moves F.

All of these products come from one forward pass that carries the derivative along P ∇F with it (forward-mode
differentiation), at the price of about one and a half, whatever the number of terms. Finite differences, as DARTS has
them, were tried: in float32 the terms differ too much for any one step length, and pseudo-labels change under it.
"""

import copy
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.optim import AdamW, Optimizer

from elo_cli.core.clip import ClipBatch
from elo_cli.core.train_settings import TrainSettings
from elo_cli.engine.objective import Objective

_RGB = "encoders.rgb."


def preconditioned(gradient: Sequence[Tensor], parameters: Sequence[Tensor], optimizer: Optimizer) -> list[Tensor]:
    """Multiply a gradient by P, as the optimiser would; by 1 where it has no state yet."""
    if not isinstance(optimizer, AdamW):
        return list(gradient)
    (decay, epsilon) = optimizer.defaults["betas"][1], optimizer.defaults["eps"]
    found = []
    for one, parameter in zip(gradient, parameters, strict=True):
        state = optimizer.state.get(parameter)
        if state:
            mean_square = state["exp_avg_sq"] / (1 - decay ** float(state["step"]))
            one = one / (mean_square.sqrt() + epsilon)
        found.append(one)
    return found


def by_weights(objective: Objective, batch: ClipBatch, step: int, direction: Sequence[Tensor]) -> Tensor:
    """Return -⟨v, ∇L_t⟩ of each term, which dF/dλ_t is proportional to.

    Args:
        objective: it is left as it is: the pass, which changes what terms remember, is made by a copy. It is computed in float32.
        batch: clips, where the objective is.
        step: that of the batch.
        direction: v, for each parameter of the RGB encoder.

    Returns:
        Float64 (T,), in the order of `objective.terms`; 0 for a term that does not touch the RGB encoder, or whose
        derivative is no finite number.
    """
    twin = copy.deepcopy(objective)
    twin.weights = dict.fromkeys(twin.weights, 1.0)
    names = [name for name, _ in twin.named_parameters() if name.startswith(_RGB)]
    parameters = dict(twin.named_parameters())
    with torch.no_grad(), forward_ad.dual_level(), torch.autocast(batch.video_B.device.type, enabled=False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's own, of a part of torch that it uses here
            moving = {
                name: forward_ad.make_dual(parameters[name].detach(), part)  # type: ignore[no-untyped-call]
                for name, part in zip(names, direction, strict=True)
            }
            summands = functional_call(twin, moving, (batch, step)).summands
        slopes = [forward_ad.unpack_dual(summands[str(term)]).tangent for term in twin.terms]  # type: ignore[no-untyped-call]
        found = [0.0 if slope is None else -float(slope) for slope in slopes]
    slope_T = torch.tensor(found, dtype=torch.float64)
    return torch.where(torch.isfinite(slope_T), slope_T, 0.0)


def ignores_size(optimizer: Optimizer, settings: TrainSettings) -> bool:
    """Say whether a step stays the same when the loss is multiplied by a number."""
    return isinstance(optimizer, AdamW) or settings.clip_norm > 0


def without_size(slope_T: Tensor, weights_T: Tensor) -> Tensor:
    """Take out of a gradient by weights what changes the size of the loss: its part along the weights.

    Terms of slope 0 do not touch the RGB encoder: they are no part of the size of its loss, and stay at 0.
    """
    touching_T = torch.where(slope_T != 0, weights_T, 0.0)
    square = touching_T.square().sum()
    return slope_T - touching_T * (slope_T @ touching_T) / square if square > 0 else slope_T
