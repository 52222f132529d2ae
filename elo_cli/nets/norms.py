"""Batch norm over the clips of all processes that train together."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from elo_cli import dist


def synchronise(module: nn.Module) -> None:
    """Let every batch norm within a module take its statistics over the clips of all ranks.

    On CUDA it is PyTorch's own `SyncBatchNorm`, which knows no processors; there it is ours.
    """
    if dist.on_gpus():
        nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return
    for part in module.modules():
        if type(part) in _SHARED:
            part.__class__ = _SHARED[type(part)]


class _Shared(nn.modules.batchnorm._BatchNorm):
    """Ioffe & Szegedy 2015, with mean and variance over all ranks; a rank may have no clip at all."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        output, mean_C, variance_C, count = _Normalise.apply(input, self.weight, self.bias, self.eps)
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean_C, self.momentum)
            self.running_var.lerp_(variance_C * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        return cast(Tensor, output)


class _Shared2d(_Shared, nn.BatchNorm2d):
    pass


class _Shared3d(_Shared, nn.BatchNorm3d):
    pass


_SHARED: dict[type[nn.Module], type[nn.Module]] = {nn.BatchNorm2d: _Shared2d, nn.BatchNorm3d: _Shared3d}


class _Normalise(torch.autograd.Function):
    """y = w (x − μ) / √(σ² + ε) + b over all ranks; also gives back μ, σ² (biased) and how many numbers they are of."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight_C: Tensor, bias_C: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        places, channels = _places(input), input.shape[1]
        plain = input.float()
        found = torch.cat([plain.sum(places), torch.tensor([float(input.numel() // channels)], device=input.device)])
        found = dist.total(found)
        count = found[channels]
        mean_C = found[:channels] / count
        # In two passes: the mean of squares less the square of the mean would lose what is small beside the mean.
        variance_C = dist.total((plain - _spread(mean_C, input)).square().sum(places)) / count
        output = functional.batch_norm(input, mean_C, variance_C, weight_C, bias_C, False, 0.0, eps)
        ctx.save_for_backward(input, weight_C, mean_C, (variance_C + eps).rsqrt(), count)
        ctx.mark_non_differentiable(mean_C, variance_C, count)
        return output, mean_C, variance_C, count

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        input, weight_C, mean_C, scale_C, count = ctx.saved_tensors
        places, gradient = _places(input), gradients[0].float()
        normal = (input.float() - _spread(mean_C, input)) * _spread(scale_C, input)
        bias_C, slope_C = gradient.sum(places), (gradient * normal).sum(places)
        mean_bias_C, mean_slope_C = (dist.total(torch.cat([bias_C, slope_C])) / count).chunk(2)
        rest = gradient - _spread(mean_bias_C, input) - normal * _spread(mean_slope_C, input)
        return (rest * _spread(weight_C * scale_C, input)).to(input.dtype), slope_C, bias_C, None


def _places(input: Tensor) -> list[int]:
    return [axis for axis in range(input.dim()) if axis != 1]


def _spread(each_C: Tensor, input: Tensor) -> Tensor:
    return each_C.view(1, -1, *[1] * (input.dim() - 2))
