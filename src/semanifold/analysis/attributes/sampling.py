"""Pictures as attribute networks want them: resized, cut out, normalised; every picture of a batch by itself and at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from semanifold.core.errors import SemanifoldError, of_type

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SPREAD = (0.229, 0.224, 0.225)


def check_pictures(images: Tensor) -> None:
    """Refuse what is no batch of pictures ``[n, c, h, w]`` of floating numbers.

    Raises:
        SemanifoldError: naming what was given.
    """
    of_type(images, Tensor, "Attributes are read from pictures [n, c, h, w]")
    if images.ndim != 4 or not images.is_floating_point():
        raise SemanifoldError(
            f"Attributes are read from floating pictures [n, c, h, w] in [-1, 1], but got {list(images.shape)} of {images.dtype}."
        )


def rgb(images: Tensor) -> Tensor:
    """Return pictures ``[n, 1 or 3, h, w]`` in [-1, 1] as ``[n, 3, h, w]`` in [0, 1], float32, clamped.

    Raises:
        SemanifoldError: if they are no pictures.
    """
    check_pictures(images)
    if images.shape[1] not in (1, 3):
        raise SemanifoldError(f"These attributes are read from floating pictures of 1 or 3 channels, not of {images.shape[1]}.")
    return ((images.float().clamp(-1, 1) + 1) / 2).expand(-1, 3, -1, -1)


def shorter_side(pictures: Tensor, size: int, antialias: bool = True) -> Tensor:
    """Resize so that the shorter side has ``size`` pixels, and return the middle square ``[n, c, size, size]``.

    The longer side becomes ``int(size * longer / shorter)`` and the middle begins at ``round((longer - size) / 2)``, as
    torchvision's ``Resize`` and ``CenterCrop`` have it.

    Args:
        pictures: ``[n, c, h, w]``.
        size: side of the result in pixels.
        antialias: average over the pixels that fall into one; without it they are skipped.
    """
    height, width = pictures.shape[2:]
    shorter = min(height, width)
    new = (int(size * height / shorter), int(size * width / shorter))
    resized = interpolate(pictures, new, mode="bilinear", align_corners=False, antialias=antialias)
    top, left = (round((side - size) / 2) for side in new)
    return resized[:, :, top : top + size, left : left + size]


def cut_out(pictures: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Return the middle squares of boxes, one per picture, resized with anti-aliasing ``[n, c, size, size]``.

    Boxes need not lie on whole pixels, so the result changes continuously as a box moves; every picture has its own box and all
    are cut out at once, by two products with the matrices of :func:`weights`. Beyond the border the border's pixels go on.

    Args:
        pictures: ``[n, c, h, w]``.
        boxes: ``[n, 4]`` left, top, right, bottom in pixels, 0 at the outer edge of the first pixel.
        size: side of the result.
    """
    left, top, right, bottom = boxes.unbind(1)
    side = torch.minimum(right - left, bottom - top).clamp(min=1)
    rows = weights((top + bottom - side) / 2, side, size, pictures.shape[2])
    columns = weights((left + right - side) / 2, side, size, pictures.shape[3])
    return rows[:, None] @ pictures @ columns[:, None].mT


def weights(start: Tensor, length: Tensor, size: int, pixels: int) -> Tensor:
    """Return the matrices ``[n, size, pixels]`` that resample an interval of a line of pixels, their rows of sum 1.

    Output i lies at ``c_i = start + (i + 1/2) s``, ``s = length / size``, and weighs pixel j by the triangle
    ``max(0, 1 - |j + 1/2 - c_i| / max(s, 1))``: linear interpolation where it enlarges, anti-aliased where it reduces.

    Args:
        start: ``[n]`` where the intervals begin, in pixels.
        length: ``[n]`` how long they are.
        size: number of outputs.
        pixels: number of inputs.
    """
    step = (length / size)[:, None, None]
    places = torch.arange(size, device=start.device, dtype=start.dtype)[None, :, None] + 0.5
    centres = (start[:, None, None] + places * step).clamp(0.5, pixels - 0.5)
    middles = torch.arange(pixels, device=start.device, dtype=start.dtype) + 0.5
    triangles = (1 - (middles - centres).abs() / step.clamp(min=1)).clamp(min=0)
    return triangles / triangles.sum(-1, keepdim=True)


def normalised(pictures: Tensor, mean: Sequence[float] = IMAGENET_MEAN, spread: Sequence[float] = IMAGENET_SPREAD) -> Tensor:
    """Return ``(x - mean) / spread`` per channel, by default the numbers of ImageNet for RGB in [0, 1]."""
    middle, scale = (pictures.new_tensor(values).view(1, -1, 1, 1) for values in (mean, spread))
    return (pictures - middle) / scale
