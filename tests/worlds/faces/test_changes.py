"""What changed, in words: the sentence names the factors that moved, which way and how far, and nothing that did not."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

import semanifold as sm
from semanifold.core.errors import SemanifoldError
from semanifold.worlds.faces import FACTORS, changes, factor_index, factor_names, likeable_face, render
from semanifold.worlds.faces.changes import CHANGES, describe_change, describe_usual_change


def face(**factors: float) -> Tensor:
    values = likeable_face().clone()
    for name, value in factors.items():
        values[:, factor_index(name)] = value
    return values


def film(start: Tensor, end: Tensor, frames: int = 5) -> Tensor:
    return render(torch.lerp(start, end, torch.linspace(0, 1, frames)[:, None]))


def test_every_factor_has_its_words_in_order() -> None:
    assert tuple(CHANGES) == factor_names()
    assert all(0 < change.error < 0.1 for change in CHANGES.values())


@pytest.mark.parametrize("factor", [factor.name for factor in FACTORS])
def test_a_factor_that_moves_alone_is_named_first_and_the_right_way(factor: str) -> None:
    low, high = face(**{factor: 0.2}), face(**{factor: 0.8})
    words = CHANGES[factor]
    assert describe_change(film(low, high), render(low)).startswith(f"{words.what} {words.more} (+")
    assert describe_change(film(high, low), render(high)).startswith(f"{words.what} {words.less} (-")


def test_the_sentence_says_how_far_the_plainest_first() -> None:
    """A head that turns by a fifth moves more of the picture than a smile that grows by a third."""
    start, end = face(mouth_opening=0.2, smile=0.5, yaw=0.5), face(mouth_opening=0.8, smile=0.8, yaw=0.3)
    sentence = describe_change(film(start, end), render(start))
    assert re.fullmatch(
        r"the mouth opens \(\+\d\d % of its range\), the head turns left \(-\d\d %\), the smile grows \(\+\d\d %\)", sentence
    )
    sizes = [int(number) for number in re.findall(r"(\d+) %", sentence)]
    assert sizes == pytest.approx([60, 20, 30], abs=10)
    assert describe_change(film(start, end), render(start), most=1) == sentence.partition(",")[0]


def test_a_change_both_ways_is_named_both_ways() -> None:
    middle, low, high = (face(mouth_opening=value) for value in (0.5, 0.2, 0.9))
    sentence = describe_change(film(low, high), render(middle))
    assert re.fullmatch(r"the mouth opens and closes \(\+\d\d %, -\d\d % of its range\)", sentence)


def test_one_picture_changes_one_way_only() -> None:
    """And so does a film that never comes near the reference."""
    closed, wide, wider = (render(face(mouth_opening=value)) for value in (0.1, 0.7, 0.9))
    assert re.fullmatch(r"the mouth opens \(\+\d\d % of its range\)", describe_change(wide, closed))
    assert re.fullmatch(r"the mouth opens \(\+\d\d % of its range\)", describe_change(torch.cat([wide, wider]), closed))


def test_nothing_is_said_of_what_is_not_certain() -> None:
    faces = torch.rand(60, len(FACTORS), generator=torch.Generator().manual_seed(1))
    pictures = render(faces)
    assert all(describe_change(pictures[i : i + 1], pictures[i : i + 1]) == "" for i in range(3))
    dots = pictures + 0.02 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(2))
    claims = [describe_change(dots[i : i + 1], pictures[i : i + 1]) for i in range(60)]
    assert sum(claim != "" for claim in claims) <= 3


def test_eyes_behind_shut_lids_say_nothing() -> None:
    start, end = face(eye_opening=0.6), face(eye_opening=0.0)
    sentence = describe_change(film(start, end), render(start))
    assert sentence.startswith("the eyes close")
    assert re.search(r"\(-\d\d % of their range\)", sentence)
    assert "gaze" not in sentence
    assert "irises" not in sentence


def test_pictures_of_another_shape_are_refused() -> None:
    picture = render(likeable_face())
    for frames, reference in (
        (picture[0], picture),
        (picture[:0], picture),
        (picture, picture.repeat(2, 1, 1, 1)),
        (picture[:, :1], picture),
    ):
        with pytest.raises(SemanifoldError, match="one reference"):
            describe_change(frames, reference)


def test_a_mouth_that_is_open_already_can_still_be_seen_to_gape() -> None:
    """Factors of a generator's pictures go on beyond the ends of their range."""
    faces = sm.load_generator("faces")
    pictures = sm.load_paths("faces")["mouth_opening"].images(faces, 3, [0.2, 1.0])
    assert describe_change(pictures[1:], pictures[:1]).startswith("the mouth opens")


