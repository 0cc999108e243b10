"""Label maps of the bundled faces: which part of a face every pixel belongs to, from the painters of the renderer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.shapes import FactorsOfPictures
from semanifold.generators import seeds
from semanifold.worlds.faces import features, head
from semanifold.worlds.faces.analytic import LATENT_SIZE, factors_from_latents
from semanifold.worlds.faces.factors import factor_index, likeable_face
from semanifold.worlds.faces.names import LABELS
from semanifold.worlds.faces.shapes import Canvas
from semanifold.worlds.faces.subject import Subject

__all__ = ["LABELS", "FaceMaps", "label_map", "plain_colours"]

COLOURS = (
    "skin_tone", "hair_tone", "iris_hue", "lip_colour", "light_side", "light_warmth", "background_hue", "background_tone"
)  # fmt: skip
"""The factors that a label map says nothing about."""

_MARKED = {"skin_tone": 0.0, "hair_tone": 0.0, "iris_hue": 1.0, "lip_colour": 1.0, "light_side": 0.5}
"""Colours that tell the parts apart."""


def plain_colours(factors: FactorsOfPictures) -> FactorsOfPictures:
    """Return the same faces ``[n, F]`` in one set of colours and one light."""
    same = likeable_face(factors.dtype).to(factors.device)
    columns = [factor_index(name) for name in COLOURS]
    faces = factors.clone()
    faces[:, columns] = same[:, columns]
    return faces


@torch.no_grad()
def label_map(factors: FactorsOfPictures, size: int = 64) -> Tensor:
    """Return the numbers of :data:`LABELS` at every pixel: ``[n, F]`` in [0, 1] to ``[n, size, size]``.

    Every painter is called on a black and on a white picture: paint is linear in what lies below, so the difference says how much
    of a pixel it covers, and the black picture in which colour. A pixel belongs to the last part that covers half of it.
    """
    faces = factors.clone()
    for name, value in _MARKED.items():
        faces[:, factor_index(name)] = value
    subject, canvas = Subject.of(faces), Canvas.square(size, faces)
    black = faces.new_zeros(len(faces), 3, size, size)
    skin = canvas.coverage(head.head_outline(canvas, subject))
    labels = torch.zeros(len(faces), size, size, dtype=torch.int64)

    def mark(covered: Tensor, label: str | Tensor) -> None:
        number = LABELS.index(label) if isinstance(label, str) else label
        labels[:] = torch.where(covered > 0.5, number, labels)

    def choose(*cases: tuple[Tensor, str], otherwise: str) -> Tensor:
        chosen = torch.full_like(labels, LABELS.index(otherwise))
        for where, label in reversed(cases):
            chosen = torch.where(where, LABELS.index(label), chosen)
        return chosen

    # 1. What lies behind the head: told apart by its colour on black, dark for hair, bluish for the shirt.
    behind, covered = head.bust(canvas, subject, black)
    mark(covered, choose((behind.amax(1) < 0.2, "hair"), (behind[:, 2] > behind[:, 0] + 0.05, "clothes"), otherwise="skin"))
    # 2. The head, then the features as they are painted.
    mark(skin, "skin")
    _, front = head.fringe(canvas, subject, black, skin)
    for painter, name in ((features.nose, "nose"), (features.mouth, "mouth"), (features.eyes, "lids"), (features.brows, "brows")):
        on_black, on_white = (painter(canvas, subject, below, skin) for below in (black, torch.ones_like(black)))
        # paint over white minus paint over black is 1 - alpha, whatever its colour
        alpha = 1 - (on_white - on_black).amax(1)
        red, green, blue = (on_black / alpha.clamp(min=0.05)[:, None]).unbind(1)  # paint over black is alpha times the colour
        least, most = torch.minimum(torch.minimum(red, green), blue), torch.maximum(torch.maximum(red, green), blue)
        label: str | Tensor = name
        if name == "mouth":
            tongue = (red > 0.8) & (blue > 0.3)
            label = choose((least > 0.8, "teeth"), ((most < 0.35) | tongue, "mouth"), otherwise="lips")
        if name == "lids":
            label = choose((least > 0.5, "whites"), ((blue > red + 0.1) | (most < 0.05), "irises"), otherwise="lids")
        mark(alpha if name != "nose" else 1.4 * alpha, label)  # a nose is soft
        if name == "nose":
            mark(front, "hair")
    return labels


@dataclass(frozen=True)
class FaceMaps:
    """Label maps of the faces of :class:`~semanifold.worlds.faces.analytic.AnalyticFaces`, one for every seed.

    Attributes:
        size: height and width in pixels.
        digest: what tells them from other inputs.
    """

    size: tuple[int, int] = (64, 64)
    digest: str = "faces"

    def __call__(self, seed: int) -> Tensor:
        """Return the map of the face of a seed, one channel per label: ``[labels, height, width]``."""
        labels = label_map(factors_from_latents(seeds.normal(seed, (LATENT_SIZE,))[None]), self.size[0])[0]
        return torch.nn.functional.one_hot(labels, len(LABELS)).permute(2, 0, 1).float()
