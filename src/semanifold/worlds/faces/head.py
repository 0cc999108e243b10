"""The large shapes of a face: background, hair, neck, ears and head, and the light that falls on them."""

from __future__ import annotations

import torch
from torch import Tensor

from semanifold.worlds.faces.shapes import Canvas, bezier, colour, ellipse_distance, mix, paint, rounded_and
from semanifold.worlds.faces.subject import HEAD_X, HEAD_Y, Subject

__all__ = ["background", "bust", "cheeks", "fringe", "hair_outline", "head_outline", "light_on"]

_BACKGROUND = ((0.28, 0.58, 1.0), (0.10, 1.0, 0.70), (1.0, 0.95, 0.15), (1.0, 0.36, 0.56))
_ABOVE, _BELOW = 0.70, 0.71


def background(canvas: Canvas, subject: Subject) -> Tensor:
    """Return the background [n, 3, H, W]: one hue, lighter behind the head and on the side of the light."""
    f = subject.f
    hue = bezier(_BACKGROUND, f["background_hue"])
    tone = mix(0.30, 1.0, f["background_tone"])
    x, y = canvas.x, canvas.y
    glow = 0.84 - 0.10 * y - 0.08 * (x * x + y * y) + 0.09 * (2 * f["light_side"] - 1) * x
    pale = 0.45 * f["background_tone"]
    return mix(hue, 1.0, pale[:, None]) * (tone * glow)[:, None]


def head_outline(canvas: Canvas, subject: Subject) -> Tensor:
    """Return the signed distance [n, H, W] from the outline of the head."""
    f, pose = subject.f, subject.pose
    below = canvas.y - (HEAD_Y - 0.14 * pose.nod_sin)
    # two half-ellipses with a common middle: jaw below, skull above
    down, up = below.clamp(min=0) / _BELOW, below.clamp(max=0) / _ABOVE
    # the jaw widens or narrows the lower half only, with the square of the depth, so that no corner shows at the middle
    width = subject.half_width * (1 + mix(-0.42, 0.40, f["jaw"]) * down * down)
    # a turned head leads with its chin
    u = (canvas.x - (HEAD_X + 0.20 * pose.turn_sin * (0.6 + down))) / width
    return ellipse_distance(u, down + up, width, 0.705)


def hair_outline(canvas: Canvas, subject: Subject) -> tuple[Tensor, Tensor, Tensor]:
    """Return the signed distance [n, H, W] from the outline of the hair, and u, v: the position in it over its radii."""
    f, pose = subject.f, subject.pose
    middle_x, middle_y = 0.05 * pose.turn_sin, -0.04 - 0.06 * pose.nod_sin
    above = mix(0.70, 0.90, f["hair_volume"])
    below = canvas.y - middle_y
    hang = below.clamp(min=0)
    width = subject.half_width + mix(0.045, 0.20, f["hair_volume"]) + 0.03 * hang
    u = (canvas.x - middle_x) / width
    # the outline is an ellipse above and falls straight below, hence v = 0 there
    v = below.clamp(max=0) / above
    return ellipse_distance(u, v, width, above), u, below / above


def bust(canvas: Canvas, subject: Subject, picture: Tensor) -> tuple[Tensor, Tensor]:
    """Paint what lies behind the head: hair, shoulders, neck and ears.

    Returns:
        The picture [n, 3, H, W] and how much of each pixel they cover [n, H, W].
    """
    x, y, tones = canvas.x, canvas.y, subject.tones
    # Back to front: hair behind the head, shirt, its hem, neck and the neckline's skin, ears.
    distance, u, _ = hair_outline(canvas, subject)
    hair = canvas.coverage(rounded_and(distance, y - _tips(subject, u), 0.10))
    shadow = 0.62 + 0.10 * torch.cos(17 * u)
    picture = paint(picture, tones.hair * shadow[:, None], hair)
    shirt = canvas.coverage(ellipse_distance(x / 0.86, (y - 1.25) / 0.46, 0.86, 0.46))
    neckline = canvas.coverage(ellipse_distance(x / 0.29, (y - 0.80) / 0.145, 0.29, 0.145))
    waist = 0.20 + 0.9 * (y - 0.78).clamp(min=0) ** 2
    neck = canvas.coverage(x.abs() - waist) * canvas.coverage(0.4 - y)
    cloth = colour((0.36, 0.46, 0.66), picture)
    picture = paint(picture, cloth * (1 - 0.16 * (x * x)[:, None]), shirt)
    hem = canvas.stroke(ellipse_distance(x / 0.31, (y - 0.80) / 0.165, 0.31, 0.165), 0.016) * shirt
    picture = paint(picture, cloth * 1.35, hem)
    bare = torch.maximum(neck * (1 - shirt), neckline)
    shade = 0.62 + 0.30 * ((y - 0.68) / 0.3).clamp(0, 1)
    picture = paint(picture, tones.skin * shade[:, None], bare)
    ear, inner = _ears(canvas, subject)
    picture = paint(picture, tones.skin * 0.94, ear)
    picture = paint(picture, tones.flush * 0.86, inner)
    # a pixel is background as far as none of them covers it
    clear = (1 - hair) * (1 - shirt) * (1 - bare) * (1 - ear)
    return picture, 1 - clear