def test_what_is_misread_of_a_head_that_turns_to_the_end_is_not_said() -> None:
    """Of 80 turns of 40 heads that do nothing else, 10 were called a change of eyes or mouth first."""
    faces, turn = sm.load_generator("faces"), sm.load_paths("faces")["yaw"]
    pictures = turn.images(faces, 3032, [0.0, 1.0])
    assert describe_change(pictures[1:], pictures[:1]).startswith("the head turns right (+21 % of its range)")
    firsts = [
        describe_change(end[None], middle, most=1)
        for seed in range(3028, 3036)
        for left, middle, right in [turn.images(faces, seed, [-1.0, 0.0, 1.0]).split(1)]
        for end in (left[0], right[0])
    ]
    assert sum(first.startswith("the head turns") for first in firsts) >= 14


def test_a_head_that_turns_beyond_its_end_is_not_said_to_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    yaw, mouth = factor_index("yaw"), factor_index("mouth_opening")
    read = torch.full((4, len(FACTORS)), 0.5)  # the unedited picture, then three that turn farther
    read[:, yaw], read[:, mouth] = torch.tensor([0.2, 0.02, 0.1, 0.32]), torch.tensor([0.7, 0.7, 0.7, 0.05])
    pictures = torch.zeros(4, 3, 8, 8) + torch.arange(4.0)[:, None, None, None]
    monkeypatch.setattr(changes, "_read", lambda images: read[images[:, 0, 0, 0].long()])
    assert describe_change(pictures[1:], pictures[:1]) == "the head turns left (-18 % of its range)"
    read[:, yaw] = torch.tensor([0.5, 0.02, 0.98, 0.7])
    assert "turns right and turns left" in describe_change(pictures[1:], pictures[:1]), "both ways are both said"


