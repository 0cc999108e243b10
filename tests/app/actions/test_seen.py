"""What is said of pictures in words."""

from types import SimpleNamespace
from typing import Any

from semanifold.app.actions.seen import described, nearness


def test_how_near_a_picture_came_is_said_in_words_before_the_numbers():
    numbers: Any = {"psnr": 45.8, "steps": 6, "evaluations": 9, "nature": 0.69}
    faces: Any = SimpleNamespace(name="faces", space="w+")
    said = described(numbers, 1.9, faces, faces)
    assert said.startswith("faces makes a picture that can hardly be told from the photograph (45.8 dB; 6 steps,")
    assert "Its code is a usual one, fit for edits (w+, 0.83 times" in said
    far = described(numbers | {"psnr": 15.0, "nature": 9.0}, 1.9, faces, faces, inside=True)
    assert "not like the photograph inside of the mask (15.0 dB" in far
    assert "an unusual one, where edits may do something else (w+, 3.00" in far
    near, like = (nearness(psnr).partition(",")[0] for psnr in (30, 29.9))
    assert (near, like) == ("a picture close to the photograph", "a picture like the photograph")
