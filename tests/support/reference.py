"""Where the numbers of the published code and the real models are, and how a test reads them.

``tests/data/reference`` holds inputs, weights and results of the published programs (its README says what and from where).
``SEMANIFOLD_REFERENCE`` names another folder of the same layout: the tests take every size from the files themselves.
Real models are too large for the repository. Their folder is ``SEMANIFOLD_REAL``, or ``shared/real`` beside the checkout; tests
that need them are skipped without it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.places import ROOT, TESTS
from torch import Tensor

REFERENCE = Path(os.environ.get("SEMANIFOLD_REFERENCE") or TESTS / "data" / "reference").resolve()
REAL = Path(os.environ.get("SEMANIFOLD_REAL") or ROOT.parent / "shared" / "real").resolve()
PICTURES, GRADIENTS = 1e-5, 5e-5
"""Tolerances of the published numbers, relative to the largest value of a tensor."""


def described(name: str) -> dict[str, Any]:
    """What the JSON file of a fixture says."""
    return json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))


def settings(name: str) -> dict[str, Any]:
    """The sizes and settings that a fixture was made with: its ``config``."""
    return described(name)["config"]


def numbers(name: str, part: str = "") -> dict[str, Tensor]:
    """The tensors of a fixture; with ``part``, those named ``part/...``, without these words."""
    prefix = f"{part}/" if part else ""
    every = load_file(REFERENCE / f"{name}.safetensors")
    return {key.removeprefix(prefix): value for key, value in every.items() if key.startswith(prefix)}


def full_size(model: str) -> dict[str, list[int]]:
    """Names and shapes of the tensors of a real model."""
    table = described("full_size_layouts")["models"][model]["keys"]
    return {key: [side for side in shape if isinstance(side, int)] for key, shape in table.items()}


def agree(ours: Tensor, theirs: Tensor, tolerance: float = PICTURES) -> None:
    """Compare relative to the largest expected value."""
    assert ours.shape == theirs.shape
    assert torch.isfinite(ours).all()
    assert not theirs.numel() or (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def needs_real(*parts: str) -> pytest.MarkDecorator:
    """Skip a test where this file or folder of the real models is absent."""
    path = REAL.joinpath(*parts)
    return pytest.mark.skipif(not path.exists(), reason=f"no real models at {path}; SEMANIFOLD_REAL names their folder")
