"""Kinds of sets of paths, by their names; known without torch."""

from __future__ import annotations

from typing import Literal

from semanifold.core.errors import SemanifoldError, near_names, shown

Form = Literal["fc", "linear", "id", "ortho", "projective", "random"]
FORMS = ("fc", "linear", "id", "ortho", "projective", "random")
CLOSED = ("joint", "pca", "sefa")
"""Methods that need nothing but a generator."""
WEIGHT_KINDS = ("weights-svd", "weights-hessian")
"""Sets in weights that can be trained (arXiv:2011.13786, sections 3.1 and 3.3)."""
KINDS = ("warped", *FORMS, *WEIGHT_KINDS, *CLOSED)
"""What a training can learn, or measure."""


def check_kind(name: str) -> None:
    """Refuse what is none of :data:`KINDS`.

    Raises:
        SemanifoldError: with the near names.
    """
    if name not in KINDS:
        raise SemanifoldError(f"There is no kind of paths {shown(name, 40)!r}: {near_names(name, KINDS)}")
