"""How local an edit is: one pure function for every published measure.

Everywhere ``images`` are edited pictures ``[n, c, h, w]``, ``reference`` the unedited ones (``[n, c, h, w]`` or ``[1, c, h,
w]``) and ``mask`` is ``[1 or n, 1, h, w]`` in [0, 1], 1 where the edit may change the picture. A soft mask weights a pixel's
squared change by M inside and by 1 - M outside, so the two parts always add up to the whole. Every function returns one number
per picture. Where nothing changes at all a ratio has no value: the functions return NaN there rather than a number that could
be averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.shapes import EachPicture, Features, FeaturesOfReference, Masks, Pictures, Reference

ChangeMap = Callable[[Tensor, Tensor], Tensor]
"""A perceptual distance that keeps its place: ``(images, reference) -> [n, 1, h', w']``, not negative."""


def check(images: Pictures, reference: Reference, mask: Masks) -> None:
    """Refuse pictures and masks that do not fit together.

    Raises:
        SemanifoldError: if shapes disagree, the mask leaves [0, 1], or it is empty or full, so that a side has no pixels.
    """
    if images.ndim != 4 or reference.shape[1:] != images.shape[1:] or reference.shape[0] not in (1, images.shape[0]):
        raise SemanifoldError(
            f"Edited and unedited pictures must have one shape [n, c, h, w], but they are {list(images.shape)} and "
            f"{list(reference.shape)}."
        )
    if mask.ndim != 4 or mask.shape[1] != 1 or mask.shape[2:] != images.shape[2:] or mask.shape[0] not in (1, images.shape[0]):
        raise SemanifoldError(
            f"The mask of pictures {list(images.shape)} must be [1, 1, {images.shape[2]}, {images.shape[3]}], but it is "
            f"{list(mask.shape)}; use Mask.at(height, width)."
        )
    if not len(mask):  # of no picture
        return
    if mask.min() < 0 or mask.max() > 1:
        raise SemanifoldError(f"A mask lies in [0, 1], but this one reaches from {mask.min():.3g} to {mask.max():.3g}.")
    areas = mask.mean(dim=(1, 2, 3))
    if areas.min() <= 0 or areas.max() >= 1:
        raise SemanifoldError("The mask is empty or covers the whole picture; locality needs an inside and an outside.")


def squared_change(images: Pictures, reference: Reference, weight: Masks) -> EachPicture:
    """Return ``sum_p w_p |x'_p - x_p|^2``, summed over channels and pixels ``[n]``."""
    return ((images - reference).square() * weight).sum(dim=(1, 2, 3))


def inside_change(images: Pictures, reference: Reference, mask: Masks) -> EachPicture:
    """Return the root mean square change inside the mask ``[n]``, in picture units: 0 (none) to 2 (black to white).

    ``sqrt(sum_p M_p |x'_p - x_p|^2 / (c sum_p M_p))``. Edits are compared where this is equal.
    """
    check(images, reference, mask)
    return (squared_change(images, reference, mask) / (images.shape[1] * mask.sum(dim=(1, 2, 3)))).sqrt()


def outside_change(images: Pictures, reference: Reference, mask: Masks) -> EachPicture:
    """Return the root mean square change outside the mask ``[n]``; see :func:`inside_change`."""
    return inside_change(images, reference, 1 - mask)


def mse_ratio(images: Pictures, reference: Reference, mask: Masks) -> EachPicture:
    """Return mean squared change outside over mean squared change inside ``[n]``; 0 is perfect, lower is better.

    Each mean is over its own area, so an edit that changes all pixels alike scores 1 under every mask. The Out/In MSE of
    Collins et al. 2020, Editing in Style, arXiv:2004.14367. Infinite if only the outside changes, NaN if nothing does.
    """
    return (outside_change(images, reference, mask) / inside_change(images, reference, mask)).square()


def moving(inside: Tensor) -> Tensor:
    """Return which pictures of a film count ``[n]``, of how much each changes inside ``[n]``: a tenth of the most, or more."""
    return inside > 0.1 * (inside.max() if len(inside) else 0)


def ratio_map(images: Pictures, reference: Reference, mask: Masks) -> Tensor:
    """Return where a film changes ``[h, w]``, in units of the root mean square change inside.

    The root of each pixel's mean squared change over that of the inside, averaged over the pictures that :func:`moving` counts:
    the mean of its squares outside is the mean of their :func:`mse_ratio`. Nothing where nothing moves.
    """
    inside = inside_change(images, reference, mask)
    counted = moving(inside)
    squares = (images - reference).square().mean(dim=1)[counted] / inside[counted, None, None].square()
    return squares.mean(0).sqrt() if counted.any() else torch.zeros(images.shape[2:])


def roir(images: Pictures, reference: Reference, mask: Masks) -> EachPicture:
    """Return the region-of-interest ratio ``|(1 - M)(x' - x)| / |M (x' - x)|`` ``[n]``; 0 is perfect, lower is better.

    Oldfield et al. 2023, PandA, arXiv:2206.00048: a ratio of norms, neither squared nor divided by the areas, so that its level
    depends on the size of the mask. For a soft mask each norm weights squares by M or 1 - M.
    """
    check(images, reference, mask)
    return (squared_change(images, reference, 1 - mask) / squared_change(images, reference, mask)).sqrt()


