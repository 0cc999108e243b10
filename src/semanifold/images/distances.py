"""Distances: ``(images, reference) -> one number per image``, differentiable."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from semanifold.core.errors import SemanifoldError, near_names
from semanifold.core.extras import missing_package
from semanifold.core.shapes import EachPicture, Pictures, Reference
from semanifold.core.world import worlds
from semanifold.storage.arrays import open_arrays

Distance = Callable[[Tensor, Tensor], Tensor]
"""``(images [n, c, h, w], reference [1 or n, c, h, w]) -> [n]``, 0 for equal pictures; pictures nominally in [-1, 1]."""

Features = Callable[[Tensor], Sequence[Tensor]]
"""``images [n, c, h, w] -> feature maps [n, c_l, h_l, w_l]``, one per layer."""

BACKBONES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
NAMES = ("l2", *worlds(), *(f"lpips-{net}" for net in BACKBONES))
SMALLEST_LPIPS_SIDE = 64
TINY = 1e-10
"""Keeps the gradient of a length finite where all channels are 0."""


def l2(images: Pictures, reference: Reference) -> EachPicture:
    """Return the mean squared difference ``[n]`` over channels and pixels."""
    return (images - reference).square().flatten(1).mean(1)


@dataclass(frozen=True)
class FeatureDistance:
    """The distance between feature maps whose channels have unit length at every place.

    ``d(x, y) = mean over layers of mean over places of || f(x)/|f(x)| - f(y)/|f(y)| ||^2``: the distance of LPIPS (Zhang et
    al. 2018, arXiv:1801.03924, Eq. 1) with equal weights.

    Attributes:
        features: any frozen function from pictures to feature maps.
    """

    features: Features

    def __call__(self, images: Pictures, reference: Reference) -> EachPicture:
        """Return the distances ``[n]``."""
        return self.between(images, self.units(reference))

    def units(self, images: Pictures) -> list[Tensor]:
        """Return the maps of pictures, of unit length."""
        return [features / (features.square().sum(1, keepdim=True) + TINY).sqrt() for features in self.features(images)]

    def between(self, images: Pictures, reference: Sequence[Tensor]) -> EachPicture:
        """Return the distances ``[n]`` from a reference whose :meth:`units` are known."""
        pairs = zip(self.units(images), reference, strict=True)
        return torch.stack([(a - b).square().sum(1).flatten(1).mean(1) for a, b in pairs]).mean(0)

    def numbers(self, images: Pictures) -> Tensor:
        """Return the numbers ``[n, m]`` whose squared differences add up to the distance."""
        maps = self.units(images)
        return torch.cat([part.flatten(1) / (part[0, 0].numel() * len(maps)) ** 0.5 for part in maps], 1)


def lpips_distance(net: str = "alex", weights: str | os.PathLike[str] | None = None) -> Distance:
    """Return LPIPS (Zhang et al. 2018, arXiv:1801.03924), version 0.1, by the authors' ``lpips`` package.

    Pictures of one channel are repeated to three, pictures with a side below 64 pixels are enlarged to it.

    Args:
        net: ``"alex"``, ``"vgg"`` or ``"squeeze"``.
        weights: a torchvision state dict of the backbone, for machines that cannot download it; None to let torchvision
            find it in its cache or fetch it.

    Raises:
        SemanifoldError: if the net is unknown, the package is missing, or the backbone's weights cannot be had.
    """
    if net not in BACKBONES:
        raise SemanifoldError(f"LPIPS has no net {net!r}: {near_names(net, BACKBONES)}")
    return lpips_from(_load_lpips(net, weights))


def lpips_from(model: nn.Module) -> Distance:
    """Return the distance of a loaded ``lpips.LPIPS`` module; it is frozen, and follows the pictures' device and precision."""
    model = model.eval().requires_grad_(False)

    def distance(images: Pictures, reference: Reference) -> EachPicture:
        model.to(images.device, images.dtype)
        return model(_three_channels(images), _three_channels(reference.to(images))).flatten()

    return distance


def distance_by_name(name: str) -> Distance:
    """Return a distance: ``l2``, ``lpips-alex``, ``lpips-vgg``, ``lpips-squeeze``, or ``faces`` (the bundled face network).

    Raises:
        SemanifoldError: for an unknown name, or where the distance's weights cannot be had.
    """
    if name == "l2":
        return l2
    if name in worlds():
        return FeatureDistance(worlds()[name].features)
    if name.startswith("lpips-") and name in NAMES:
        return lpips_distance(name.removeprefix("lpips-"))
    raise SemanifoldError(f"There is no distance {name!r}: {near_names(name, NAMES)}")


def _three_channels(images: Tensor) -> Tensor:
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    side = min(images.shape[2:])
    if side < SMALLEST_LPIPS_SIDE:
        factor = SMALLEST_LPIPS_SIDE / side
        size = [round(n * factor) for n in images.shape[2:]]
        images = interpolate(images, size, mode="bilinear", align_corners=False)
    return images


def lpips_network(net: str, **options: Any) -> nn.Module:
    """Return the LPIPS network of its authors' package, which takes the options.

    Raises:
        SemanifoldError: if the package is not installed.
    """
    try:
        import lpips  # noqa: PLC0415  (an extra, and slow to import)
    except ImportError as error:
        raise missing_package("LPIPS", "lpips", "lpips", "use the distance l2") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's about how the package calls it
        return lpips.LPIPS(net=net, verbose=False, **options)


def _load_lpips(net: str, weights: str | os.PathLike[str] | None) -> nn.Module:
    try:
        model = lpips_network(net, pnet_rand=weights is not None)
    except OSError as error:
        raise SemanifoldError(
            f"The weights of LPIPS's backbone {BACKBONES[net]} cannot be downloaded ({error}); fetch torchvision's file of it "
            f"on another machine and put it into {Path(torch.hub.get_dir()) / 'checkpoints'}, or use the distance l2."
        ) from error
    if weights is not None:
        _fill_backbone(model, Path(weights), net)
    return model


def _fill_backbone(model: Any, path: Path, net: str) -> None:
    """Copy a torchvision state dict into the slices of an LPIPS backbone, whose modules keep torchvision's indices."""
    try:
        arrays = open_arrays(path, "file of weights")
        leaves, own = arrays.leaves, model.net.state_dict()
        tensors = arrays.tensors(leaves["features." + key.split(".", 1)[1],] for key in own)
        model.net.load_state_dict(dict(zip(own, tensors, strict=True)))
    except (SemanifoldError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise SemanifoldError(f"{path} does not hold torchvision's weights of {BACKBONES[net]}: {error}.") from error
