"""Faces from named factors: a differentiable picture at any resolution."""

from __future__ import annotations

from torch import Tensor

from semanifold.faces import features, head
from semanifold.faces.factors import as_columns
from semanifold.faces.shapes import Canvas, bezier, colour, mix, paint

__all__ = ["render"]


def render(factors: Tensor, size: int = 64) -> Tensor:
    """Render faces from their factors.

    Every pixel is a smooth function of every factor. The layout is the same at every size; edges are one pixel soft. Painted back to front: background, hair
    behind the head, shoulders, neck, ears, head, front hair, brows, eyes, nose, mouth; then lit.

    Args:
        factors: [n, F], each in [0, 1], in the order of `semanifold.faces.factors.FACTORS`; float32 or float64, on any device.
        size: width and height in pixels, at least 8.

    Returns:
        RGB pictures [n, 3, size, size] in [-1, 1], of the type and on the device of the factors.

    Raises:
        ValueError: if the shape or type of the factors is wrong or the size too small.
    """
    if size < 8:
        raise ValueError(f"The size of a face must be at least 8 pixels; got {size}.")
    f = as_columns(factors)
    canvas = Canvas.square(size, factors)
    pose, tones = head.Pose.of(f), head.Tones.of(f)
    picture = head.background(canvas, f)
    picture, covered = head.bust(canvas, f, tones, picture, pose)
    distance = head.head_outline(canvas, f, pose)
    face = canvas.coverage(distance)
    picture = paint(picture, tones.skin, face)
    picture = _cheeks(canvas, tones, pose, picture, face)
    picture, front = head.fringe(canvas, f, tones, picture, pose, face)
    skin = face
    picture = features.in_window(features.nose, (-0.7, -0.3, 0.7, 0.60), canvas, f, tones, pose, picture, skin)
    picture = features.in_window(features.mouth, (-0.75, 0.1, 0.75, 1.0), canvas, f, tones, pose, picture, skin)
    picture = features.in_window(features.eyes, (-0.8, -0.5, 0.8, 0.45), canvas, f, tones, pose, picture, skin)
    picture = features.in_window(features.brows, (-0.8, -0.7, 0.8, 0.1), canvas, f, tones, pose, picture, skin)
    covered = 1 - (1 - covered) * (1 - face) * (1 - front)
    light = head.light_on(canvas, f)
    picture = picture * (1 - covered[:, None] * (1 - light))
    warmth = bezier(((0.84, 0.92, 1.0), (1.0, 1.0, 1.0), (1.0, 0.87, 0.66)), f["light_warmth"])
    return (2 * warmth) * picture - 1


def _cheeks(canvas: Canvas, tones: head.Tones, pose: head.Pose, picture: Tensor, face: Tensor) -> Tensor:
    """Paint a blush on both cheeks."""
    left_x, left_y, _ = pose.place(-0.33, 0.26)
    right_x, right_y, _ = pose.place(0.33, 0.26)
    blush = _blob(canvas, left_x, left_y) + _blob(canvas, right_x, right_y)
    return paint(picture, tones.flush, 0.45 * blush * face)


def _blob(canvas: Canvas, x: Tensor, y: Tensor) -> Tensor:
    return (-((canvas.x - x) / 0.13) ** 2).exp() * (-((canvas.y - y) / 0.10) ** 2).exp()
