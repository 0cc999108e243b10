"""What is said of pictures in words."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from semanifold.app.actions import seen
from semanifold.app.actions.seen import consistency_words, described, nearness
from semanifold.inversion.measures import Consistency


def test_how_near_a_picture_came_is_said_in_words_before_the_numbers():
    numbers: Any = {"psnr": 45.8, "steps": 6, "evaluations": 9, "nature": 0.69}
    faces: Any = SimpleNamespace(name="faces", space="w+")
    said = described(numbers, 1.9, faces, faces)
    assert said.startswith("The generator faces makes a picture that can hardly be told from the photograph (45.8 dB; 6 steps,")
    assert "Its code is a usual one, fit for edits (w+, 0.83 times" in said
    far = described(numbers | {"psnr": 15.0, "nature": 9.0}, 1.9, faces, faces, inside=True)
    assert "not like the photograph inside of the mask (15.0 dB" in far
    assert "an unusual one, where edits may do something else (w+, 3.00" in far
    near, like = (nearness(psnr).partition(",")[0] for psnr in (30, 29.9))
    assert (near, like) == ("a picture close to the photograph", "a picture like the photograph")


@pytest.mark.parametrize(
    ("t", "loops", "along"),
    [
        ([0.0, 0.5, 1.0], False, [[0.0, 0.5, 1.0]]),
        ([-1.0, 0.0, 0.5, 1.0], False, [[0.5, 1.0], [1.0]]),
        ([0.0, 0.5, 1.0], True, [None]),
    ],
)
def test_words_know_the_order_of_pictures_on_each_way(t: Any, loops: bool, along: Any, monkeypatch: pytest.MonkeyPatch):
    told: list[Any] = []
    monkeypatch.setattr(seen, "shows_faces", lambda _: True)
    monkeypatch.setattr(
        seen, "describe_change", lambda *_, along=None: told.append(along if along is None else along.tolist()) or ""
    )
    subject: Any = SimpleNamespace(
        generator=None, edit=SimpleNamespace(loops=loops), pictures=lambda t: [torch.zeros(len(t), 3, 8, 8)], picture=None
    )
    seen.what_changed(subject, torch.tensor(t))
    assert told == along


def test_whether_the_picture_comes_back_is_said_apart_from_whether_its_code_does():
    start = "Check: edited, inverted again and the edit undone, the picture "
    assert consistency_words(Consistency(psnr=32.8, code=1.39, edited=20.1)) == (
        f"{start}comes back (32.8 dB; edited it was 20.1 dB away), but its code is another one (off by 139% of the edit)."
    )
    assert "dB away), and its code comes back (off by 20%" in consistency_words(Consistency(psnr=32.8, code=0.2, edited=20.1))
    roughly = consistency_words(Consistency(psnr=32.8, code=0.34, edited=20.1))
    assert roughly.endswith("and its code is nearer to the one of before than to that of the edit (off by 34% of the edit).")
    lost = consistency_words(Consistency(psnr=25.0, code=0.7, edited=20.1))
    assert lost.startswith(f"{start}does not come back (25.0 dB")
    assert ", and its code is another one (" in lost
