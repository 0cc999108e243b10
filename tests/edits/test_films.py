"""Filmstrips with what is said below their pictures."""

import numpy as np
import torch
from support.small_world import DIMS, SmallWorld

from semanifold.edits.base import EditInfo
from semanifold.edits.films import EditedPicture, timed_strip
from semanifold.edits.lattice import Lattice
from semanifold.images import media


def grey(levels) -> np.ndarray:
    return np.stack([np.full((8, 8, 3), level, np.uint8) for level in levels])


def test_the_unedited_picture_is_in_the_strip_of_a_path_that_has_it_between_two_frames():
    t = torch.linspace(-2, 5, 12)
    plain = grey([255])[0]
    strip, below = timed_strip(grey(range(12)), t, plain, None, size=8)
    pictures = [np.asarray(strip)[0, 8 * i + media.GAP * i, 0] for i in range(9)]
    assert below == ["t = -2", "-1.4", "0", "+0.55", "+1.8", "+2.5", "+3.1", "+4.4", "+5"]
    assert pictures == [0, 1, 255, 4, 6, 7, 8, 10, 11], "in place of the frame that is nearest to it"
    own, numbers = timed_strip(grey(range(9)), torch.linspace(-1, 1, 9), plain, None, size=8)
    assert numbers[4] == "0"
    assert 255 not in np.asarray(own)[0, :: 8 + media.GAP, 0], "a frame of its own"


def test_the_ends_of_a_path_stay_beside_the_unedited_picture():
    plain = grey([255])[0]
    for t, words in (
        ([-1.0, 1.0], ["t = -1", "0", "+1"]),
        ([-0.01, 0.3, 1.0], ["t = -0.01", "0", "+0.3", "+1"]),
        ([-1.0, 0.1], ["t = -1", "0", "+0.1"]),
    ):
        strip, below = timed_strip(grey(range(len(t))), torch.tensor(t), plain, None, size=8)
        assert below == words
        assert np.asarray(strip)[0, 8 + media.GAP, 0] == 255


def test_a_strip_says_its_mask_and_seconds_where_t_is_time():
    frames, mask = grey(range(5)), np.ones((8, 8), np.float32)
    assert timed_strip(frames, torch.linspace(0, 1, 5), frames[0], mask)[1] == [
        "seed and mask",
        "t = 0",
        "0.25",
        "0.5",
        "0.75",
        "1",
    ]
    assert timed_strip(frames, torch.linspace(0, 1, 5), frames[0], None, seconds=6)[1] == ["0 s", "1.5 s", "3 s", "4.5 s", "6 s"]
    assert timed_strip(frames, torch.zeros(5, 2), frames[0], mask)[1] == [], "a pad has two numbers a picture"


def test_a_loop_has_the_same_numbers_however_many_frames_its_film_has_and_its_farthest_picture():
    for t, last in ((121, 0), (121, 1), (25, 1), (9, 0)):
        frames = grey(range(t - last))
        strip, below = timed_strip(frames, torch.linspace(0, 1, t), frames[0], None, loops=True, size=8)
        assert below == ["t = 0", "0.12", "0.25", "0.38", "0.5", "0.62", "0.75", "0.88"]
        assert np.asarray(strip)[0, 4 * (8 + media.GAP), 0] == t // 2
    short = timed_strip(grey(range(4)), torch.linspace(0, 1, 5), grey([0])[0], None, loops=True)[1]
    assert short == ["t = 0", "0.25", "0.5", "0.75"]
    both = timed_strip(grey(range(9)), torch.linspace(-1, 1, 9), grey([0])[0], None, loops=True)[1]
    assert (both[0], both[-1]) == ("t = -1", "+1"), "one that runs both ways has both ends"


def test_a_strip_of_an_edit_is_that_of_its_film():
    world = SmallWorld()
    for ends, knots in (((0.0, 1.0), [0.0, 1.0, 0.0]), ((-1.0, 1.0), [-1.0, 0.0, 1.0])):
        t = torch.linspace(*ends, 3)
        values = torch.tensor(knots)[:, None] * torch.ones(3, DIMS)
        subject = EditedPicture(world, world.sample([0]), Lattice(values, [t], EditInfo(space="z", usable=ends)))
        film = subject.edit.times(121)
        row, below = subject.timed(subject.frames(film), film, size=8)
        assert np.array_equal(np.asarray(subject.strip(size=8))[:8], np.asarray(row)), below


def test_a_loop_of_which_pictures_are_left_out_keeps_its_farthest_one():
    for size, mask, words in (
        ((24, 1000), None, ["t = 0", "0.17", "0.33", "0.5", "0.67", "0.83, 2 of 8 left out"]),
        ((40, 4000), np.ones((40, 4000), np.float32), ["seed and mask", "t = 0", "0.5, 6 of 8 left out"]),
    ):
        frames = np.zeros((25, *size, 3), np.uint8)
        assert timed_strip(frames, torch.linspace(0, 1, 25), frames[0], mask, loops=True)[1] == words
    short = np.zeros((5, 40, 4000, 3), np.uint8)
    few = timed_strip(short, torch.linspace(0, 1, 5), short[0], np.ones((40, 4000), np.float32), loops=True)[1]
    assert few == ["seed and mask", "t = 0", "0.5, 3 of 5 left out"]


def test_a_strip_with_the_unedited_picture_beside_an_end_fits_and_counts_what_it_shows():
    for size, n, shown, out in (((24, 1000), 24, 6, "3 of 9"), ((24, 1000), 6, 6, "1 of 7"), ((24, 2000), 24, 3, "6 of 9")):
        frames, t = np.zeros((n, *size, 3), np.uint8), torch.linspace(-0.01, 1, n)
        strip, below = timed_strip(frames, t, frames[0], np.ones(size, np.float32))
        assert strip.width <= media.WIDEST
        assert below[:3] == ["seed and mask", "t = -0.01", "0"]
        assert len(below) == 1 + shown
        assert below[-1] == f"+1, {out} left out"


def test_a_picture_of_one_line_is_shown_with_its_mask():
    frames = np.zeros((2, 1, 4000, 3), np.uint8)
    strip, _ = timed_strip(frames, torch.linspace(0, 1, 2), frames[0], np.ones((1, 4000), np.float32))
    assert strip.height == 1
