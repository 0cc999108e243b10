"""The small shapes of a face: eyes, brows, nose and mouth, each painted in its own window of the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.worlds.faces.shapes import Canvas, bezier, colour, ellipse_distance, mix, paint, together
from semanifold.worlds.faces.subject import Subject

__all__ = ["brows", "eyes", "in_window", "mouth", "nose"]

_IRIS = ((0.34, 0.17, 0.05), (0.42, 0.55, 0.10), (0.10, 0.75, 0.60), (0.16, 0.48, 0.95))
_LASH = (0.10, 0.06, 0.07)

Painter = Callable[[Canvas, Subject, Tensor, Tensor], Tensor]
"""Paints one feature: the canvas, the faces, the picture so far [n, 3, H, W], where skin is [n, H, W] -> the picture."""


def in_window(painter: Painter, left: float, top: float, right: float, bottom: float) -> Painter:
    """Return a painter that works only on the window that its feature never leaves, which saves most of the time."""

    def painted(canvas: Canvas, subject: Subject, picture: Tensor, skin: Tensor) -> Tensor:
        columns, rows = canvas.span(left, right), canvas.span(top, bottom)
        window = canvas.cut(rows, columns)
        # a copy, since gradients and transforms allow no writing into what others have made
        result = picture.clone()
        result[:, :, rows, columns] = painter(window, subject, picture[:, :, rows, columns], skin[:, rows, columns])
        return result

    return painted


def eyes(canvas: Canvas, subject: Subject, picture: Tensor, skin: Tensor) -> Tensor:
    """Paint both eyes with their lids and lashes."""
    f, pose, tones = subject.f, subject.pose, subject.tones
    # 1. Both eyes at once: every pixel belongs to the eye on its side of the middle of the face. A turned head brings one eye
    # nearer to the edge and makes it narrower, hence a place and a scale for each.
    apart = mix(0.222, 0.295, f["eye_spacing"])
    left_x, left_y, left_scale = pose.place(-apart, 0.0, -0.03)
    right_x, right_y, right_scale = pose.place(apart, 0.0, -0.03)
    between = pose.place(0.0, 0.0)[0]
    on_right = canvas.x > between
    sign = on_right.to(canvas.x.dtype) * 2 - 1  # [n, H, W], as all shapes below
    centre_x = torch.where(on_right, right_x, left_x)
    centre_y = torch.where(on_right, right_y, left_y)
    size = mix(0.130, 0.200, f["eye_size"])
    half = size * torch.where(on_right, right_scale, left_scale)
    # 2. Coordinates of the eye: u from -1 to 1 between its corners, v down, in units of its size.
    u = (canvas.x - centre_x) / half
    v = (canvas.y - centre_y) / size
    # 3. The lids are parabolas through the corners; a slant raises the outer ones.
    bow = 1 - u * u
    # more of the change where the eye is nearly closed, since a slit is seen at once (1 at 1)
    opening = f["eye_opening"] * (1.85 - 0.85 * f["eye_opening"])
    raised = mix(-0.33, 0.80, opening)
    slant = 0.06 * sign * u
    upper = -raised * bow * (1 + 0.15 * bow) - slant
    lower = 0.40 * bow - slant
    # The vertical distance from a curve y(u) over sqrt(1 + y'^2) is the distance from it, to first order.
    flat_up = (1 + (2 * raised * u) ** 2).rsqrt() * size
    flat_low = (1 + (0.80 * u) ** 2).rsqrt() * size
    from_upper, from_lower = (v - upper) * flat_up, (v - lower) * flat_low
    # 4. The shade of the socket, then the white under the shadow of the upper lid, and what lies in it.
    hollow = torch.exp(-2.2 * u * u - 3.2 * (v + 0.25) ** 2)
    picture = paint(picture, tones.flush * 0.80, 0.42 * hollow * skin)
    open_part = together(canvas.coverage(-from_upper), canvas.coverage(from_lower)) * skin
    lid_shade = 0.62 + 0.38 * (from_upper / (0.42 * size)).clamp(0, 1)
    white = colour((0.97, 0.97, 1.0), picture)
    picture = paint(picture, white * lid_shade[:, None], open_part)
    eye = _Eye(u, v, sign, size, from_upper, from_lower, open_part)
    picture = _iris(canvas, subject, picture, eye, lid_shade)
    return _lids(canvas, subject, picture, eye, skin)


@dataclass(frozen=True, eq=False)
class _Eye:
    """Where both eyes are, as seen from every pixel of the window.

    Args:
        u: horizontal distance from the middle of the nearer eye, over its half width.
        v: vertical distance from it, over the size.
        sign: -1 for the eye on the left of the picture, 1 for the other.
        size: half the width of an unturned eye.
        from_upper: signed distance below the upper lid.
        from_lower: signed distance below the lower lid.
        open_part: the coverage of the part between the lids.
    """

    u: Tensor
    v: Tensor
    sign: Tensor
    size: Tensor
    from_upper: Tensor
    from_lower: Tensor
    open_part: Tensor


def _iris(canvas: Canvas, subject: Subject, picture: Tensor, eye: _Eye, lid_shade: Tensor) -> Tensor:
    """Paint iris, pupil and highlights inside of the open part of the eyes, under the shade [n, H, W] of the upper lid."""
    f, size = subject.f, eye.size
    across = eye.u - mix(-0.42, 0.42, f["gaze_x"])
    down = eye.v - mix(0.16, -0.46, f["gaze_y"])
    # the small number keeps the slope of the root finite at the centre
    radius = (across * across + down * down + 1e-6).sqrt()
    glow = 0.62 + 0.50 * (0.5 + down).clamp(0, 1)
    # darker towards the rim, as real irises are
    ring = ((radius - 0.36) / 0.20).clamp(0, 1)
    tone = glow * (1 - 0.55 * ring * ring) * (0.35 + 0.65 * lid_shade)
    # round parts are cut by the lids: their coverage times that of the opening
    iris = canvas.coverage((radius - 0.56) * size) * eye.open_part
    picture = paint(picture, bezier(_IRIS, f["iris_hue"]) * tone[:, None], iris)
    pupil = canvas.coverage((radius - 0.25) * size) * eye.open_part
    picture = paint(picture, colour((0.03, 0.02, 0.04), picture), pupil)
    # highlights of a window above and its reflection below; they follow the gaze
    spark = canvas.coverage((((across + 0.20) ** 2 + (down + 0.22) ** 2 + 1e-6).sqrt() - 0.16) * size)
    low_spark = canvas.coverage((((across - 0.22) ** 2 + (down - 0.24) ** 2 + 1e-6).sqrt() - 0.08) * size)
    shine = (spark + 0.5 * low_spark).clamp(max=1) * eye.open_part
    return paint(picture, colour((1.0, 1.0, 1.0), picture), shine)


def _lids(canvas: Canvas, subject: Subject, picture: Tensor, eye: _Eye, skin: Tensor) -> Tensor:
    """Paint the fold above the upper lid, the rim of the lower lid and the lashes."""
    u, size = eye.u, eye.size
    # lines end a little beyond the corners
    beyond = u.abs()
    crease = subject.tones.flush * 0.55
    fold = canvas.stroke(eye.from_upper + 0.30 * size, 0.022 * size + 0.004) * canvas.coverage((beyond - 0.9) * size)
    picture = paint(picture, crease, 0.75 * fold * skin)
    rim = canvas.stroke(eye.from_lower, 0.03 * size) * canvas.coverage((beyond - 0.98) * size)
    picture = paint(picture, crease, 0.8 * rim * skin)
    # lashes grow towards the outer corners
    outward = (u * eye.sign).clamp(-1, 1.2)
    thick = size * (0.075 + 0.055 * outward) * (1.15 - 0.25 * u * u).clamp(min=0.05)
    lash = canvas.stroke(eye.from_upper + 0.5 * thick, thick) * canvas.coverage((beyond - 1.08) * size)
    return paint(picture, colour(_LASH, picture), lash * skin)


def brows(canvas: Canvas, subject: Subject, picture: Tensor, skin: Tensor) -> Tensor:
    """Paint both brows, in the colour of the hair but darker."""
    f, pose, tones = subject.f, subject.pose, subject.tones
    # A brow is a line along a curve in u, from its inner end at -1 to its outer one at 1, as the eyes both at once.
    height = mix(-0.235, -0.375, f["brow_height"])
    left_x, left_y, left_scale = pose.place(-0.25, height)
    right_x, right_y, right_scale = pose.place(0.25, height)
    on_right = canvas.x > pose.place(0.0, height)[0]
    sign = on_right.to(canvas.x.dtype) * 2 - 1
    half = 0.165 * torch.where(on_right, right_scale, left_scale)
    u = (canvas.x - torch.where(on_right, right_x, left_x)) / half * sign
    tilt = mix(-0.075, 0.075, f["brow_tilt"])
    curve = torch.where(on_right, right_y, left_y) + tilt * u + 0.045 * (u * u - 0.4)
    thick = mix(0.011, 0.040, f["brow_thickness"])
    # full until close to the ends, then 0 there
    inner = u.clamp(-1, 1) ** 8
    taper = thick * (1.0 - 0.45 * u.clamp(-1, 1)) * (1 - inner)
    # vertical to true distance, as for the lids
    slope = (1 + ((tilt + 0.09 * u) / half) ** 2).rsqrt()
    line = canvas.stroke((canvas.y - curve) * slope, taper)
    return paint(picture, tones.hair * 0.55, 0.94 * line * skin)


def nose(canvas: Canvas, subject: Subject, picture: Tensor, skin: Tensor) -> Tensor:
    """Paint the nose: a bridge lit from the side, wings, nostrils and a highlight on the tip."""
    f, pose, tones = subject.f, subject.pose, subject.tones
    # 1. The axis from the root to the tip, which sticks out of the head and so moves more when it turns (depth 0.10).
    length = mix(0.140, 0.282, f["nose_length"])
    half = mix(0.056, 0.145, f["nose_width"])
    tip_x, tip_y, _ = pose.place(0.0, length, 0.10)
    root_x, root_y, _ = pose.place(0.0, -0.04, 0.0)
    along = ((canvas.y - root_y) / (tip_y - root_y)).clamp(0, 1.15)  # 0 at the root, 1 at the tip
    middle = mix(root_x, tip_x, along)
    width = half * (0.55 + 0.55 * along)
    across = (canvas.x - middle) / width
    below = (canvas.y - tip_y) / 0.06
    # 2. The bridge: dark on the side away from the light, and both flanks a little, so that it shows in any light.
    # The second term lets the shadow grow quickly as soon as the light leaves the middle.
    body = torch.exp(-0.9 * across * across) * along * canvas.coverage((canvas.y - tip_y - 0.02) * 0.4)
    side = 2 * f["light_side"] - 1
    relief = body * across * (0.35 * side + 0.20 * torch.tanh(3 * side))
    picture = picture * (1 + relief.clamp(max=0) - 0.10 * body * across.abs())[:, None]
    # 3. The tip: reddish, with a shadow under it.
    ball = torch.exp(-2.2 * ((canvas.x - tip_x) / half) ** 2 - 0.9 * (below + 0.4) ** 2)
    picture = paint(picture, tones.flush, 0.35 * ball * skin)
    shadow = torch.exp(-1.1 * ((canvas.x - tip_x) / half) ** 2 - 2.5 * (below - 0.75) ** 2)
    picture = paint(picture, tones.flush * 0.55, 0.56 * shadow * skin)
    # 4. Wings and nostrils, mirrored: distances from the axis instead of positions.
    beside = (canvas.x - tip_x).abs()
    wing = canvas.stroke(
        ellipse_distance((beside - 0.70 * half) / (0.5 * half), (canvas.y - tip_y) / 0.05, 0.5 * half, 0.05), 0.008
    )
    # the outer half of each ellipse only
    wing = wing * canvas.coverage(0.72 * half - beside)
    picture = paint(picture, tones.flush * 0.55, 0.55 * wing * skin)
    hole = canvas.coverage(
        ellipse_distance((beside - 0.48 * half) / (0.30 * half), (canvas.y - tip_y - 0.035) / 0.017, 0.30 * half, 0.017)
    )
    picture = paint(picture, tones.flush * 0.28, 0.85 * hole * skin)
    # 5. A highlight, which moves towards the light.
    shine_x = canvas.x - tip_x - 0.25 * half * side
    shine = torch.exp(-((shine_x / 0.030) ** 2) - ((canvas.y - tip_y + 0.035) / 0.028) ** 2)
    return paint(picture, 0.4 * tones.skin + 0.6, 0.6 * shine * skin)


def mouth(canvas: Canvas, subject: Subject, picture: Tensor, skin: Tensor) -> Tensor:
    """Paint the mouth: lips, and behind them darkness, tongue and teeth as far as it is open."""
    f, pose, tones = subject.f, subject.pose, subject.tones
    # 1. The line of the mouth: a parabola, bent by the smile about a point between the corners and the middle, so that a smile
    # lifts the corners and lowers the middle.
    middle_x, middle_y, scale = pose.place(0.0, 0.425, 0.03)
    half = mix(0.160, 0.305, f["mouth_width"]) * scale
    u = (canvas.x - middle_x) / half
    bow = 1 - u * u
    bend = mix(-0.095, 0.095, f["smile"])
    wide = f["mouth_opening"]
    curve = middle_y + bend * (bow - 0.70)
    # 2. Four edges, parabolas that meet in the corners: lips outside and inside. It is the lower jaw that opens.
    gap_up, gap_down = 0.030 * wide, 0.145 * wide
    full = f["lip_fullness"]
    lip_up, lip_down = mix(0.022, 0.074, full), mix(0.026, 0.094, full)
    # Cupid's bow
    notch = 1 - 0.30 * torch.exp(-14 * u * u)
    y, cover = canvas.y, canvas.coverage

    def edge(height: Tensor, shape: Tensor | float = 1.0) -> Tensor:
        """Signed distance below the curve that lies `height` under the line of the mouth in the middle."""
        # dy/dx of the parabola, for the true distance
        slope = 2 * u * (bend + height) / half
        return (y - curve - height * bow * shape) * (1 + slope * slope).rsqrt()

    upper, lower = edge(-gap_up - lip_up, notch), edge(gap_down + lip_down)
    inner_up, inner_low = edge(-gap_up), edge(gap_down)
    lips = together(cover(-upper), cover(lower)) * skin
    inside = together(cover(-inner_up), cover(inner_low)) * skin
    # 3. Colours: from pale skin to lipstick, the more of it the less skin shines through.
    tint = bezier(((0.93, 0.72, 0.66), (0.95, 0.40, 0.40), (0.82, 0.03, 0.15)), f["lip_colour"])
    shade = mix(tones.skin, colour((1.0, 1.0, 1.0), picture), (0.28 + 0.47 * f["lip_colour"])[:, None])
    rose = tint * shade
    low_lip = cover((curve - y) * 0.6)
    # 4. A shadow under the lower lip, then lips, gloss, the dark inside, tongue, teeth: each cut by the one before.
    soft = torch.exp(-0.5 * ((y - curve - (gap_down + lip_down + 0.035) * bow) / 0.022) ** 2) * bow.clamp(min=0)
    picture = picture * (1 - 0.16 * soft * skin)[:, None]
    gloss = torch.exp(-(((inner_low / lip_down.clamp(min=0.01) - 0.45) / 0.28) ** 2) - 5 * u * u)
    picture = paint(picture, rose * (0.80 + 0.20 * low_lip)[:, None], lips)
    picture = paint(picture, colour((1.0, 0.95, 0.93), picture), 0.35 * gloss * lips * low_lip)
    picture = paint(picture, colour((0.26, 0.05, 0.07), picture), inside)
    tongue = cover(
        ellipse_distance(u / 0.62, (y - curve - gap_down * 1.05) / (0.085 * wide + 0.01), 0.62 * half, 0.085 * wide + 0.01)
    )
    picture = paint(picture, colour((0.86, 0.36, 0.38), picture), tongue * inside)
    bite = edge(-gap_up + 0.050 * (0.35 + 0.65 * wide))
    picture = paint(picture, colour((0.98, 0.97, 0.94), picture), cover(bite) * inside)
    # 5. The line between the lips is drawn where the mouth is closed; dents end it at the corners.
    seam = canvas.stroke(inner_up, 0.009) * cover((u.abs() - 1.04) * half) * skin
    picture = paint(picture, tones.flush * 0.35, 0.85 * seam * (1 - inside))
    dent = torch.exp(-(((u.abs() - 1.06) * half / 0.022) ** 2) - ((y - curve) / 0.03) ** 2)
    return paint(picture, tones.flush * 0.55, 0.35 * dent * skin)
