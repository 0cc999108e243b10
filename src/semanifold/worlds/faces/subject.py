"""Who is painted: the factors of some faces, the turn of their heads, and the colours and places that follow from both."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from semanifold.worlds.faces.factors import as_columns
from semanifold.worlds.faces.shapes import bezier, colour, mix

__all__ = ["HEAD_X", "HEAD_Y", "Pose", "Subject", "Tones"]

HEAD_X, HEAD_Y = 0.0, 0.06
"""The middle of the head on the unturned face."""

_SKIN = ((1.0, 0.86, 0.75), (1.0, 0.77, 0.58), (0.78, 0.50, 0.33), (0.40, 0.24, 0.17))
_HAIR = ((0.07, 0.06, 0.08), (0.36, 0.17, 0.07), (0.82, 0.42, 0.10), (1.0, 0.87, 0.55))


@dataclass(frozen=True, eq=False)
class Pose:
    """How the head is turned: sines and cosines [n, 1, 1] of the turn (to the right) and of the nod (upwards)."""

    turn_sin: Tensor
    turn_cos: Tensor
    nod_sin: Tensor
    nod_cos: Tensor

    @classmethod
    def of(cls, f: dict[str, Tensor]) -> Pose:
        """Read the pose from the factors: up to 21 degrees to either side, up to 13 degrees up or down."""
        turn, nod = mix(-0.365, 0.365, f["yaw"]), mix(-0.23, 0.23, f["pitch"])
        return cls(turn.sin(), turn.cos(), nod.sin(), nod.cos())

    def place(self, x: Tensor | float, y: Tensor | float, lift: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """Return where a point of the face goes, and how much it narrows.

        The face is an ellipsoid with the half-axes 0.66, 0.86 and 0.62 (towards the viewer) around the middle of the head.

        Args:
            x: horizontal position on the unturned face.
            y: vertical position on the unturned face.
            lift: how far the point sticks out of the ellipsoid.

        Returns:
            The position x, y [n, 1, 1] in the picture, and the horizontal scale (1 on the unturned face).
        """
        side, down = self.turn_cos * 0 + x - HEAD_X, self.turn_cos * 0 + y - HEAD_Y
        surface = 0.62 * (1 - (side / 0.66) ** 2 - (down / 0.86) ** 2).clamp(min=0.05).sqrt()
        depth = surface + lift
        shown_x = side * self.turn_cos + depth * self.turn_sin
        inward = depth * self.turn_cos - side * self.turn_sin
        shown_y = down * self.nod_cos - (inward - 0.25) * self.nod_sin
        scale = self.turn_cos - side * (0.62 / 0.66) ** 2 / surface * self.turn_sin
        return shown_x + HEAD_X, shown_y + HEAD_Y, scale.clamp(0.5, 1.05)


@dataclass(frozen=True, eq=False)
class Tones:
    """The colours [n, 3, 1, 1] that several parts share."""

    skin: Tensor
    flush: Tensor
    hair: Tensor

    @classmethod
    def of(cls, f: dict[str, Tensor]) -> Tones:
        """Read the colours from the factors; flush is the skin where the blood shows through."""
        skin = bezier(_SKIN, f["skin_tone"])
        return cls(skin, skin * colour((0.97, 0.70, 0.66), skin), bezier(_HAIR, f["hair_tone"]))


@dataclass(frozen=True, eq=False)
class Subject:
    """Some faces: everything that a painter has to know about them.

    Args:
        f: the factors by name, each [n, 1, 1].
        pose: how the heads are turned.
        tones: the colours that several parts share.
        half_width: half the width of the unturned head [n, 1, 1].
    """

    f: dict[str, Tensor]
    pose: Pose
    tones: Tones
    half_width: Tensor

    @classmethod
    def of(cls, factors: Tensor) -> Subject:
        """Read everything from factors [n, F]."""
        f = as_columns(factors)
        return cls(f, Pose.of(f), Tones.of(f), mix(0.50, 0.61, f["face_width"]))
