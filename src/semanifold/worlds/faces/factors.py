"""The named factors of the bundled faces.

Every picture of the bundled world is decided by a vector of numbers in [0, 1], one for each entry of `FACTORS`, in this order.
A factor belongs to the region of the picture that it changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, near_names

__all__ = ["FACTORS", "REGIONS", "Factor", "as_columns", "factor_index", "factor_names", "factors_of", "likeable_face"]


@dataclass(frozen=True)
class Factor:
    """One thing about a face that can change.

    Args:
        name: how the factor is called everywhere.
        region: the part of the picture that it changes, one of `REGIONS`.
        low: in words, the picture at 0.
        high: in words, the picture at 1.
    """

    name: str
    region: str
    low: str
    high: str


FACTORS: tuple[Factor, ...] = (
    Factor("skin_tone", "face", "pale skin", "dark skin"),
    Factor("face_width", "face", "narrow face", "wide face"),
    Factor("jaw", "face", "pointed chin", "square jaw"),
    Factor("hair_tone", "hair", "black hair", "blond hair"),
    Factor("hair_length", "hair", "short hair", "long hair"),
    Factor("hair_volume", "hair", "flat hair", "big hair"),
    Factor("fringe", "hair", "hair combed back", "full fringe"),
    Factor("eye_size", "eyes", "small eyes", "big eyes"),
    Factor("eye_opening", "eyes", "closed eyes", "eyes wide open"),
    Factor("iris_hue", "eyes", "brown eyes", "blue eyes"),
    Factor("gaze_x", "eyes", "looking to the left of the picture", "looking to the right of the picture"),
    Factor("gaze_y", "eyes", "looking down", "looking up"),
    Factor("eye_spacing", "eyes", "eyes close together", "eyes far apart"),
    Factor("brow_height", "brows", "low brows", "raised brows"),
    Factor("brow_tilt", "brows", "angry brows", "worried brows"),
    Factor("brow_thickness", "brows", "thin brows", "bushy brows"),
    Factor("nose_length", "nose", "short nose", "long nose"),
    Factor("nose_width", "nose", "slender nose", "broad nose"),
    Factor("mouth_width", "mouth", "narrow mouth", "wide mouth"),
    Factor("smile", "mouth", "frown", "smile"),
    Factor("mouth_opening", "mouth", "closed mouth", "open mouth"),
    Factor("lip_fullness", "mouth", "thin lips", "full lips"),
    Factor("lip_colour", "mouth", "lips like the skin", "red lips"),
    Factor("yaw", "pose", "turned to the left of the picture", "turned to the right of the picture"),
    Factor("pitch", "pose", "head bowed", "head raised"),
    Factor("light_side", "light", "lit from the left of the picture", "lit from the right of the picture"),
    Factor("light_warmth", "light", "cool light", "warm light"),
    Factor("background_hue", "background", "blue background", "pink background"),
    Factor("background_tone", "background", "dark background", "light background"),
)
"""All factors, in the order of the columns of a factor tensor."""

REGIONS: tuple[str, ...] = tuple(dict.fromkeys(factor.region for factor in FACTORS))
"""The regions, in the order of their first factor."""

_LIKEABLE: dict[str, float] = {
    "skin_tone": 0.22, "face_width": 0.5, "jaw": 0.42, "hair_tone": 0.42, "hair_length": 0.62, "hair_volume": 0.5,
    "fringe": 0.6, "eye_size": 0.6, "eye_opening": 0.68, "iris_hue": 0.8, "gaze_x": 0.5, "gaze_y": 0.5,
    "eye_spacing": 0.5, "brow_height": 0.5, "brow_tilt": 0.58, "brow_thickness": 0.4, "nose_length": 0.4,
    "nose_width": 0.35, "mouth_width": 0.55, "smile": 0.8, "mouth_opening": 0.35, "lip_fullness": 0.45,
    "lip_colour": 0.5, "yaw": 0.5, "pitch": 0.5, "light_side": 0.35, "light_warmth": 0.6,
    "background_hue": 0.15, "background_tone": 0.7,
}  # fmt: skip


def factor_names() -> tuple[str, ...]:
    """Return the names of all factors in the order of the columns."""
    return tuple(factor.name for factor in FACTORS)


def factor_index(name: str) -> int:
    """Return the column of the factor with this name.

    Raises:
        SemanifoldError: if there is no such factor; the message lists the near names.
    """
    names = factor_names()
    if name not in names:
        raise SemanifoldError(f"There is no factor named {name!r}: {near_names(name, names)}")
    return names.index(name)


def factors_of(region: str) -> tuple[Factor, ...]:
    """Return the factors that belong to a region.

    Raises:
        SemanifoldError: if there is no such region; the message lists the near names.
    """
    if region not in REGIONS:
        raise SemanifoldError(f"There is no region named {region!r}: {near_names(region, REGIONS)}")
    return tuple(factor for factor in FACTORS if factor.region == region)


def as_columns(factors: Tensor) -> dict[str, Tensor]:
    """Split factors [n, F] into one tensor [n, 1, 1] per name, ready to be broadcast over a picture.

    Raises:
        SemanifoldError: if the tensor does not have the shape [n, F] or no floating type.
    """
    if factors.ndim != 2 or factors.shape[1] != len(FACTORS) or not factors.is_floating_point():
        raise SemanifoldError(
            f"Factors are expected as a floating tensor [n, {len(FACTORS)}], one column for each of FACTORS, "
            f"but these are {list(factors.shape)} of {factors.dtype}."
        )
    columns = factors[:, :, None, None].unbind(1)
    return dict(zip(factor_names(), columns, strict=True))


def likeable_face(dtype: torch.dtype = torch.float32, **changes: float) -> Tensor:
    """Return the factors [1, F] of one friendly face, with some factors set by name.

    Args:
        dtype: floating type of the result.
        changes: factor names with their values in [0, 1].

    Raises:
        SemanifoldError: if a name is unknown.
    """
    values = [_LIKEABLE[name] for name in factor_names()]
    for name, value in changes.items():
        values[factor_index(name)] = value
    return torch.tensor([values], dtype=dtype)