def test_a_head_that_is_turned_beyond_its_end_stays_so_in_all_pictures_after_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read at .16 a head in profile looks like one that can be read."""
    yaw, mouth = factor_index("yaw"), factor_index("mouth_opening")
    read = torch.full((4, len(FACTORS)), 0.5)
    read[:, yaw], read[:, mouth] = torch.tensor([0.19, 0.17, -0.03, 0.16]), torch.tensor([0.7, 0.7, 0.7, 0.05])
    pictures = torch.zeros(4, 3, 8, 8) + torch.arange(4.0)[:, None, None, None]
    monkeypatch.setattr(changes, "_read", lambda images: read[images[:, 0, 0, 0].long()])
    assert "mouth" in describe_change(pictures[1:], pictures[:1]), "nothing is known of the order"
    along = torch.tensor([0.3, 0.6, 1.0])
    assert describe_change(pictures[1:], pictures[:1], along=along) == "the head turns left (at least -22 % of its range)"
    read[3, yaw] = 0.98
    assert describe_change(pictures[1:], pictures[:1], along=along) == "the head turns left (at least -22 % of its range)"


def test_a_change_that_goes_on_where_a_head_is_turned_too_far_is_at_least_so_large() -> None:
    start, slightly, far = (face(mouth_opening=m, yaw=y) for m, y in ((0.1, 0.5), (0.5, 0.6), (0.9, 0.95)))
    frames, reference = render(torch.cat([slightly, far])), render(start)
    number = r"the mouth opens \(at least \+[34]\d %\)"
    assert re.search(number, describe_change(frames, reference))
    assert re.search(number, describe_change(frames, reference, along=torch.tensor([0.5, 1.0])))
    assert "at least" not in describe_change(render(slightly), reference)
    assert "turns right (+" in describe_change(frames, reference), "nothing more is seen of a turn"


def test_a_nose_that_stays_is_not_said_to_change_beside_a_mouth_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    read, nose = changes._read, factor_index("nose_width")
    start, opened, both = (render(face(mouth_opening=m, nose_width=n)) for m, n in ((0.1, 0.9), (0.9, 0.9), (0.9, 0.4)))
    assert "the nose narrows (-" in describe_change(both, start)

    def misread(images: torch.Tensor) -> torch.Tensor:
        values = read(images)
        values[:, nose] -= 0.5 * (images - start).flatten(1).any(1)
        return values

    monkeypatch.setattr(changes, "_read", misread)
    assert "the mouth opens (+" in describe_change(opened, start)
    assert "nose" not in describe_change(opened, start)
    assert "the mouth opens (+" in describe_usual_change(opened, start)
    assert "nose" not in describe_usual_change(opened, start)


def test_a_head_that_is_turned_already_and_stays_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    read, yaw = changes._read, factor_index("yaw")
    start, opened, farther = (render(face(mouth_opening=m, yaw=y)) for m, y in ((0.1, 0.86), (0.9, 0.86), (0.9, 1.0)))
    assert "the mouth" not in describe_change(farther, start)

    def misread(images: torch.Tensor) -> torch.Tensor:
        values = read(images)
        values[:, yaw] = torch.where((images - start).flatten(1).any(1), 0.98, 0.86)
        return values

    monkeypatch.setattr(changes, "_read", misread)
    assert "the mouth opens (+" in describe_change(opened, start)


def test_a_hue_that_is_seen_at_the_end_is_no_least_though_it_passes_grey() -> None:
    blue, pink = render(face(background_hue=0.1)), render(face(background_hue=0.9))
    grey = blue.mean(1, keepdim=True).expand_as(blue)
    sentence = describe_change(torch.cat([grey, pink]), blue, along=torch.tensor([0.5, 1.0]), most=9)
    assert "the background turns redder (+" in sentence
    sentence = describe_change(torch.cat([pink, grey]), blue, along=torch.tensor([0.5, 1.0]), most=9)
    assert "the background turns redder (at least +" in sentence


def test_a_background_that_is_black_or_grey_has_no_hue() -> None:
    faces = sm.load_generator("faces")
    pictures = sm.load_paths("faces")["background_tone"].images(faces, 7, [0.0, -1.0])
    assert "the background darkens" in describe_change(pictures[1:], pictures[:1], most=9)
    assert "the background turns" not in describe_change(pictures[1:], pictures[:1], most=9)
    blue, pink = render(face(background_hue=0.1)), render(face(background_hue=0.9))
    assert "the background turns redder" in describe_change(pink, blue)
    grey = blue.mean(1, keepdim=True).expand_as(blue)
    assert "the background turns" not in describe_change(grey, pink, most=9)
    assert "the background turns" not in describe_change(pink, grey, most=9)


def test_a_mouth_that_opens_while_a_head_turns_in_the_middle_of_its_range_is_said() -> None:
    start, end = face(mouth_opening=0.2, yaw=0.4), face(mouth_opening=0.8, yaw=0.6)
    assert "the mouth opens" in describe_change(render(end), render(start))
    far = face(mouth_opening=0.8, yaw=0.95)
    assert describe_change(render(far), render(start)).startswith("the head turns right")
    assert "the mouth" not in describe_change(render(far), render(start))
    assert "the mouth opens" in describe_change(render(torch.cat([end, far])), render(start)), "one frame can be read"


def test_words_can_be_those_of_one_region() -> None:
    faces = sm.load_generator("faces")
    pictures = sm.load_paths("faces")["yaw"].images(faces, 7, [0.0, 1.0])
    assert "head" in describe_change(pictures[1:], pictures[:1])
    assert "head" not in describe_change(pictures[1:], pictures[:1], region="mouth")
    whole = describe_change(pictures[1:], pictures[:1])
    assert describe_change(pictures[1:], pictures[:1], region="box:0,0,1,1") == whole


@pytest.mark.parametrize("factor", ["mouth_opening", "smile", "mouth_width", "lip_fullness"])
def test_a_mouth_that_grows_crooked_is_said_to_have_no_name_and_one_that_changes_as_mouths_do_to_have_one(factor: str) -> None:
    faces = 0.25 + 0.5 * torch.rand(4, len(FACTORS), generator=torch.Generator().manual_seed(0))
    faces[:, factor_index("yaw")] = 0.5
    other = faces.clone()
    other[:, factor_index(factor)] += 0.4
    before, after = render(faces), render(other)
    plain = describe_usual_change(after, before, region="mouth")
    assert plain.startswith(f"{CHANGES[factor].what} {CHANGES[factor].more} (+")
    crooked = before.clone()
    for column in range(20, 44):
        crooked[:, :, 36:54, column] = before[:, :, 30:60, column].roll(round(0.8 * (column - 32)), -1)[:, :, 6:24]
    words = describe_usual_change(crooked, before, region="mouth")
    assert words.startswith("no attribute names this change; nearest: the mouth closes (-")


def test_what_changes_on_most_faces_is_said_though_one_changes_otherwise() -> None:
    """Three mouths open, and one head turns, which is read better."""
    before = torch.cat([render(face(mouth_opening=0.1, yaw=0.5))] * 4)
    opened, turned = render(face(mouth_opening=0.8, yaw=0.5)), render(face(mouth_opening=0.1, yaw=0.9))
    assert describe_change(turned, before[:1]).startswith("the head turns right")
    assert describe_usual_change(torch.cat([turned, opened, opened, opened]), before, most=1).startswith("the mouth opens")
    slightly = render(face(mouth_opening=0.25, yaw=0.5))
    assert describe_change(slightly, before[:1]).startswith("the mouth opens (+1")
    assert describe_usual_change(slightly, before[:1]) == "", "too little to be what a path is called by"
    with pytest.raises(SemanifoldError, match="As many pictures"):
        describe_usual_change(opened, before)
