"""Batch normalisation over the batches of all processes, on any device.

Our own: ``torch.nn.SyncBatchNorm`` works on GPUs only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _SumOverProcesses(torch.autograd.Function):
    """The sum over all processes; so is its gradient, because every process's loss depends on it."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


class GlobalBatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167) with the statistics of the batches of all processes.

    PyTorch's own (``SyncBatchNorm``) runs on GPUs only. It shares the weights and the running statistics of the layer that it
    stands in for. All processes must bring batches of the same size.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, layer: _BatchNorm) -> None:
        """Stand in for a layer with weights, running statistics and a fixed momentum."""
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps
        self.momentum = 0.1 if layer.momentum is None else layer.momentum
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(layer, name))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[n, c, ...]``."""
        shape = (1, -1, *[1] * (x.ndim - 2))
        mean, variance = (self.running_mean, self.running_var) if not self.training else self._statistics(x.float())
        scale = self.weight * (variance + self.eps).rsqrt()
        return ((x.float() - mean.reshape(shape)) * scale.reshape(shape) + self.bias.reshape(shape)).to(x.dtype)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        others = [0, *range(2, x.ndim)]
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _SumOverProcesses.apply(x.sum(others)) / count
        centred = x - mean.reshape(1, -1, *[1] * (x.ndim - 2))
        variance = _SumOverProcesses.apply(centred.square().sum(others)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        return mean, variance


@contextmanager
def global_statistics(networks: Iterable[nn.Module], processes: int) -> Iterator[None]:
    """Let the batch normalisations of networks look at the batches of all processes inside this context."""
    places = [
        (parent, name, child)
        for network in networks
        for parent in network.modules()
        for name, child in parent.named_children()
        if processes > 1 and isinstance(child, _BatchNorm)
    ]
    for parent, name, child in places:
        setattr(parent, name, GlobalBatchNorm(child).train(child.training))
    try:
        yield
    finally:
        for parent, name, child in places:
            setattr(parent, name, child)