def perceptual_outside(images: Pictures, reference: Reference, mask: Masks, change_map: ChangeMap) -> EachPicture:
    """Return the mean perceptual change outside the mask ``[n]``; 0 is perfect, lower is better.

    ``sum(D * (1 - M)) / sum(1 - M)``, where D is a spatial perceptual distance (LPIPS in the source). Bau et al. 2020, Rewriting
    a Deep Generative Model, arXiv:2007.15646. Receptive fields reach over the mask's border, so a change inside is felt just
    outside of it; the pictures are not pasted, as they are not in the source.
    """
    check(images, reference, mask)
    distances = change_map(images, reference.expand_as(images))
    outside = 1 - area_resized(mask, distances.shape[-2], distances.shape[-1])
    return (distances * outside).sum(dim=(1, 2, 3)) / outside.sum(dim=(1, 2, 3))


def localization_score(features: Features, reference: FeaturesOfReference, mask: Masks) -> EachPicture:
    """Return the share of a layer's squared change that lies inside the mask ``[n]``: 0 (none) to 1 (all); higher is better.

    ``LS = sum_ij s_ij |r'_ij - r_ij|^2 / sum_ij |r'_ij - r_ij|^2``, with the feature maps r of one layer of the generator and the
    mask s brought to their size by area. Pajouheshgar et al. 2022, LELSD, arXiv:2111.12583, the formula of the paper; its
    published code computes something else (a precision and recall of LPIPS maps, at most 1/2). The paper averages the
    segmentations of both pictures; here the mask is given and is the same for both.

    Args:
        features: ``[n, channels, h', w']`` feature maps of the edited pictures.
        reference: the same of the unedited ones, ``[n or 1, channels, h', w']``.
        mask: ``[1 or n, 1, h, w]``.
    """
    change = (features - reference).square().sum(dim=1, keepdim=True)
    inside = area_resized(mask.to(change), change.shape[-2], change.shape[-1])
    return (change * inside).sum(dim=(1, 2, 3)) / change.sum(dim=(1, 2, 3))


def ssim_outside(images: Pictures, reference: Reference, mask: Masks) -> EachPicture:
    """Return the structural similarity outside the mask ``[n]``: -1 to 1 (unchanged); higher is better.

    The inside of the unedited picture is pasted into the edited one first, or the window of the similarity would smear changes
    inside over the border; then :func:`ssim_map` is averaged with weights 1 - M. (Benchmarks that black out the inside and
    average over the whole canvas get scores that rise with the area of the mask.)
    """
    check(images, reference, mask)
    pasted = mask * reference + (1 - mask) * images
    similar = ssim_map(pasted, reference).mean(dim=1, keepdim=True)
    return (similar * (1 - mask)).sum(dim=(1, 2, 3)) / (1 - mask).sum(dim=(1, 2, 3))


def ssim_map(images: Pictures, reference: Reference, *, spread: float = 2.0, sigma: float = 1.5) -> Pictures:
    """Return the structural similarity of every pixel and channel ``[n, c, h, w]``.

    Wang et al. 2004, Image Quality Assessment, equation 13: Gaussian window of 11 pixels with sigma 1.5, K1 = 0.01, K2 = 0.03,
    population variances, mirrored borders (the edge pixel twice, as in scikit-image). Fifteen lines instead of a dependency;
    equal to ``skimage.metrics.structural_similarity`` to rounding (tested).

    Args:
        images: pictures, at least 6 pixels high and wide.
        reference: what they are compared with, as many or one for all.
        spread: largest minus smallest possible value; 2 for pictures in [-1, 1].
        sigma: standard deviation of the window in pixels.
    """
    reach = int(3.5 * sigma + 0.5)
    steps = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    window = torch.softmax(-(steps**2) / (2 * sigma**2), 0)

    def blurred(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        rows = torch.cat([x[:, :, :reach].flip(2), x, x[:, :, h - reach :].flip(2)], 2)
        padded = torch.cat([rows[..., :reach].flip(3), rows, rows[..., w - reach :].flip(3)], 3)
        flat = padded.reshape(n * c, 1, h + 2 * reach, w + 2 * reach)
        return F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1)).reshape(n, c, h, w)

    mx, my = blurred(images), blurred(reference)
    vx, vy = blurred(images * images) - mx * mx, blurred(reference * reference) - my * my
    covariance = blurred(images * reference) - mx * my
    c1, c2 = (0.01 * spread) ** 2, (0.03 * spread) ** 2
    return (2 * mx * my + c1) * (2 * covariance + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))


def area_resized(mask: Tensor, height: int, width: int) -> Tensor:
    """Return a mask at another size, each new pixel the mean of the old ones that it covers."""
    return mask if mask.shape[-2:] == (height, width) else F.adaptive_avg_pool2d(mask, (height, width))


def feature_change_map(maps: Callable[[Tensor], Sequence[Tensor]]) -> ChangeMap:
    """Make a :data:`ChangeMap` of a network's feature maps, weighted equally.

    At every layer the channels are scaled to unit length, the squared difference is summed over channels, and the layers are
    brought to the pictures' size and averaged: LPIPS (Zhang et al. 2018, arXiv:1801.03924, equation 1) with weights 1. It
    stands in for LPIPS where no ImageNet weights are at hand.

    Args:
        maps: ``pictures -> feature maps [n, channels, h', w']`` of one or more layers.
    """

    def change(images: Pictures, reference: Reference) -> Masks:
        size = images.shape[-2:]
        layers = []
        for a, b in zip(maps(images), maps(reference), strict=True):
            squared = (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(dim=1, keepdim=True)
            layers.append(F.interpolate(squared, size, mode="bilinear", align_corners=False))
        return torch.stack(layers).mean(0)

    return change
