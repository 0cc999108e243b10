"""What is seen of a path: its pictures, made once."""

import torch
from support.small_world import SmallWorld

from semanifold.edits import EditInfo, Lattice
from semanifold.edits.steps import picture_steps
from semanifold.generators.coordinates import PLAIN
from semanifold.images.distances import l2
from semanifold.images.masks import box
from semanifold.manifolds.objective import pasted_parts
from semanifold.manifolds.seen import look, smoother_half


def test_distances_and_steps_are_those_of_the_pictures_whatever_the_chunk() -> None:
    world = SmallWorld()
    start = world.sample([4])
    path = torch.linspace(0, 1, 7)[:, None] * torch.ones(1, 6)
    picture = world.images(start)
    parts = pasted_parts(box(0, 0.5, 1, 1).at(*picture.shape[2:]), picture, l2)
    inside, outside = parts(world.images(start.moved(path, None)))
    edit = Lattice(path, [torch.linspace(0, 1, 7)], EditInfo(space="z"), start=start)
    steps = picture_steps(world, edit, edit.knots[0])
    for chunk in (3, 8):
        seen = look(world, start, path, None, PLAIN, parts, chunk)
        torch.testing.assert_close(torch.stack([seen.inside, seen.outside]), torch.stack([inside, outside]))
        torch.testing.assert_close(seen.steps, steps, rtol=1e-4, atol=1e-6)


def test_the_half_without_the_leap_is_taken_there_and_back() -> None:
    path = torch.arange(5.0)[:, None]
    assert smoother_half(path, torch.tensor([1.0, 1, 1, 9])).flatten().tolist() == [0, 1, 2, 1, 0]
    assert smoother_half(path, torch.tensor([9.0, 1, 1, 1])).flatten().tolist() == [4, 3, 2, 3, 4]
    assert smoother_half(path[:4], torch.tensor([1.0, 1, 2])).flatten().tolist() == [0, 1, 1, 0]
