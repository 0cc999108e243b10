"""A weight that differs from sample to sample of a batch, as a sum of a few kernels that the samples share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semanifold.core.errors import SemanifoldError

LINEAR = (
    torch.Tensor.transpose,
    torch.Tensor.t,
    torch.t,
    torch.Tensor.permute,
    torch.Tensor.flatten,
    torch.Tensor.reshape,
    torch.Tensor.flip,
    torch.Tensor.contiguous,
    torch.flatten,
    torch.flip,
    F.pad,
    F.interpolate,
)
"""Functions of a weight that are linear in it, and so can be taken of every kernel."""
SCALING = (torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__rmul__, torch.mul)
DIVIDING = (torch.Tensor.div, torch.Tensor.__truediv__, torch.div)
MATRICES = (torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.mm, torch.matmul, torch.mm)
"""Products of features, the rows of a matrix, and a weight."""
PRODUCTS: tuple[Callable[..., Tensor], ...] = (F.conv2d, F.conv_transpose2d, F.linear)


@dataclass(frozen=True, eq=False)
class Group:
    """Samples of a batch that use the same kernels.

    Attributes:
        rows: their numbers ``[m]``; None for all of the batch.
        kernels: numbers of the kernels beside the first, which all samples use.
    """

    rows: Tensor | None
    kernels: tuple[int, ...]


class MixedWeight:
    """The weights ``W_n = sum_m c_nm B_m`` of a layer, one for every sample n, which takes the place of a parameter.

    A layer that is linear in its weight is run once per kernel, on the samples that use it, and the results are added up: a batch
    whose samples go different distances along one direction costs one more convolution, whatever its size. What a module does
    with its weight before that, such as scaling or turning it, is done to every kernel. (It has ``__torch_function__``, so that
    torch's functions take it for a tensor.)
    """

    def __init__(self, kernels: Sequence[Tensor], coefficients: Tensor, groups: Sequence[Group]) -> None:
        """Join the parts.

        Args:
            kernels: ``B_0`` that all samples use, then the others, all of one shape.
            coefficients: ``[n, M]``.
            groups: which samples use which of the others; every sample is in one group.
        """
        self.kernels, self.coefficients, self.groups = list(kernels), coefficients, list(groups)

    @classmethod
    def along(cls, weight: Tensor, directions: Callable[[int], Tensor], index: Tensor, magnitude: Tensor) -> MixedWeight:
        """Return ``W + sum_j magnitude_nj direction(index_nj)``.

        Args:
            weight: ``W``.
            directions: number of a direction to a tensor of the shape of W; called once per number.
            index: ``[n, J]`` which directions each sample takes.
            magnitude: ``[n, J]`` how far.
        """
        numbers, places = torch.unique(index, return_inverse=True)
        sets, members = torch.unique(places, dim=0, return_inverse=True)
        coefficients = magnitude.new_zeros(len(index), len(numbers) + 1)
        coefficients = coefficients.scatter_add(1, places + 1, magnitude)
        coefficients = torch.cat([torch.ones_like(coefficients[:, :1]), coefficients[:, 1:]], 1)
        groups = [
            Group(None if len(sets) == 1 else (members == i).nonzero().flatten(), tuple(sorted({k + 1 for k in row})))
            for i, row in enumerate(map(whole_numbers, sets))
        ]
        return cls([weight, *(directions(k).to(weight) for k in whole_numbers(numbers))], coefficients, groups)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.coefficients)

    def plus(self, other: MixedWeight) -> MixedWeight:
        """Return the weights with the changes of another one of the same batch on top; both begin at the same ``B_0``."""
        count = len(self.kernels) - 1
        groups = []
        for mine in self.groups:
            for theirs in other.groups:
                rows = _both(mine.rows, theirs.rows)
                if rows is None or len(rows):
                    groups.append(Group(rows, mine.kernels + tuple(k + count for k in theirs.kernels)))
        ours, others = _expanded(self.coefficients, other.coefficients)
        return MixedWeight([*self.kernels, *other.kernels[1:]], torch.cat([ours, others[:, 1:]], 1), groups)

    def of(self, sample: int) -> Tensor:
        """Return the weight of one sample."""
        return sum((c * kernel for c, kernel in zip(self.coefficients[sample], self.kernels)), torch.zeros_like(self.kernels[0]))

    def dense(self) -> Tensor:
        """Return the weights of all samples, ``[n, *shape]``."""
        kernels = torch.stack(self.kernels)
        return (self.coefficients.to(kernels) @ kernels.flatten(1)).unflatten(1, kernels.shape[1:])

    def mapped(self, function: Callable[[Tensor], Tensor]) -> MixedWeight:
        """Return what a linear function makes of the weights."""
        return MixedWeight([function(kernel) for kernel in self.kernels], self.coefficients, self.groups)

    def scaled(self, factor: Tensor) -> MixedWeight:
        """Return the weights, each times its own number of ``[n]``."""
        return MixedWeight(self.kernels, self.coefficients * factor[:, None], self.groups)

    def product(self, layer: Callable[[Tensor, Tensor], Tensor], x: Tensor) -> Tensor:
        """Return what a layer makes of features.

        Args:
            layer: features and a kernel to features, linear in the kernel.
            x: features of n samples, or of one that all weights share, and that is worked on once per kernel.
        """
        plain = layer(x, self.kernels[0])
        shape = (-1, *[1] * (plain.ndim - 1))
        total = self.coefficients[:, 0].reshape(shape) * plain
        for group in self.groups:
            part = x if group.rows is None or len(x) == 1 else x[group.rows]
            c = self.coefficients if group.rows is None else self.coefficients[group.rows]
            for k in group.kernels:
                added = c[:, k].reshape(shape) * layer(part, self.kernels[k])
                total = total + added if group.rows is None else total.index_add(0, group.rows, added)
        return total

    def squares(self, styles: Tensor) -> Tensor:
        """Return ``sum_{i,k} styles_ni W_noik^2``, the quadratic in the coefficients that demodulation needs, ``[n, out]``.

        Args:
            styles: ``[n, in]``, or ``[1, in]`` for all weights.
        """
        styles = styles.expand(max(len(styles), len(self)), -1)
        coefficients = self.coefficients.expand(len(styles), -1)
        total = styles.new_zeros(len(styles), self.shape[0])
        for group in self.groups:
            s, c = (x if group.rows is None else x[group.rows] for x in (styles, coefficients))
            used, energies = (0, *group.kernels), styles.new_zeros(len(s), self.shape[0])
            for place, k in enumerate(used):
                for other in used[place:]:
                    matrix = (self.kernels[k] * self.kernels[other]).sum((2, 3))
                    energies = energies + (1 if k == other else 2) * (c[:, k] * c[:, other])[:, None] * (s @ matrix.T)
            total = energies if group.rows is None else total.index_copy(0, group.rows, energies)
        return total

    @property
    def shape(self) -> torch.Size:
        """Of one weight."""
        return self.kernels[0].shape

    @property
    def ndim(self) -> int:
        """Of one weight."""
        return self.kernels[0].ndim

    @property
    def dtype(self) -> torch.dtype:
        """Of the numbers."""
        return self.kernels[0].dtype

    @property
    def device(self) -> torch.device:
        """Where the numbers lie."""
        return self.kernels[0].device

    @property
    def T(self) -> MixedWeight:
        """See :attr:`torch.Tensor.T`."""
        return self.mapped(lambda kernel: kernel.T)

    @property
    def mT(self) -> MixedWeight:
        """See :attr:`torch.Tensor.mT`."""
        return self.mapped(lambda kernel: kernel.mT)

    def size(self, *dim: int) -> Any:
        """See :meth:`torch.Tensor.size`."""
        return self.kernels[0].size(*dim)

    def __getattr__(self, name: str) -> Any:
        """Give the methods of tensors that are linear functions."""
        method: Any = getattr(torch.Tensor, name, None)
        if name.startswith("__") or method not in LINEAR:
            raise AttributeError(f"A weight that differs from sample to sample has no {name}.")
        return lambda *args, **options: self.mapped(lambda kernel: method(kernel, *args, **options))

    def __mul__(self, factor: Tensor | float) -> MixedWeight:
        return self.mapped(lambda kernel: kernel * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Tensor | float) -> MixedWeight:
        return self.mapped(lambda kernel: kernel / divisor)

    def __rmatmul__(self, x: Tensor) -> Tensor:
        return self.product(torch.matmul, x)

    def __add__(self, other: MixedWeight) -> MixedWeight:
        """Add two linear functions of the same weights."""
        if not isinstance(other, MixedWeight) or other.coefficients is not self.coefficients:
            return NotImplemented
        return MixedWeight([a + b for a, b in zip(self.kernels, other.kernels)], self.coefficients, self.groups)

    def __getitem__(self, place: Any) -> MixedWeight:
        return self.mapped(lambda kernel: kernel[place])

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), options: Mapping[str, Any] | None = None
    ) -> Any:
        options = options or {}
        if function in PRODUCTS and isinstance(args[1], MixedWeight):
            x, weight, rest = args[0], args[1], args[3:]
            bias = args[2] if len(args) > 2 else options.get("bias")
            more = {key: value for key, value in options.items() if key != "bias"}
            y = weight.product(lambda x, kernel: function(x, kernel, None, *rest, **more), x)
            return y if bias is None else y + (bias if function is F.linear else bias[:, None, None])
        if function in MATRICES and isinstance(args[1], MixedWeight):
            return args[1].product(torch.matmul, args[0])
        if function in LINEAR and isinstance(args[0], MixedWeight):
            return args[0].mapped(lambda kernel: function(kernel, *args[1:], **options))
        if function in SCALING:
            weight, factor = args if isinstance(args[0], MixedWeight) else args[::-1]
            return weight * factor
        if function in DIVIDING and isinstance(args[0], MixedWeight):
            return args[0] / args[1]
        raise SemanifoldError(
            f"The weight of this layer cannot be edited: its module uses it in {getattr(function, '__name__', function)}, which "
            "is not known to be linear; choose another layer."
        )


def whole_numbers(tensor: Tensor) -> list[int]:
    """Return the numbers of ``[n]``, also inside of a forward derivative, where ``tolist`` fails in torch 2.6."""
    return [int(number) for number in tensor]


def _both(rows: Tensor | None, others: Tensor | None) -> Tensor | None:
    """Return the samples that are in two groups."""
    if rows is None or others is None:
        return others if rows is None else rows
    return rows[torch.isin(rows, others)]


def _expanded(ours: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    n = max(len(ours), len(others))
    return ours.expand(n, -1), others.expand(n, -1)
