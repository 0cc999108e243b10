"""What the benchmark runs on: a generator with masks, what is known of its pictures, and the perceptual distance at hand."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.base import Generator
from semanifold.generators.editing import check_layers
from semanifold.generators.features import first_weights
from semanifold.images.distances import SMALLEST_LPIPS_SIDE, lpips_network
from semanifold.images.masks import Mask, parse_mask
from semanifold.images.metrics import ChangeMap, feature_change_map
from semanifold.locality.truth import Truth, calibrate
from semanifold.worlds.faces.attribute_network import WEIGHTS, attribute_network
from semanifold.worlds.faces.factors import FACTORS
from semanifold.worlds.faces.reading import FACTOR_SPACE, has_factors
from semanifold.worlds.faces.regions import MASK_REGIONS
from semanifold.worlds.faces.renderer import render
from semanifold.worlds.faces.world import FACES

USUAL = ("mouth", "eyes", "hair")
"""Regions that a reader is measured on where no mask is a region."""


@dataclass(frozen=True, eq=False)
class World:
    """A generator to measure on.

    Attributes:
        generator: makes the pictures.
        space: latent space of the edits.
        masks: masks that are the same on every picture, by name; other names are read as a person types them, on each picture.
        truth: where the factors come from, or None.
        perceptual: spatial perceptual distance, or None where no weights are at hand.
        perceptual_name: what it is, for the table.
        first_weights: ``[out, d]`` weights of the first layer that the code meets, for SeFa on generators without styles; None if
            there is no such layer.
    """

    generator: Generator
    space: str
    masks: Mapping[str, Mask] = field(default_factory=dict)
    truth: Truth | None = None
    perceptual: ChangeMap | None = None
    perceptual_name: str = "none"
    first_weights: Tensor | None = None

    def mask(self, face: Latents, name: str) -> Mask:
        """Return the mask of a name on one picture."""
        return self.masks[name] if name in self.masks else face_mask(self.generator, face, name)


def world_of(generator: Generator, masks: tuple[str, ...], layer: str | None = None) -> World:
    """Return a generator as a world to measure on, with everything that is known of it.

    The exact faces bring their factors, the bundled StyleGAN2 has them read from its pictures; of others none are known. Edits
    live in w+ where there is such a space, else in the first.

    Args:
        generator: any that is not class-conditional.
        masks: the masks that it will be measured with, as a person types them.
        layer: the layer whose weights are to move, if it is named.

    Raises:
        SemanifoldError: for a class-conditional generator, a mask that cannot be read, or a layer that is not there.
    """
    if generator.classes:
        raise SemanifoldError(
            f"{generator.name} is class-conditional, but the benchmark compares faces of one kind; give another."
        )
    if layer is not None:
        check_layers(generator, [layer])
    start = generator.sample([0])
    for name in masks:
        face_mask(generator, start, name)
    space = generator.search_space
    truth = None
    if has_factors(generator):
        truth = exact_truth(generator)
    elif generator.world is FACES:
        truth = read_truth(generator, masks)
    weights = None
    if generator.affine_maps(space) is None:
        with suppress(SemanifoldError):
            weights = first_weights(generator, space)
    return World(generator, space, {}, truth, *perceptual_map(), weights)


def face_mask(generator: Generator, start: Latents, name: str) -> Mask:
    """Return the mask of a named region, or any other mask as a person types it, on one bundled face.

    It is painted once a size: a region takes a hundred renderings, and a search asks for its mask many times.
    """
    mask = parse_mask(name, generator, start)
    return Mask(mask.text, cache(mask.paint), mask.corners)


def exact_truth(generator: Generator) -> Truth:
    """Return the truth of the analytic faces: the factors that the codes stand for."""
    size = generator.picture_shape[-1]
    return Truth(
        lambda latents, _pictures: generator.convert(latents, FACTOR_SPACE).values.detach(),
        lambda factors: render(factors, size),
        torch.zeros(len(FACTORS)),
        "exact factors",
    )


def perceptual_map() -> tuple[ChangeMap | None, str]:
    """Return the spatial perceptual distance that needs no download, and its name.

    LPIPS (alex) where the package and torchvision's cached AlexNet are there, else the features of the bundled attribute network.
    """
    cached = list(Path(torch.hub.get_dir(), "checkpoints").glob("alexnet-*.pth"))
    if cached and importlib.util.find_spec("lpips"):
        return lpips_change_map(), "LPIPS (alex)"
    if WEIGHTS.exists():
        network = attribute_network()
        return feature_change_map(lambda x: network.features(x.expand(-1, 3, -1, -1))), "features of the bundled face network"
    return None, "none (no weights at hand)"


def lpips_change_map(*, random: bool = False) -> ChangeMap:
    """Return LPIPS (Zhang et al. 2018, arXiv:1801.03924) of every pixel, by the authors' package.

    Args:
        random: leave AlexNet's weights random, so that nothing is downloaded; for tests.
    """
    model = lpips_network("alex", spatial=True, pnet_rand=random).eval().requires_grad_(False)

    def enlarged(images: Tensor) -> Tensor:
        factor = max(1.0, SMALLEST_LPIPS_SIDE / min(images.shape[2:]))
        return interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False) if factor > 1 else images

    def change(images: Tensor, reference: Tensor) -> Tensor:
        model.to(images.device, images.dtype)
        shape = (-1, 3, -1, -1)
        return model(enlarged(images.expand(shape)), enlarged(reference.expand(shape)))

    return change


def read_truth(generator: Generator, masks: tuple[str, ...]) -> Truth:
    """Return the truth of generated faces as the attribute network reads it from their pictures.

    What the network reads wrongly on renderings is measured and subtracted (:func:`~semanifold.locality.truth.calibrate`); what
    that leaves of the extreme cases is said in :attr:`Truth.source`.

    Args:
        generator: the bundled StyleGAN2.
        masks: the masks that the extremes are measured for.
    """
    size, network = generator.picture_shape[-1], attribute_network(str(generator.device), generator.dtype)

    def read(pictures: Tensor) -> Tensor:
        with torch.no_grad():
            return network(pictures.clamp(-1, 1)).clamp(0, 1)

    def rendered(factors: Tensor) -> Tensor:
        return render(factors.to(generator.device, generator.dtype), size)

    named = tuple(mask for mask in masks if mask.removeprefix("~") in MASK_REGIONS)
    reading = calibrate(read, rendered, named or USUAL)
    extremes = ", ".join(f"{name} {reading.floor[name]:.2f} to {reading.ceiling[name]:.2f}" for name in named or USUAL)
    source = f"factors read from the pictures (renderings that change none or only the mask's own factors read as {extremes})"
    return Truth(lambda _latents, pictures: read(pictures), rendered, reading.error, source)
