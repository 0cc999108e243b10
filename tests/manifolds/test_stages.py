"""A search that is asked for one step after the other."""

import pytest
import torch
from support.small_world import SmallWorld

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.solutions import Result
from semanifold.images.masks import box
from semanifold.manifolds import ManifoldSettings, discover_manifold, search

LOWER = box(0, 0.5, 1, 1)
QUICK = ManifoldSettings(space="z", frames=9, steps=30)


class CountedWorld(SmallWorld):
    """A small world that counts its pictures."""

    made = 0

    def images(self, latents: Latents, *, size: int | None = None) -> torch.Tensor:
        self.made += len(latents)
        return super().images(latents, size=size)


def test_a_search_can_be_stepped_and_left_at_any_step() -> None:
    counted = CountedWorld()
    said: list[dict] = []
    whole = discover_manifold(counted, counted.sample([4]), LOWER, QUICK, progress=said.append)
    pictures, counted.made = counted.made, 0
    steps = list(search(counted, counted.sample([4]), LOWER, QUICK))
    assert all(
        one.step == now["step"] and one.terms["objective"] == now["objective"] for one, now in zip(steps, said, strict=True)
    )
    assert [step.result for step in steps[:-1]] == [None] * (len(steps) - 1)
    solution = steps[-1].solution()
    assert (solution.stats, solution.result) == (whole.stats, whole.result)
    torch.testing.assert_close(solution.value.offsets, whole.value.offsets, rtol=0, atol=0)
    assert counted.made == pictures  # the same pictures were made, and none for the steps that nobody asked


def test_leaving_a_search_gives_the_best_so_far() -> None:
    world = CountedWorld()
    steps = search(world, world.sample([4]), LOWER, QUICK)
    assert world.made <= 2  # nothing is searched before the first step is asked for
    left = next(step for step in steps if step.step == 5)
    best = left.edit.offsets
    for _ in range(3):
        next(steps)
    torch.testing.assert_close(left.edit.offsets, best, rtol=0, atol=0)
    solution = left.solution()
    assert (solution.result, solution.stats["steps"]) == (Result.INTERRUPTED, 5)
    assert len(solution.value.knots[0]) == QUICK.frames


def test_a_search_that_makes_no_sense_is_refused_before_its_first_step() -> None:
    world = SmallWorld()
    with pytest.raises(SemanifoldError):
        search(world, world.sample([4]), "no-such-region", QUICK)
