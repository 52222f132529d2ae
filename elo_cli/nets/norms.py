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
    """y = w (x − μ) / √(σ² + ε) + b over all ranks; also gives back μ, σ² (biased) and how many numbers they are of.

    Each pass over the clips is one of PyTorch's own kernels, which read them once; what ranks tell each other are sums.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight_C: Tensor, bias_C: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        channels = input.shape[1]
        own_mean_C, own_variance_C = torch.zeros_like(weight_C), torch.zeros_like(weight_C)
        if input.numel():
            # Told of running statistics in float32 (and to leave them), the kernel does not round to the input's bfloat16.
            own_mean_C, own_variance_C = torch.batch_norm_update_stats(input, own_mean_C, own_variance_C, 0.0)
        own_count = torch.full((1,), float(input.numel() // channels), device=input.device)
        # All at once, since ranks wait for one another at each exchange: (W, C), (W, C) and (W, 1).
        told_W = dist.everyone(torch.cat([own_mean_C, own_variance_C, own_count])[None])
        mean_WC, variance_WC, count_W1 = torch.split(told_W, [channels, channels, 1], 1)
        count = count_W1.sum()
        mean_C = (count_W1 * mean_WC).sum(0) / count
        # Chan, Golub, LeVeque 1979: the mean of squares less the square of the mean would lose what is small beside the mean.
        variance_C = (count_W1 * (variance_WC + (mean_WC - mean_C).square())).sum(0) / count
        output = _affine(input, mean_C, variance_C, weight_C, bias_C, eps)
        ctx.save_for_backward(input, weight_C, mean_C, variance_C, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean_C, variance_C, count)
        return output, mean_C, variance_C, count

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        input, weight_C, mean_C, variance_C, count = ctx.saved_tensors
        scale_C = (variance_C + ctx.eps).rsqrt()
        # As if μ and σ² were given: w g / √(σ² + ε), Σ g x̂ and Σ g.
        given, slope_C, bias_C = gradients[0], torch.zeros_like(weight_C), torch.zeros_like(weight_C)
        if input.numel():
            given, slope_C, bias_C = torch.ops.aten.native_batch_norm_backward(
                gradients[0], input, weight_C, mean_C, variance_C, None, None, False, ctx.eps, [True, True, True]
            )
        mean_slope_C, mean_bias_C = (dist.total(torch.cat([slope_C, bias_C])) / count).chunk(2)
        # What hangs on μ and σ²: w (mean of g + x̂ · mean of g x̂) / √(σ² + ε), which is linear in x as a norm is.
        through = weight_C * scale_C
        return (
            given - _affine(input, mean_C, variance_C, through * mean_slope_C, through * mean_bias_C, ctx.eps),
            slope_C,
            bias_C,
            None,
        )


def _affine(input: Tensor, mean_C: Tensor, variance_C: Tensor, weight_C: Tensor, bias_C: Tensor, eps: float) -> Tensor:
    """Normalise by what is given; no clip at all stays none, which PyTorch's kernel divides by (torch 2.15)."""
    if not input.numel():
        return torch.empty_like(input)
    return functional.batch_norm(input, mean_C, variance_C, weight_C, bias_C, False, 0.0, eps)