def _ears(canvas: Canvas, subject: Subject) -> tuple[Tensor, Tensor]:
    """Return the coverages [n, H, W] of the ears and of their inner shells."""
    pose = subject.pose
    out = subject.half_width + 0.015
    right = (canvas.x > 0).to(canvas.x.dtype) * 2 - 1  # -1 on the left, 1 on the right: both ears as one
    # a turn hides one ear and shows more of the other
    u = (canvas.x - right * out + 0.12 * pose.turn_sin) * right
    v = canvas.y - 0.10 - 0.20 * pose.nod_sin
    lean = u + 0.18 * v
    ear = canvas.coverage(ellipse_distance(lean / 0.085, v / 0.145, 0.085, 0.145))
    inner = canvas.coverage(ellipse_distance((lean - 0.01) / 0.045, v / 0.085, 0.045, 0.085))
    return ear, inner


def _tips(subject: Subject, u: Tensor) -> Tensor:
    """Return how far down [n, H, W] the hair reaches at the horizontal position u in its outline."""
    long, squared = subject.f["hair_length"], u * u
    return mix(-0.02, 1.10, long) - mix(0.42, 0.08, long) * squared * squared + 0.02 * torch.cos(11 * u)


def cheeks(canvas: Canvas, subject: Subject, picture: Tensor, face: Tensor) -> Tensor:
    """Paint a blush on both cheeks of the face that covers [n, H, W]."""
    blush = torch.zeros_like(face)
    for side in (-0.33, 0.33):
        x, y, _ = subject.pose.place(side, 0.26)
        blush = blush + torch.exp(-(((canvas.x - x) / 0.13) ** 2)) * torch.exp(-(((canvas.y - y) / 0.10) ** 2))
    return paint(picture, subject.tones.flush, 0.45 * blush * face)


def fringe(canvas: Canvas, subject: Subject, picture: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
    """Paint the hair in front of the head and the shadow that it throws on the face.

    Args:
        canvas: where to paint.
        subject: whom to paint.
        picture: the picture so far [n, 3, H, W].
        face: the coverage of the head [n, H, W].

    Returns:
        The picture [n, 3, H, W] and the coverage of the front hair [n, H, W].
    """
    # 1. The line of the hair over the forehead: a curve around the temples, a parting on one side, strands along it.
    x, y, half, full = canvas.x, canvas.y, subject.half_width, subject.f["fringe"]
    distance, u, v = hair_outline(canvas, subject)
    top_x, top_y, _ = subject.pose.place(0.0, -0.42)
    part = (x - top_x) / half + 0.30
    temple = (x - 0.4 * top_x) / half
    # flat over the forehead, steep at the temples
    swing = temple**4
    line = top_y + mix(-0.17, 0.075, full) + (0.34 + 0.50 * swing * swing) * swing
    line = line - mix(0.05, 0.15, full) * torch.exp(-9 * part * part) + 0.05 * part
    edge = 0.85 * (y - line) + full * 0.022 * torch.cos(15 * part)
    front = canvas.coverage(rounded_and(distance, y - _tips(subject, u), 0.10)) * canvas.coverage(edge)
    # 2. The shadow on the face falls off below the line.
    fall = torch.exp(-(edge.clamp(min=0) / 0.08))
    picture = picture * (1 - 0.32 * fall * face * (1 - front))[:, None]
    # 3. A ring of sheen around the crown, and strands.
    reach = (u * u + v * v + 1e-6).sqrt()
    sheen = torch.exp(-(((reach - 0.74) / 0.09) ** 2)) * (-v).clamp(min=0)
    strands = 0.84 + 0.13 * torch.cos(17 * (u - 0.4 * part.clamp(-1, 1)) + 3 * v)
    body = subject.tones.hair * strands[:, None]
    return paint(picture, body + (1 - body) * 0.32 * sheen[:, None], front), front


def light_on(canvas: Canvas, subject: Subject) -> Tensor:
    """Return the light [n, 3, H, W] in [0, 1] that falls on a rounded head: half-Lambert, cool in the shadow."""
    # 1. The normal (x, y, front) of a rounded head, front being 1 - x^2 - y^2, held above 0 by a smooth maximum: the light
    # also fades smoothly beyond the outline.
    across, down = canvas.x / 0.72, (canvas.y - 0.02) / 0.98
    rest = 1 - across * across - down * down
    front = 0.5 * (rest + (rest * rest + 0.06).sqrt())
    length = (across * across + down * down + front * front).rsqrt()  # one over the length of the normal
    # 2. The direction to the light, from above and in front, of unit length as well.
    side = 1.15 * (2 * subject.f["light_side"] - 1)
    strength = (side * side + 0.40**2 + 0.80**2).rsqrt()
    # 3. Half-Lambert: the cosine mapped from [-1, 1] to [0, 1], then a smooth step for more contrast.
    lit = 0.5 + 0.5 * (across * side - 0.40 * down + 0.80 * front) * length * strength
    lit = lit * lit * (3 - 2 * lit)
    shade = colour((0.52, 0.46, 0.56), canvas.x)
    return shade + (1 - shade) * lit[:, None]
