"""A part of a photograph is placed together with its code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from semanifold.generators.loading import load_generator
from semanifold.images.media import to_uint8
from semanifold.images.photographs import fitted
from semanifold.images.placements import Placement
from semanifold.inversion import InversionSettings
from semanifold.inversion.placing import FARTHEST, Surroundings, misfit, refined_placement, surroundings
from semanifold.inversion.solve import Inversion
from semanifold.worlds.faces.analytic import AnalyticFaces

FACES = load_generator("faces")


def drawn(seed: int, side: int) -> Image.Image:
    """Return a drawn face with room around it."""
    faces = AnalyticFaces(side)
    face = to_uint8(faces.images(faces.sample([seed])))[0]
    return Image.fromarray(np.pad(face, ((side // 2, side // 2), (side // 2, side // 2), (0, 0)), mode="edge"))


def misplaced(place: Placement, share: float) -> Placement:
    """Return a placement that is shifted, turned and enlarged by about this share."""
    corners = torch.tensor(place.quad, dtype=torch.float64)
    middle = corners.mean(0)
    turn = torch.tensor([[1, -share / 2], [share / 2, 1]], dtype=torch.float64)
    return Placement.of((corners - middle) @ turn.T * (1 + share) + middle + share * torch.tensor(place.size))


def apart(one: Placement, other: Placement) -> float:
    """Return the distance between two placements' corners, root mean square, as a share of the side."""
    return (
        float((torch.tensor(one.quad, dtype=torch.float64) - torch.tensor(other.quad)).square().sum(1).mean().sqrt())
        / other.size[0]
    )


@pytest.mark.parametrize("shape", [(3, 40, 40), (3, 48, 32)])
def test_the_picture_of_a_moved_part_lies_where_it_says(shape: tuple[int, int, int]) -> None:
    photograph = drawn(3, 100)
    turned = misplaced(Placement.box(50, 50, 50 + 2.5 * shape[2], 50 + 2.5 * shape[1]), 0.1)
    wide = fitted(photograph, (3, round(1.6 * shape[1]), round(1.6 * shape[2])), turned.part(-0.3, -0.3, 1.3, 1.3))[0]
    around = Surroundings(turned, wide, (shape[1], shape[2]))
    for numbers in (torch.zeros(4), torch.tensor([1.0, -0.5, 0.7, 2.0])):
        moved = around.moved(numbers)
        plain, _ = fitted(photograph, shape, moved)
        assert (around.at(numbers) - plain).abs().mean() < 0.025
        assert moved.size[0] / moved.size[1] == pytest.approx(shape[2] / shape[1])
    assert apart(around.moved(torch.zeros(4)), turned) < 1e-6
    far = around.moved(torch.tensor([1e6, 0.0, 1e6, 0.0]))
    assert far.size[0] == pytest.approx(turned.size[0] * math.exp(FARTHEST[2])), "no number goes too far"


def test_gradients_are_those_of_the_value() -> None:
    around = surroundings(FACES, drawn(3, 100), Placement.box(50, 50, 150, 150))
    inversion = Inversion.prepare(FACES, around.at(torch.zeros(4)), InversionSettings(space="w"), None, 0, None, None, None)
    objective = inversion.objective(inversion.starts(lambda report: None)[0][0].code)
    point, step = torch.tensor([0.4, -0.3, 0.5, 0.2]), 0.02
    gradient = misfit(objective, around, objective.origin, point).gradient[-4:]
    for index in range(4):
        ends = [point + sign * step * torch.eye(4)[index] for sign in (1, -1)]
        up, down = (misfit(objective, around, objective.origin, end).value for end in ends)
        assert float(gradient[index]) == pytest.approx((up - down) / (2 * step), rel=0.05, abs=1e-4)


def test_a_misplaced_face_is_placed_better() -> None:
    true = Placement.box(48, 48, 144, 144)
    wrong = misplaced(true, 0.05)
    reports = []
    better = refined_placement(FACES, drawn(1000, 96), wrong, progress=lambda report: reports.append(report["PSNR"]))
    assert apart(better, true) < 0.3 * apart(wrong, true)
    assert reports[-1] > reports[0] + 5
    assert len(reports) <= 20
    few = InversionSettings(steps=2)
    refined_placement(FACES, drawn(1000, 96), wrong, few, progress=lambda report: reports.append(report["steps"]))
    assert reports[-2:] == [2, 2], "no more steps than the inversion may take"
