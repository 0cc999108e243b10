"""What a transfer says of its pictures."""

import pytest
import torch
from support.small_world import DIMS, SmallWorld

from semanifold.app.actions import transfer
from semanifold.app.answers import Caller
from semanifold.edits.base import EditInfo
from semanifold.edits.films import EditedPicture
from semanifold.edits.lattice import Lattice


def test_a_seed_that_is_named_twice_is_counted_as_often_as_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "what_changed", lambda subject, t: "it opens")
    world = SmallWorld()
    info = EditInfo(name="mouth", space="z")
    edit = Lattice(torch.stack([torch.zeros(DIMS), torch.ones(DIMS)]), (torch.tensor([0.0, 1.0]),), info)
    subjects = [EditedPicture(world, world.sample([seed]), edit) for seed in (1, 1, 2)]
    answer = transfer.summary_of_transfer(
        edit, transfer.Adapted(subjects, {}, {}), edit.times(3), {"seed 1": {}, "seed 2": {}}, Caller()
    )
    assert answer.said[0] == "mouth on seed 1, the first of 3 pictures: it opens."
