"""Faces from named factors: a differentiable picture at any resolution."""

from __future__ import annotations

from semanifold.core.errors import SemanifoldError, of_type
from semanifold.core.shapes import FactorsOfPictures, Pictures
from semanifold.worlds.faces import features, head
from semanifold.worlds.faces.shapes import Canvas, bezier, paint
from semanifold.worlds.faces.subject import Subject

__all__ = ["render"]

_WARMTH = ((0.84, 0.92, 1.0), (1.0, 1.0, 1.0), (1.0, 0.87, 0.66))
_FEATURES = (
    features.in_window(features.nose, -0.7, -0.3, 0.7, 0.6),
    features.in_window(features.mouth, -0.75, 0.1, 0.75, 1.0),
    features.in_window(features.eyes, -0.8, -0.5, 0.8, 0.45),
    features.in_window(features.brows, -0.8, -0.7, 0.8, 0.1),
)

LARGEST = 8192


def render(factors: FactorsOfPictures, size: int = 64) -> Pictures:
    """Render faces from their factors.

    Every pixel is a smooth function of every factor. The layout is the same at every size; edges are about one pixel soft. It
    is painted back to front: background, hair behind the head, shoulders, neck, ears, head, front hair, nose, mouth, eyes, brows;
    then lit.

    Args:
        factors: [n, F], each in [0, 1], in the order of `FACTORS`; float32 or float64, on any device.
        size: width and height in pixels, at least 8.

    Returns:
        RGB pictures [n, 3, size, size] in [-1, 1], of the type and on the device of the factors.

    Raises:
        SemanifoldError: if the shape or type of the factors is wrong or the size too small.
    """
    of_type(size, int, "The size of a face is a whole number of pixels")
    if not 8 <= size <= LARGEST:
        raise SemanifoldError(f"The size of a face must be at least 8 pixels and at most {LARGEST}, but this is {size}.")
    subject = Subject.of(factors)
    canvas = Canvas.square(size, factors)
    # 1. Painted back to front, each layer over the ones before.
    picture = head.background(canvas, subject)
    picture, behind = head.bust(canvas, subject, picture)
    face = canvas.coverage(head.head_outline(canvas, subject))
    picture = paint(picture, subject.tones.skin, face)
    picture = head.cheeks(canvas, subject, picture, face)
    picture, front = head.fringe(canvas, subject, picture, face)
    # 2. Features in windows of the picture, on the skin of the head only.
    for feature in _FEATURES:
        picture = feature(canvas, subject, picture, face)
    # 3. Light falls on the person, not on the background, and tints the whole.
    covered = 1 - (1 - behind) * (1 - face) * (1 - front)
    picture = picture * (1 - covered[:, None] * (1 - head.light_on(canvas, subject)))
    return (2 * bezier(_WARMTH, subject.f["light_warmth"])) * picture - 1
