"""The synthesis network of a frozen skip or plain StyleGAN2 on a CPU, with as little memory traffic as torch allows.

The rectifier is positively homogeneous, so demodulation need not touch the features: with the demodulation ``d > 0``,
``lrelu(d y + b + s n) = d lrelu(y + b/d + n s/d)``, and ``d`` goes into the style of whatever reads the features next.
What is left between two convolutions (offset, rectifier, next style, colours) runs strip by strip inside the cache.
Every operation here is a pair: a plain formula, which gives all derivatives and transforms, and a fast kernel of the same value.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semanifold.generators.stylegan2 import winograd
from semanifold.generators.stylegan2.layers import SLOPE, Colour, StyledConv, demodulation, upsample

Tensors = tuple[Tensor, ...]

STRIP = 1 << 18
"""Numbers of a strip of features: a few strips fit into the cache of a core."""


@dataclass(frozen=True)
class Pair:
    """A fast kernel and the plain formula of the same value.

    Attributes:
        plain: tensors to tensors, in operators that every transform knows.
        fast: the same, for ordinary tensors.
        jvp: inputs, outputs and tangents of the inputs to tangents of the outputs; by ``plain`` when None.
        vjp: inputs, outputs and gradients of all outputs but the first, which is there for this purpose alone, to gradients of
            the inputs; by ``plain`` when None.
    """

    plain: Callable[..., Tensors]
    fast: Callable[..., Tensors]
    jvp: Callable[..., Tensors] | None = None
    vjp: Pair | None = None

    def __call__(self, *tensors: Tensor) -> Tensors:
        """Run the fast kernel, differentiable and under transforms like the plain formula."""
        return _Fast.apply(self, *tensors)  # type: ignore[no-any-return]  # torch does not say


class _Fast(torch.autograd.Function):
    """Runs a :class:`Pair`: the fast kernel on ordinary tensors, the plain formula under every transform."""

    @staticmethod
    def forward(pair: Pair, *tensors: Tensor) -> Tensors:
        return pair.fast(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        ctx.pair, ctx.count = inputs[0], len(inputs) - 1
        # an output that nobody used has gradient None, not a tensor of zeros as large as the features
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[1:], *output)
        ctx.save_for_forward(*inputs[1:], *output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        pair, inputs, outputs = ctx.pair, ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        # output 0, the features, is there to be saved; it has a gradient under double backward only
        if pair.vjp is not None and gradients[0] is None:
            return None, *pair.vjp(*inputs, *outputs, *_filled(gradients[1:], outputs[1:]))
        return None, *torch.func.vjp(pair.plain, *inputs)[1](_filled(gradients, outputs))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensors:
        pair, inputs, outputs = ctx.pair, ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        steps = _filled(tangents[1:], inputs)
        if pair.jvp is not None:
            return pair.jvp(*inputs, *outputs, *steps)
        # the vjp is linear in the gradient, and its own vjp is the jvp; forward mode does not nest
        back = torch.func.vjp(pair.plain, *inputs)[1]
        return torch.func.vjp(back, tuple(torch.zeros_like(x) for x in outputs))[1](steps)[0]

    # torch declares fewer arguments than it passes
    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], pair: Pair, *tensors: Tensor) -> tuple[Tensors, tuple[int, ...]]:  # type: ignore[override]
        out = torch.vmap(pair.plain, in_dims[1:], randomness=info.randomness)(*tensors)
        return out, (0,) * len(out)


_Fast.forward.__signature__ = inspect.signature(_Fast.forward)  # type: ignore[attr-defined]  # torch asks for it at every call


def _filled(changes: tuple[Tensor | None, ...], values: Tensors) -> Tensors:
    return tuple(torch.zeros_like(x) if change is None else change for change, x in zip(changes, values))


@dataclass(frozen=True, eq=False)
class Layer:
    """One convolution and all that follows up to the next one.

    With features ``h = lrelu(conv(x, W) + A B)`` of ``[n, hw, out]``, it returns h, ``h t`` where a convolution follows, and the
    colours ``h V`` where a colour layer reads them.

    Attributes:
        weight: ``[out, in, 3, 3]``, frozen.
        up: the convolution doubles the size.
        scaled: whether ``t`` (``[n, out]``) is among the inputs, after x, A (``[n or 1, hw, 2]``) and B (``[n, 2, out]``).
        coloured: whether ``V`` (``[n, out, colours]``) comes last.
    """

    weight: Tensor
    up: bool
    scaled: bool
    coloured: bool

    def pair(self) -> Pair:
        """The layer as a differentiable function of x, A, B, t and V."""
        return Pair(self.plain, self.fast, self.jvp, Pair(self.plain_vjp, self.fast_vjp))

    def plain(self, x: Tensor, a: Tensor, b: Tensor, *rest: Tensor) -> Tensors:
        """The formula: x, A, B, t, V to h, ``h t``, ``h V``."""
        # 1. Convolve; 2. add offsets (rank 2: noise and bias); 3. rectify; 4. scale for the next layer; 5. colours.
        y = _convolve(x, self.weight, up=self.up)
        h = F.leaky_relu(y + _pictures(a @ b, y), SLOPE)
        scaled = (h * rest[0][..., None, None],) if self.scaled else ()
        return h, *scaled, *((_rows(h) @ rest[-1],) if self.coloured else ())

    def fast(self, x: Tensor, a: Tensor, b: Tensor, *rest: Tensor) -> Tensors:
        """The same, what follows the convolution done strip by strip in place."""
        # Winograd needs fewer multiplications, but only pays off for large layers without upsampling
        direct = self.up or not winograd.worthwhile(x, self.weight)
        h = _convolve(x, self.weight, up=self.up) if direct else winograd.convolve(x, self.weight)
        h = h.contiguous(memory_format=torch.channels_last)
        rows, colours = _rows(h), []
        scaled = torch.empty_like(h) if self.scaled else None
        if self.coloured:
            colours = [rows.new_empty(*rows.shape[:2], rest[-1].shape[-1])]
        for s, strip in _strips(rows):
            # in place, one strip after the other, while it lies in the cache
            part = rows[s, strip].addmm_(a[s if len(a) > 1 else 0, strip], b[s])
            F.leaky_relu_(part, SLOPE)
            if scaled is not None:
                torch.mul(part, rest[0][s], out=_rows(scaled)[s, strip])
            if colours:
                torch.mm(part, rest[-1][s], out=colours[0][s, strip])
        return h, *(() if scaled is None else (scaled,)), *colours

    def jvp(self, *tensors: Tensor) -> Tensors:
        """x, A, B, t, V, outputs and tangents of the inputs to tangents of the outputs."""
        count = 3 + self.scaled + self.coloured
        _, a, b, *rest = tensors[:count]
        h, x_step, a_step, b_step, *rest_step = (tensors[count], *tensors[-count:])
        # the tangent of the convolution, that of the offsets, the slope of the rectifier, the product rule
        step = _convolve(x_step, self.weight, up=self.up)
        step = step + _pictures(a_step @ b + a @ b_step, step)
        # h has the sign of what went into the rectifier, which therefore need not be kept
        step = torch.where(h > 0, step, SLOPE * step)
        scaled = (step * rest[0][..., None, None] + h * rest_step[0][..., None, None],) if self.scaled else ()
        colours = (_rows(step) @ rest[-1] + _rows(h) @ rest_step[-1],) if self.coloured else ()
        return step, *scaled, *colours

    def _unpack(
        self, tensors: Tensors
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor, Tensor | None, Tensor | None]:
        """Sort inputs, outputs and gradients: a, b, t, V, h, gradient of h t, gradient of h V."""
        _, a, b, *rest = tensors
        t = rest.pop(0) if self.scaled else None
        v = rest.pop(0) if self.coloured else None
        h = rest[0]
        g_scaled = rest[-1 - self.coloured] if self.scaled else None
        g_colours = rest[-1] if self.coloured else None
        return a, b, t, v, h, g_scaled, g_colours

    def plain_vjp(self, *tensors: Tensor) -> Tensors:
        """x, A, B, t, V, outputs and gradients of ``h t`` and ``h V`` to gradients of x, A, B, t, V."""
        a, b, t, v, h, g_scaled, g_colours = self._unpack(tensors)
        rows, g, rest = _rows(h), torch.zeros(()).to(h), []
        if t is not None and g_scaled is not None:
            # 1. The gradient of h: by way of the scaled features and of the colours.
            g = g_scaled * t[..., None, None]
            rest.append((g_scaled * h).sum((-2, -1)))
        if v is not None and g_colours is not None:
            g = g + _pictures(g_colours @ v.mT, h)
            rest.append(rows.mT @ g_colours)
        # 2. Before the rectifier.
        g = torch.where(h > 0, g, SLOPE * g)
        g_rows = _rows(g)
        # 3. Of the offsets A B, then of the convolution's input.
        g_a = g_rows @ b.mT
        # one noise map for all samples: their gradients add up
        g_a = g_a if a.shape[0] == g_a.shape[0] else g_a.sum(0, keepdim=True)
        return _convolve_back(g, self.weight, up=self.up), g_a, a.mT @ g_rows, *rest

    def fast_vjp(self, *tensors: Tensor) -> Tensors:
        """The same, strip by strip."""
        a, b, t, v, h, g_scaled, g_colours = self._unpack(tensors)
        g = torch.empty_like(h)
        rows, g_rows = _rows(h), _rows(g)
        g_a, g_b = torch.zeros_like(a), torch.zeros_like(b)
        g_t = None if t is None else torch.zeros_like(t)
        g_v = None if v is None else torch.zeros_like(v)
        from_scaled = None if g_scaled is None else _rows(g_scaled.contiguous(memory_format=torch.channels_last))
        # two strips of scratch, used again for all
        room = rows.new_empty(2, min(rows.shape[1], _length(rows)), rows.shape[2])
        for s, strip in _strips(rows):
            part, out, i = rows[s, strip], g_rows[s, strip], s if len(a) > 1 else 0
            before = room[0, : len(part)]
            if from_scaled is not None and t is not None and g_t is not None:
                g_t[s] += torch.mul(from_scaled[s, strip], part, out=before).sum(0)
                torch.mul(from_scaled[s, strip], t[s], out=before)
            if g_colours is not None and v is not None and g_v is not None:
                # beta 0 ignores what `before` held, where no scaled features came first
                torch.addmm(before, g_colours[s, strip], v[s].T, beta=float(t is not None), out=before)
                g_v[s].addmm_(part.T, g_colours[s, strip])
            # from the result, whose sign is that of the input (self_is_result)
            torch.ops.aten.leaky_relu_backward.grad_input(before, part, SLOPE, True, grad_input=out)
            g_b[s].addmm_(a[i, strip].T, out)
            g_a[i, strip].addmm_(out, b[s].T)
        direct = self.up or not winograd.worthwhile(g, self.weight)
        g_x = _convolve_back(g, self.weight, up=self.up) if direct else winograd.convolve(g, self.weight, adjoint=True)
        return g_x, g_a, g_b, *[x for x in (g_t, g_v) if x is not None]


def _rows(x: Tensor) -> Tensor:
    """``[..., c, h, w]`` to ``[..., h w, c]``; a view where the channels are last in memory."""
    return x.flatten(-2).mT


def _pictures(rows: Tensor, like: Tensor) -> Tensor:
    """``[..., h w, c]`` to ``[..., c, h, w]``."""
    return rows.mT.unflatten(-1, like.shape[-2:])


def _length(rows: Tensor) -> int:
    return max(1, STRIP // rows.shape[2])


def _strips(rows: Tensor) -> list[tuple[int, slice]]:
    """Cut ``[n, hw, c]`` into pieces of one sample that fit into the cache."""
    step = _length(rows)
    return [(s, slice(i, i + step)) for s in range(rows.shape[0]) for i in range(0, rows.shape[1], step)]


def _filter(x: Tensor, padding: int) -> Tensor:
    # (1, 3, 3, 1) / 4 along both axes
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25], dtype=x.dtype, device=x.device)
    return F.conv2d(x, torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4), padding=padding, groups=x.shape[1])


def _convolve(x: Tensor, weight: Tensor, *, up: bool) -> Tensor:
    if up:
        # zero insertion and 3 x 3 kernel give 2 h + 1; the 4 x 4 filter with a border of 1 leaves 2 h
        return _filter(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1)
    return F.conv2d(x, weight, padding=1)


def _convolve_back(g: Tensor, weight: Tensor, *, up: bool) -> Tensor:
    """The adjoint of :func:`_convolve` in x."""
    if up:
        return F.conv2d(_filter(g, 2), weight.transpose(0, 1), stride=2)
    return F.conv_transpose2d(g, weight, padding=1)


def fused_pictures(
    start: Tensor,
    convs: Sequence[StyledConv],
    colours: Sequence[Colour],
    styles: Sequence[Tensor],
    tints: Sequence[Tensor],
    maps: Sequence[Tensor | None],
) -> Tensor:
    """Pictures of a skip generator (one colour layer a resolution) or of a plain stack (one at the end).

    Args:
        start: ``[n, c, h, w]`` the constant, channels last in memory.
        convs: the convolutions to run; every second one, from the second on, doubles the size.
        colours: colour layers, of every resolution or of the last alone.
        styles: ``[n, in]`` of each convolution.
        tints: ``[n, in]`` styles of each colour layer.
        maps: one noise map per convolution, or None.

    Returns:
        ``[n, colours, h, w]``.
    """
    # 1. The style of the first layer; all others are applied where features are made.
    skip = len(colours) > 1
    x, picture = start * styles[0][..., None, None], None
    for i, conv in enumerate(convs):
        last = i == len(convs) - 1
        coloured = last or (skip and i % 2 == 0)
        # 2. Demodulation d and the rectifier's gain sqrt(2) are positive, so both go through it into what reads h next.
        demodulated = demodulation(styles[i], conv.weight)
        scale = math.sqrt(2) * demodulated
        # offsets are inside of the rectifier, hence over d
        a, b = _offsets(conv, maps[i], demodulated)
        rest = [] if last else [scale * styles[i + 1]]
        place = i // 2 if skip else 0
        colour = colours[place]
        # 3. Colours of this size over the enlarged picture so far.
        if coloured:
            rest.append(_colour_matrix(colour, tints[place], scale))
        _, *out = Layer(conv.weight, conv.up, not last, coloured).pair()(x, a, b, *rest)
        if coloured:
            added = out.pop().mT.unflatten(-1, conv.size) + colour.bias[:, None, None]
            picture = added if picture is None else upsample(picture) + added
        x = out[0] if out else x
    assert picture is not None
    return picture


def _offsets(conv: StyledConv, noise: Tensor | None, demodulated: Tensor) -> tuple[Tensor, Tensor]:
    """``(s n + b) / d`` as a product of ``[n or 1, hw, 2]`` and ``[n, 2, c]``."""
    if noise is None:
        noise = torch.zeros_like(conv.noise)
    noise = noise.reshape(-1, conv.size[0] * conv.size[1])
    a = torch.stack([noise, torch.ones_like(noise)], -1)
    b = torch.stack([conv.noise_strength.expand_as(conv.bias), conv.bias])
    return a, b / demodulated[:, None]


def _colour_matrix(colour: Colour, tint: Tensor, scale: Tensor) -> Tensor:
    """The 1 x 1 kernel of every sample, ``[n, c, colours]``, features still to be scaled."""
    styles = tint * scale / math.sqrt(colour.weight.shape[1])
    return styles[..., None] * colour.weight[:, :, 0, 0].T
