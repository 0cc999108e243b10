"""Masks: soft pictures in [0, 1] of any shape, at any size, with a text form that people can type."""

from semanifold.images.masks.base import Mask, Regions, box, ellipse, polygon
from semanifold.images.masks.grammar import as_mask, files_in, parse_mask
from semanifold.images.masks.painting import painted

__all__ = ["Mask", "Regions", "as_mask", "box", "ellipse", "files_in", "painted", "parse_mask", "polygon"]
