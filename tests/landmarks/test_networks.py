"""The networks, against the published files run by their own program (tests/data/landmarks.json says how)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from semanifold.landmarks.networks import DETECTED_AT, MESHED_AT, anchors, detector, mesh

PUBLISHED = json.loads((Path(__file__).parent.parent / "data" / "landmarks.json").read_text())


def formula_picture(size: int) -> torch.Tensor:
    """Return the picture ``[1, 3, size, size]`` in [-1, 1] that the published files were given."""
    c, y, x = np.mgrid[0:3, 0:size, 0:size].astype(np.float64)
    return torch.tensor(np.sin(0.05 * x + 0.03 * c * y) * np.cos(0.04 * y + c), dtype=torch.float32)[None]


def some(values: torch.Tensor) -> list[float]:
    """Return the values that the fixture holds."""
    flat = values.flatten()
    return flat[:: max(1, len(flat) // 40)].tolist()


def test_the_detector_is_the_published_one() -> None:
    scores, places = detector()(formula_picture(DETECTED_AT))
    assert scores.shape == (1, 896)
    middles = anchors()[:, None].repeat(1, 8, 1)
    middles[:, 1] = 0  # the size has no place
    assert some(scores) == pytest.approx(PUBLISHED["detector_scores"], abs=2e-3)
    assert some(DETECTED_AT * (places[0] - middles)) == pytest.approx(PUBLISHED["detector_places"], abs=2e-3)


def test_the_mesh_is_the_published_one() -> None:
    points, score = mesh()(formula_picture(MESHED_AT))
    assert points.shape == (1, 468, 3)
    assert some(MESHED_AT * points) == pytest.approx(PUBLISHED["mesh_points"], abs=0.1), "its weights are half as precise"
    assert some(score) == pytest.approx(PUBLISHED["mesh_score"], abs=0.1)
