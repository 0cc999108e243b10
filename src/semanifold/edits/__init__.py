"""Edits: paths of pictures that start at an unedited one."""

from semanifold.edits.base import Edit, EditInfo, LatentEdit
from semanifold.edits.files import load_edit, save_edit
from semanifold.edits.flow import Flow
from semanifold.edits.lattice import Lattice
from semanifold.edits.sums import Sum
from semanifold.edits.tracing import in_one_space, traced
from semanifold.edits.weights import WeightEdit

__all__ = [
    "Edit",
    "EditInfo",
    "Flow",
    "LatentEdit",
    "Lattice",
    "Sum",
    "WeightEdit",
    "in_one_space",
    "load_edit",
    "save_edit",
    "traced",
]
