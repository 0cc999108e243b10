"""What an edit really changed: the factors of a bundled face, each weighted by the pixels that it moves at that face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.shapes import EachFactor, EachPicture, Effects, FactorsOfPictures, Mask1, OfFactors
from semanifold.images.metrics import area_resized
from semanifold.worlds.faces.factors import FACTORS, REGIONS

Renderer = Callable[[Tensor], Tensor]
"""Factors ``[n, F]`` to pictures ``[n, 3, h, w]``."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Where the factors of a picture come from.

    Attributes:
        factors: ``(codes, pictures) -> [n, F]`` factors in [0, 1]: exact from the codes of the analytic generator, read from the
            pictures of a trained one.
        render: the renderer at the pictures' size.
        noise: ``[F]`` reading error of a factor's change, subtracted from its size; zeros where the factors are exact.
        source: in words, where the factors come from.
    """

    factors: Callable[[Latents, Tensor], Tensor]
    render: Renderer
    noise: Tensor
    source: str


def pixel_effects(factors: FactorsOfPictures, render: Renderer, *, step: float = 0.02) -> Effects:
    """Return how strongly each factor moves each pixel of one face ``[F, 1, h, w]``, in picture units per unit of the factor.

    The root mean square over channels of the central difference ``(R(f + s e_j) - R(f - s e_j)) / 2s``, one-sided at the ends
    of a factor's range.

    Args:
        factors: ``[1, F]`` of the face.
        render: the renderer.
        step: s.
    """
    if factors.ndim != 2 or factors.shape[0] != 1:
        raise SemanifoldError(f"Pixel effects are measured at one face, factors [1, F], but these are {list(factors.shape)}.")
    shift = step * torch.eye(factors.shape[1]).to(factors)
    up, down = (factors + shift).clamp(0, 1), (factors - shift).clamp(0, 1)
    width = (up - down).diagonal()[:, None, None, None]
    return ((render(up) - render(down)) / width).square().mean(dim=1, keepdim=True).sqrt()


def pixel_weights(effects: Effects) -> EachFactor:
    """Return one weight a factor ``[F]``: the root mean square of its :func:`pixel_effects` over the picture."""
    return effects.square().mean(dim=(1, 2, 3)).sqrt()


def own_factors(mask_name: str, mask: Mask1, effects: Effects) -> OfFactors:
    """Return which factors belong to a mask ``[F]`` bool.

    The factors of the region where the mask is named after one (``"mouth"``), the factors of all other regions for its complement
    (``"~eyes"``); for any other mask the factors more than half of whose squared pixel effect lies inside.

    Args:
        mask_name: name of the mask.
        mask: ``[1, 1, h, w]``.
        effects: ``[F, 1, h, w]`` of the face, from :func:`pixel_effects`.
    """
    region = mask_name.removeprefix("~")
    if region in REGIONS:
        inside = torch.tensor([factor.region == region for factor in FACTORS])
        return ~inside if mask_name.startswith("~") else inside
    squared = effects.square()
    weight = area_resized(mask.to(squared), squared.shape[-2], squared.shape[-1])
    return ((squared * weight).sum(dim=(1, 2, 3)) > 0.5 * squared.sum(dim=(1, 2, 3))).cpu()


def truth_share(change: FactorsOfPictures, weights: EachFactor, own: OfFactors, noise: EachFactor) -> EachPicture:
    """Return the share of the factors' change that falls on the mask's own factors ``[n]``: 0 to 1; higher is better.

    ``sum_own w_j |d_j| / sum_j w_j |d_j|`` with ``|d_j|`` lowered by the reading error and not below 0; a factor that moves no
    pixel at this face (the iris behind a closed lid) has weight 0. NaN where no factor changes.

    Args:
        change: ``[n, F]`` factors of the edited pictures minus those of the unedited one.
        weights: ``[F]`` from :func:`pixel_weights`.
        own: ``[F]`` from :func:`own_factors`.
        noise: ``[F]`` reading error.
    """
    moved = (change.abs() - noise.to(change)).clamp(min=0) * weights.to(change)
    return moved[:, own.to(moved.device)].sum(1) / moved.sum(1)


@dataclass(frozen=True, eq=False)
class Reading:
    """How well factors are read from pictures, measured on renderings whose factors are known.

    Attributes:
        error: ``[F]`` root mean square error of a factor's read change.
        ceiling: mask name → truth share that is read where only the mask's own factors changed (1 with a perfect reader).
        floor: mask name → truth share that is read where only other factors changed (0 with a perfect reader).
    """

    error: Tensor
    ceiling: dict[str, float]
    floor: dict[str, float]


@torch.no_grad()
def calibrate(
    read: Callable[[Tensor], Tensor], render: Renderer, regions: tuple[str, ...], *, faces: int = 16, seed: int = 0
) -> Reading:
    """Measure a reader on pairs of renderings that differ in the factors of one region, or in all others.

    A reader fills in errors wherever the picture changes, so the error is that of changes, in the presence of others. It is
    measured on the first half of the faces; ceiling and floor, with that error subtracted, on the second.

    Args:
        read: pictures to factors ``[n, F]``.
        render: factors to pictures.
        regions: mask names of interest.
        faces: random faces a region; even.
        seed: of the faces.
    """
    draw = torch.Generator().manual_seed(seed)
    before, after = (torch.rand(faces, len(FACTORS), generator=draw) for _ in range(2))
    columns = {name: torch.tensor([f.region == name.removeprefix("~") for f in FACTORS]) for name in regions}
    owned = {name: ~inside if name.startswith("~") else inside for name, inside in columns.items()}
    # An edit at the benchmark's level moves a factor by a part of its range: towards another face by a third of the way.
    moves = {(name, side): (own == side) * (after - before) / 3 for name, own in owned.items() for side in (True, False)}
    plain = read(render(before))
    changes = {key: read(render(before + move)) - plain for key, move in moves.items()}
    half = faces // 2
    errors = torch.cat([changes[key][:half] - moves[key][:half] for key in moves])
    error = errors.square().mean(0).sqrt()
    weights = [pixel_weights(pixel_effects(before[i : i + 1], render)) for i in range(half, faces)]

    def share(name: str, side: bool) -> float:
        rows = zip(changes[name, side][half:], weights, strict=True)
        shares = torch.cat([truth_share(row[None], weight, owned[name], error) for row, weight in rows])
        return float(shares.nanmean())

    return Reading(error, {name: share(name, True) for name in owned}, {name: share(name, False) for name in owned})
