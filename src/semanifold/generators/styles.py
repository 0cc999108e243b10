"""Generators whose layers are steered by styles: affine maps of the codes w of their layers, as in StyleGAN2 and StyleGAN3."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, of_type, shown
from semanifold.core.latents import LABELS, Latents
from semanifold.generators.base import Generator
from semanifold.generators.seeds import Seeds


@dataclass(frozen=True)
class StyleLayer:
    """One layer that a code of w+ drives.

    Attributes:
        name: path of its module, so that ``f"{name}.weight"`` is the key of its raw weight in the state dict.
        index: position of its code in w+.
        size: height of its output; the width is in proportion.
        kind: ``"up"`` (doubles the size), ``"conv"``, ``"colour"``, or ``"input"``: no features but where they are.
        channels: numbers of its style: the channels of its input.
    """

    name: str
    index: int
    size: int
    kind: Literal["up", "conv", "colour", "input"]
    channels: int


class Styled(Generator):
    """A generator of the spaces z, w, w+ and s: a mapping network, and layers with an affine map of w each.

    Attributes:
        layers: which code of w+ drives which layer at which resolution, in the order of computation, which is also that of their
            styles in a code of s.
        w_avg: ``[w_dim]`` mean w, the centre of truncation.
        mapping: the network z (and class weights) to w.
    """

    truncates = True
    layers: tuple[StyleLayer, ...]
    w_avg: Tensor
    mapping: nn.Module

    def layer_styles(self, latents: Latents, layers: Sequence[StyleLayer] | None = None) -> dict[str, Tensor]:
        """Return the style ``[n, channels]`` of some layers, of all when None, by their names."""
        layers = self.layers if layers is None else layers
        if latents.space == "s":
            parts = latents.values.split([layer.channels for layer in self.layers], dim=-1)
            return {layer.name: part for layer, part in zip(self.layers, parts) if layer in layers}
        ws = self.convert(latents, "w+").values
        return {layer.name: self.get_submodule(layer.name).affine(ws[:, layer.index]) for layer in layers}  # type: ignore[operator]  # each has one

    def convert(self, latents: Latents, space: str) -> Latents:
        """Carry codes from z to w (the mapping network, with labels), w to w+ (the same code for every layer), w+ to s (styles).

        Labels stay with the codes, so that others of the same class can be drawn; pictures of w, w+ and s do not depend on them.
        """
        self.check_space(space)
        if latents.space == "z" and space in ("w", "w+", "s"):
            labels = self.condition(latents, LABELS) if self.classes else None
            latents = latents.with_values(self.mapping(latents.values, labels), "w")
        if latents.space == "w" and space in ("w+", "s"):
            latents = latents.with_values(latents.values[:, None].repeat(1, self.spaces["w+"].layers, 1), "w+")
        if latents.space == "w+" and space == "s":
            latents = latents.with_values(torch.cat(list(self.layer_styles(latents).values()), dim=-1), "s")
        return super().convert(latents, space)

    def channel_index(self, name: str) -> int:
        """Return the place in a code of s of a channel such as ``"6_364"``: layer 6, channel 364, both counted from 0.

        Layers are numbered as they are computed, the colour layers among them (Wu et al. 2021, StyleSpace, arXiv:2011.12799): of
        a skip generator 0 is the first convolution, 1 its colours, 2 and 3 the convolutions of the next size, 4 its colours.

        Raises:
            SemanifoldError: if there is no such channel; it says which there are.
        """
        of_type(name, str, "A channel is called by its name")
        match = re.fullmatch(r"(\d{1,4})_(\d{1,6})", name)
        if match is None:
            raise SemanifoldError(
                f"A channel is called by its layer and its number in it, such as 6_12, but {shown(name, 40)!r} was given."
            )
        layer, channel = int(match[1]), int(match[2])
        if layer >= len(self.layers):
            raise SemanifoldError(f"There is no channel {name}: {self.name} has the layers 0..{len(self.layers) - 1}.")
        width = self.layers[layer].channels
        if channel >= width:
            raise SemanifoldError(
                f"There is no channel {name}: layer {layer} of {self.name} has the channels {layer}_0 to {layer}_{width - 1}."
            )
        return sum(before.channels for before in self.layers[:layer]) + channel

    def channel_name(self, index: int) -> str:
        """Return the name of the channel at a place in a code of s; see :meth:`channel_index`.

        Raises:
            SemanifoldError: if there is no such place.
        """
        total = self.spaces["s"].numbers
        of_type(index, int, "A place in a code is a whole number")
        if not 0 <= index < total:
            raise SemanifoldError(f"Codes of s have the places 0..{total - 1} in {self.name}, not {shown(str(index), 20)}.")
        for place, layer in enumerate(self.layers):
            if index < layer.channels:
                return f"{place}_{index}"
            index -= layer.channels
        raise AssertionError("the layers make up the code")

    def sample(
        self,
        seeds: Seeds,
        space: str | None = None,
        *,
        labels: Tensor | Sequence[int] | int | None = None,
        conditions: Mapping[str, Tensor] | None = None,
        truncation: float = 1.0,
        cutoff: int | None = None,
    ) -> Latents:
        """Draw one code per seed; see :meth:`Generator.sample`.

        Args:
            seeds: one whole number per code.
            space: space of the result; without it z, or what :meth:`truncate` returns.
            labels: class index or ``[n, classes]`` weights.
            conditions: the same by its name, ``{"labels": weights}``.
            truncation: psi of :meth:`truncate`.
            cutoff: cutoff of :meth:`truncate`.
        """
        latents = super().sample(seeds, labels=labels, conditions=conditions)
        if truncation != 1:
            latents = self.truncate(latents, truncation, cutoff)
            if space == "z":
                raise SemanifoldError(
                    "Truncated codes live in w or w+, not in z; leave truncation= out or choose another space=."
                )
        return self.convert(latents, space or latents.space)

    def affine_maps(self, space: str, layers: tuple[int, int] | None = None) -> list[Tensor] | None:
        """See :meth:`Generator.affine_maps`: from w to the styles of the convolutions that these layers of w+ drive."""
        if space == "z":
            return None
        if space == "s":
            raise SemanifoldError(f"Codes of s are styles already, which no map of {self.name} meets; take w or w+.")
        first, stop = layers or (0, self.spaces["w+"].layers)
        state = self.state_dict()
        chosen = [layer for layer in self.layers if layer.kind not in ("input", "colour") and first <= layer.index < stop]
        return [state[f"{layer.name}.affine.weight"] for layer in chosen]

    def truncate(self, latents: Latents, psi: float, cutoff: int | None = None) -> Latents:
        """Pull codes towards the mean: ``w_avg + psi (w - w_avg)`` (Karras et al. 2019, arXiv:1812.04948, appendix B).

        Args:
            latents: codes of z, w, w+ or s.
            psi: 0 for the mean picture, 1 for no change.
            cutoff: only the first so many layers of w+ are pulled; all when None.

        Returns:
            Codes of s or w+ if they were given there, of w+ if a cutoff is given, else of w.
        """
        # 1. To the space in which codes are pulled: w, or w+ where layers are told apart.
        if latents.space != "s":
            latents = self.convert(latents, "w+" if cutoff is not None or latents.space == "w+" else "w")
        # 2. The mean code there. Styles are affine in w, so pulling in s is pulling in w+.
        mean = self.convert(Latents(self.w_avg[None], "w"), latents.space).values
        pulled = torch.lerp(mean.expand_as(latents.values), latents.values, psi)
        if cutoff is None:
            return latents.with_values(pulled)
        # 3. Only the first layers: codes of others stay; a channel of s belongs to the layer of w+ that drives it.
        driven = torch.arange(self.spaces["w+"].layers, device=pulled.device)[:, None]
        if latents.space == "s":
            places = [torch.full((layer.channels,), layer.index, device=pulled.device) for layer in self.layers]
            driven = torch.cat(places)
        return latents.with_values(torch.where(driven >= cutoff, latents.values, pulled))

    def mix(self, a: Latents, b: Latents, layers: tuple[int, int]) -> Latents:
        """Style mixing: the codes of ``a`` in w+ with those of ``b`` in the layers ``first .. last`` of ``(first, last + 1)``.

        Raises:
            SemanifoldError: for a layer range that is not there or batches that do not fit.
        """
        (first, stop), count = layers, self.spaces["w+"].layers
        if not 0 <= first < stop <= count:
            raise SemanifoldError(f"{self.name} has the layers 0..{count - 1}; {first}..{stop - 1} is no range of them.")
        if len(a) != len(b) and 1 not in (len(a), len(b)):
            raise SemanifoldError(f"{len(a)} and {len(b)} codes cannot be mixed; give equally many, or one for all.")
        index = torch.arange(count, device=a.values.device)[:, None]
        chosen = (index >= first) & (index < stop)
        layered = self.convert(a, "w+")
        return layered.with_values(torch.where(chosen, self.convert(b, "w+").values, layered.values))
