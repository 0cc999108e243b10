"""Groups of attributes: those that are looked at together when paths are ranked."""

from __future__ import annotations

from collections.abc import Sequence

from semanifold.core.errors import SemanifoldError, near_names

ATTRIBUTE_GROUPS: dict[str, tuple[str, ...]] = {
    "DEV": ("au_12_Lip_Corner_Puller", "identity"),
    "Face-W": ("face_width", "identity"),
    "Face-H": ("face_height", "identity"),
    "Face-WH": ("face_width", "face_height", "identity"),
    "Age-FareFace": ("age", "identity", "gender", "race"),
    "Age-CelebA": ("celeba_age", "identity", "gender", "race"),
    "Gender": ("gender", "race", "age", "celeba_age"),
    "Rotation": (
        "yaw",
        "pitch",
        "roll",
        "identity",
        "age",
        "celeba_age",
        "race",
        "gender",
        "celeba_bangs",
        "celeba_beard",
        "celeba_eyeglasses",
        "celeba_smiling",
    ),
    "Smiling-AU12": ("au_12_Lip_Corner_Puller", "identity", "gender", "age", "race"),
    "Smiling-CelebA": ("celeba_smiling", "identity", "gender", "age", "race"),
    "Brow-Lowerer-AU4": ("au_4_Brow_Lowerer", "identity", "gender", "age", "race"),
    "Bangs": ("celeba_bangs", "identity"),
}
"""The groups of WarpedGANSpace, under its names (arXiv:2109.13357)."""


def find_group(word: str, measured: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the name of a group and its attributes, all of which must have been measured.

    Args:
        word: a name of :data:`ATTRIBUTE_GROUPS`, ``all``, or one's own group as ``name=a,b,c``.
        measured: the attributes that there are.

    Raises:
        SemanifoldError: for an unknown group or attribute, with the near names.
    """
    name, equals, members = word.partition("=")
    if equals:
        attributes = tuple(part.strip() for part in members.split(",") if part.strip())
        if not name or not attributes or len(set(attributes)) < len(attributes):
            raise SemanifoldError(f"A group is given as GROUP=ATTRIBUTE,ATTRIBUTE with each attribute once, but got {word!r}.")
    elif name == "all":
        attributes = tuple(measured)
    elif name in ATTRIBUTE_GROUPS:
        attributes = ATTRIBUTE_GROUPS[name]
    else:
        raise SemanifoldError(f"There is no attribute group {name!r}: {near_names(name, ['all', *ATTRIBUTE_GROUPS])}")
    missing = [attribute for attribute in attributes if attribute not in measured]
    if missing:
        raise SemanifoldError(
            f"The group {name} needs the attribute {missing[0]!r}, which was not measured: {near_names(missing[0], measured)}"
        )
    return name, attributes
