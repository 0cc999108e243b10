"""Shapes of tensors, as types: what a signature says of them. The tests check them at every call (``tests/conftest.py``).

A letter is one number within a call: two pictures ``[n, c, h, w]`` of one call are as many and as large. Pictures are many and
independent (n), frames are those of one film, in their order (t). These are ``torch.Tensor`` to a type checker, and checked by
nobody outside of the tests; only modules that load torch may import this one.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

Pictures = Float[Tensor, "n c h w"]
"""As many pictures as codes, nominally in [-1, 1]."""
Frames = Float[Tensor, "t c h w"]
"""The pictures of one film, or of one path, in their order."""
Times = Float[Tensor, "t"]
"""Where the frames of a film or a path lie on it."""
EditTimes = Float[Tensor, "t *both"]
"""The same of any edit: ``[t]`` on a path, ``[t, 2]`` on a pad."""
Way = Float[Tensor, "t d"]
"""How far an edit has gone at each of several times, in d numbers."""
EachStep = Float[Tensor, "t-1"]
"""One number for each two consecutive frames."""
Reference = Float[Tensor, "#n c h w"]
"""Pictures to compare with: as many as the others, or one for all."""
Masks = Float[Tensor, "#n 1 h w"]
"""One mask a picture, or one for all, in [0, 1]."""
Mask1 = Float[Tensor, "1 1 h w"]
"""One mask, in [0, 1]."""
Features = Float[Tensor, "n k y x"]
"""Feature maps of pictures, of their own height and width."""
FeaturesOfReference = Float[Tensor, "#n k y x"]
"""Feature maps of pictures to compare with."""
EachPicture = Float[Tensor, "n"]
"""One number a picture."""
Frames8 = UInt8[np.ndarray, "t h w 3"]
"""Frames of one film, or tiles of one sheet, in their order, as 8-bit RGB."""

Codes = Float[Tensor, "n *code"]
"""Codes, or parts of them, of one space."""
EachCode = Float[Tensor, "n"]
"""One number a code."""
Paths = Int[Tensor, "n"]
"""Which path each code takes, from 0."""
Rows = Float[Tensor, "k d"]
"""Rows of d numbers."""
Square = Float[Tensor, "d d"]
"""A square matrix."""

Effects = Float[Tensor, "factors 1 h w"]
"""How strongly each factor moves each pixel."""
EachFactor = Float[Tensor, "factors"]
"""One number a factor."""
OfFactors = Bool[Tensor, "factors"]
"""Which factors."""
FactorsOfPictures = Float[Tensor, "n factors"]
"""Factors of pictures, or their changes."""

Readings = Float[np.ndarray, "codes paths t attributes"]
"""What was read from the frames of paths, NaN where a frame has no value."""
ScoresOfCodes = Float[np.ndarray, "codes paths attributes"]
"""Scores of paths, code by code."""
ScoresOfPaths = Float[np.ndarray, "paths attributes"]
"""Scores of paths."""
Steps = Float[np.ndarray, "t attributes"]
"""What the readings of each attribute are compared with."""
Moments = Float[np.ndarray, "t"]
"""Places of the frames along a path."""
