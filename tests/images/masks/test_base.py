"""Masks: areas, the algebra, the text form both ways, and what is refused."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.toy import ToyConv

from semanifold.core.errors import SemanifoldError, near_names
from semanifold.images.masks import Mask, box, ellipse, painted, parse_mask, polygon
from semanifold.images.masks.base import quoted, without_quotes
from semanifold.images.masks.grammar import DEEPEST, LONGEST, MOST_FEATHERS, as_mask, files_in, in_folder, regions_in

NAMED = {"mouth": box(0.3, 0.6, 0.7, 0.9), "eyes": ellipse(0.5, 0.4, 0.3, 0.1)}


def regions(name: str) -> Mask:
    if name not in NAMED:
        raise SemanifoldError(f"There is no region {name!r}: {near_names(name, NAMED)}")
    return NAMED[name]


@pytest.mark.parametrize("size", [(7, 7), (16, 24), (64, 64)])
def test_shapes_cover_their_area_at_any_size(size: tuple[int, int]) -> None:
    assert box(0.2, 0.1, 0.75, 0.6).area(*size) == pytest.approx(0.55 * 0.5, abs=1e-6)
    assert ellipse(0.5, 0.5, 0.3, 0.2).area(*size) == pytest.approx(np.pi * 0.06, rel=0.06)
    assert polygon([(0.1, 0.1), (0.9, 0.1), (0.1, 0.9)]).area(*size) == pytest.approx(0.32, abs=0.6 / size[0])
    assert box(0.2, 0.1, 0.75, 0.6).at(*size).shape == (1, 1, *size)


def test_a_polygon_that_crosses_itself_leaves_a_hole() -> None:
    outer = [(0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.1, 0.9), (0.1, 0.1)]
    inner = [(0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7), (0.3, 0.3)]
    assert polygon(outer + inner).area(100, 100) == pytest.approx(0.64 - 0.16, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.floats(0, 0.9)] * 4), st.integers(3, 20))
def test_boolean_algebra(numbers: tuple[float, ...], size: int) -> None:
    a = box(numbers[0], numbers[1], numbers[0] + 0.1, numbers[1] + 0.1)
    b = ellipse(numbers[2], numbers[3], 0.2, 0.1)
    at = lambda mask: mask.at(size, size)  # noqa: E731
    assert torch.allclose(at(~(a | b)), at(~a & ~b), atol=1e-6)
    assert torch.allclose(at(~~a), at(a), atol=1e-6)
    assert torch.equal(at(a | a), at(a))


@pytest.mark.parametrize(
    "text",
    [
        "mouth",
        "~eyes",
        "mouth|eyes",
        "~(mouth|eyes)",
        "~(feather:0.02(mouth)|eyes)",
        "~((mouth|box:0,0,0.5,1)&(eyes|box:0,0,1,0.5))",
        "~(feather:0.02(mouth)&eyes)",
        "(mouth|eyes)&~box:0,0,0.5,1",
        "feather:0.02(mouth)",
        "~feather:0.05(mouth|eyes)",
        "feather:0.02(mouth)|~eyes",
        "polygon:0.1,0.1 0.9,0.1 0.5,0.8",
        "ellipse:0.5,0.5,0.2,0.1|box:0.1,0.1,0.2,0.2",
        "~~mouth",
        "mouth&eyes|box:0.1,0.1,0.2,0.2",
    ],
)
def test_the_text_of_a_mask_reads_back_as_itself(text: str) -> None:
    mask = parse_mask(text, regions)
    again = parse_mask(str(mask), regions)
    assert str(again) == str(mask)
    assert torch.equal(mask.at(20, 20), again.at(20, 20))


def test_the_algebra_of_texts_is_the_algebra_of_masks() -> None:
    mouth, eyes = NAMED["mouth"], NAMED["eyes"]
    expected = (mouth | eyes) & ~box(0, 0, 0.5, 1)
    assert torch.equal(parse_mask("(mouth|eyes)&~box:0,0,0.5,1", regions).at(32, 32), expected.at(32, 32))
    assert torch.equal(
        parse_mask("mouth|eyes&box:0,0,0.5,1", regions).at(32, 32), (mouth | (eyes & box(0, 0, 0.5, 1))).at(32, 32)
    )
    assert torch.equal(parse_mask(str(expected | mouth), lambda n: NAMED[n]).at(9, 9), (expected | mouth).at(9, 9))


def test_a_composed_mask_keeps_its_meaning_through_its_text() -> None:
    mask = ~(box(0, 0, 0.5, 0.5) | box(0.2, 0.2, 0.9, 0.9)).feather(0.05) & ~ellipse(0.5, 0.5, 0.2, 0.2)
    assert torch.allclose(parse_mask(str(mask)).at(31, 17), mask.at(31, 17), atol=1e-6)


def test_pixels_are_fractions_of_the_native_picture() -> None:
    mask = parse_mask("box:300,680,730,790px", size=(1024, 1024))
    assert mask.rectangle(1024, 1024) == (680, 790, 300, 730)
    assert mask.rectangle(512, 512) == (340, 395, 150, 365)
    with pytest.raises(SemanifoldError, match="pixels need a picture"):
        parse_mask("box:1,2,3,4px")


def test_a_picture_of_16_bits_is_read_in_full(tmp_path: Path) -> None:
    values = np.tile(np.array([0, 20000, 65535], np.uint16), (3, 1))
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert torch.allclose(painted(tmp_path / "deep.png").at(3, 3)[0, 0, 0], torch.tensor([0, 20000 / 65535, 1]), atol=1e-5)


def test_a_feather_keeps_the_area_and_softens_the_edge() -> None:
    sharp = box(0.3, 0.3, 0.7, 0.7)
    soft = sharp.feather(0.05)
    assert soft.area(64, 64) == pytest.approx(sharp.area(64, 64), rel=1e-3)
    assert soft.at(64, 64).max() <= 1
    assert ((soft.at(64, 64) > 0.1) & (soft.at(64, 64) < 0.9)).sum() > 100


def test_painted_masks_read_alpha_or_brightness(tmp_path) -> None:
    picture = np.zeros((10, 20, 4), dtype=np.uint8)
    picture[:, :10, 3] = 255
    Image.fromarray(picture).save(tmp_path / "alpha.png")
    Image.fromarray(picture[..., 3]).save(tmp_path / "grey.png")
    for name in ("alpha.png", "grey.png"):
        mask = parse_mask(str(tmp_path / name))
        assert torch.equal(mask.at(10, 20), box(0, 0, 0.5, 1).at(10, 20))
        assert mask.area(33, 17) == pytest.approx(0.5, abs=0.02)
    assert painted(torch.ones(4, 4)).area() == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mouht", "did you mean 'mouth'"),
        ("mouth|", "too early"),
        ("(mouth", "closing"),
        ("mouth)", "left over"),
        ("box:0.1,0.2,0.3", "needs 4 numbers"),
        ("box:a,b,c,d", "numbers separated by commas"),
        ("box:0.5,0.5,0.2,0.9", "empty"),
        ("box:1.2,0.1,1.5,0.9", "off the picture"),
        ("ellipse:0.5,0.5,0,0.1", "empty"),
        ("polygon:0.1,0.1 0.9,0.1", "at least 3"),
        ("feather:0.1", "feather:0.02"),
        ("feather:-1(mouth)", "from 0 to 1"),
        ("feather:99(mouth)", "from 0 to 1, but it is 99"),
        ("nowhere.png", "no mask file"),
        ("box:nan,0,1,1", "needs 4 numbers"),
        ("polygon:0,0,1,0,1", "needs pairs of numbers"),
        ("box:0,0,4,4px", "pixels need a picture"),
        ("'open.png", "a closing quote is missing"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(SemanifoldError, match=says):
        parse_mask(text, regions)


def test_empty_full_and_unreadable_masks_are_refused(tmp_path) -> None:
    with pytest.raises(SemanifoldError, match="empty"):
        painted(np.zeros((4, 4))).check(16, 16)
    with pytest.raises(SemanifoldError, match="whole picture"):
        box(0, 0, 1, 1).check(16, 16)
    half = ellipse(0.5, 0.5, 0.3, 0.2)
    with pytest.raises(SemanifoldError, match="covers the whole picture"):
        (half | ~half).check(64, 64)
    with pytest.raises(SemanifoldError, match="boxes only"):
        ellipse(0.5, 0.5, 0.1, 0.1).rectangle(8, 8)
    (tmp_path / "no.png").write_text("not a picture")
    with pytest.raises(SemanifoldError, match="cannot be read as an image"):
        painted(tmp_path / "no.png")


def test_an_ellipse_is_as_symmetric_and_as_large_as_it_is_round() -> None:
    picture = ellipse(0.5, 0.5, 0.3, 0.2).at(40, 60)[0, 0]
    assert torch.equal(picture, picture.flip(0))
    assert torch.equal(picture, picture.flip(1))
    assert float(picture.mean()) == pytest.approx(math.pi * 0.3 * 0.2, rel=0.01)


def test_a_feathered_edge_is_the_normal_distribution_function() -> None:
    """Far from all other edges, 8 pixels wide; the shorter side counts."""
    picture = box(0.5, -1, 2, 2).feather(0.1).at(80, 200)[0, 0]
    away = (torch.arange(200) + 0.5 - 100) / 8
    torch.testing.assert_close(picture[40], torch.special.ndtr(away.double()).float(), rtol=0, atol=3e-3)
    assert torch.equal(picture[0], picture[79]), "the border goes on outwards"
    sharp = box(0.5, 0, 1, 1)
    assert torch.equal(sharp.feather(0.002).at(64, 64), sharp.at(64, 64)), "less than a fifth of a pixel is none"


def test_a_mask_is_shown_in_black_and_white_and_its_area_counted_at_64_pixels() -> None:
    half = box(0, 0, 0.5, 1)
    assert half.picture(8).getextrema() == (0, 255)
    assert half.picture().size == (160, 160)
    assert half.area() == 0.5


def test_names_of_files_are_quoted_where_the_grammar_would_take_them_apart() -> None:
    assert quoted("my mask.png") == "my mask.png"
    for name, text in (("a|b.png", "'a|b.png'"), (" a", "' a'"), ("it's", "'it''s'"), ("box:1", "'box:1'"), ("~a", "'~a'")):
        assert quoted(name) == text
        assert without_quotes(text) == ""


def test_a_full_mask_is_one_without_an_outside() -> None:
    for mask in (box(-1, -1, 2, 2), box(0, 0, 0.5, 1).feather(0.2) | box(0.5, 0, 1, 1).feather(0.2)):
        with pytest.raises(SemanifoldError, match="covers the whole picture"):
            mask.check(64, 64)
    box(0, 0, 0.99, 1).check(64, 64)
    with pytest.raises(SemanifoldError, match="is empty"):
        box(0, 0, 0.001, 0.001).check(64, 64)
    box(0, 0, 0.02, 0.02).check(64, 64)


def test_a_mask_that_leaves_next_to_nothing_is_full() -> None:
    """One pixel of 256 x 256 lies outside, which is less than a share that counts; 16 of them are enough."""
    with pytest.raises(SemanifoldError, match="covers the whole picture"):
        (~box(0, 0, 1 / 256, 1 / 256)).check(256, 256)
    (~box(0, 0, 4 / 256, 4 / 256)).check(256, 256)


@pytest.mark.parametrize("move", [(1.2, 0), (-1.2, 0), (0, 1.2), (0, -1.2)])
def test_shapes_beside_the_picture_are_refused_on_every_side(move: tuple[float, float]) -> None:
    x, y = move
    shapes = [
        lambda: box(x, y, x + 1, y + 1),
        lambda: ellipse(x + 0.5, y + 0.5, 0.5, 0.5),
        lambda: polygon([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]),
    ]
    for shape in shapes:
        with pytest.raises(SemanifoldError, match="off the picture"):
            shape()
    half = [box(x / 2, y / 2, x / 2 + 1, y / 2 + 1), polygon([(x / 2, y / 2), (x / 2 + 1, y / 2), (x / 2 + 0.5, y / 2 + 1)])]
    assert all(0 < mask.area() < 0.5 for mask in half)
    across = ellipse(0.5 + x / 3, 0.5 + y / 3, 0.3, 0.3)
    assert 0 < across.area() < 0.28, "what lies across an edge is cut there"


def test_a_box_is_cut_to_whole_pixels_of_pictures_of_any_form() -> None:
    assert box(0.25, 0.5, 1.5, 0.75).rectangle(8, 16) == (4, 6, 4, 16)
    assert box(-0.5, -0.5, 0.5, 0.26).rectangle(8, 16) == (0, 2, 0, 8)


def test_a_polygon_is_the_same_one_row_of_points_or_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    star = polygon([(0.5, 0.05), (0.9, 0.9), (0.05, 0.4), (0.95, 0.4), (0.1, 0.9)])
    whole = star.at(24, 40)
    monkeypatch.setattr("semanifold.images.masks.base.ROWS", 1)
    assert torch.equal(star.at(24, 40), whole)


def test_a_feather_keeps_the_area_and_has_the_width_that_was_asked_for() -> None:
    edge = box(0, 0, 0.5, 1).feather(0.05).at(40, 80)[0, 0]
    assert float(edge.mean()) == pytest.approx(0.5, abs=1e-3)
    fall = -edge[20].diff().double()
    place = torch.arange(79).double() + 0.5
    middle = float((fall * place).sum() / fall.sum())
    assert middle == pytest.approx(39.5, abs=1e-2)
    assert float(((fall * (place - middle) ** 2).sum() / fall.sum()).sqrt()) == pytest.approx(0.05 * 40, rel=0.02)
    assert torch.equal(box(0, 0, 0.5, 1).feather(0.004).at(40, 80), box(0, 0, 0.5, 1).at(40, 80)), "less than a fifth of a pixel"


@pytest.mark.parametrize("corners", [(0.2, 0.3, 0.2, 0.6), (0.2, 0.3, 0.6, 0.3), (0.6, 0.3, 0.2, 0.6), (0.2, 0.6, 0.6, 0.3)])
def test_boxes_of_no_area_are_refused(corners: tuple[float, float, float, float]) -> None:
    with pytest.raises(SemanifoldError, match="is empty"):
        box(*corners)


def test_the_area_is_the_mean_of_the_mask_at_that_size() -> None:
    for height, width in ((2, 40), (40, 2)):
        mask = ellipse(0.5, 0.5, 0.5, 0.1)
        assert mask.area(height, width) == pytest.approx(float(mask.at(height, width).mean()))
    assert mask.area(2, 40) != mask.area(40, 2)


def test_a_text_may_be_as_long_and_as_deep_as_is_said() -> None:
    shape, whole = "box:0,0,1,0.5", parse_mask("box:0,0,1,0.5").at(8, 8)
    for sign, close in (("~", ""), ("(", ")")):
        assert torch.equal(parse_mask(sign * DEEPEST + shape + close * DEEPEST).at(8, 8), whole)
        with pytest.raises(SemanifoldError, match="nested more than 100"):
            parse_mask(sign * (DEEPEST + 1) + shape + close * (DEEPEST + 1))
    assert torch.equal(parse_mask(shape.ljust(LONGEST)).at(8, 8), whole)
    with pytest.raises(SemanifoldError, match="10,001 letters"):
        parse_mask(shape.ljust(LONGEST + 1))


@pytest.mark.parametrize("name", ["plain.png", "an & b.png", "it's.png"])
def test_a_channel_and_the_name_of_a_file_are_read_from_one_text(name: str, tmp_path: Path) -> None:
    alpha, light = np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)
    alpha[:4], light[:, :4] = 255, 0
    Image.fromarray(np.stack([light] * 3 + [alpha], 2)).save(tmp_path / name)
    text = quoted(str(tmp_path / name))
    assert parse_mask(f"alpha:{text}").at(8, 8).mean((0, 1, 3)).tolist() == [1] * 4 + [0] * 4
    assert parse_mask(f"light:{text}").at(8, 8).mean((0, 1, 2)).tolist() == [0] * 4 + [1] * 4
    Image.fromarray(light).save(tmp_path / name)
    assert parse_mask(f"{text}|'{text.strip(chr(39))}'").at(8, 8).mean((0, 1, 2)).tolist() == [0] * 4 + [1] * 4


def test_depth_is_counted_from_the_outside_not_over_neighbours() -> None:
    shape = "box:0,0,1,0.5"
    parse_mask("|".join([f"(~{shape})"] * 100))
    with pytest.raises(SemanifoldError, match="nested more than 100"):
        parse_mask(f"(({shape}))|({shape})|" + "~" * (DEEPEST + 1) + shape)


def test_what_is_no_text_is_not_typed() -> None:
    with pytest.raises(SemanifoldError, match="typed as a text"):
        parse_mask(3)  # type: ignore[arg-type]


def test_as_many_feathers_as_is_said() -> None:
    parse_mask("&".join(["feather:0.1(box:0,0,1,0.5)"] * MOST_FEATHERS))
    with pytest.raises(SemanifoldError, match="9 feathers, and at most 8"):
        parse_mask("&".join(["feather:0.1(box:0,0,1,0.5)"] * 9))


def test_a_typed_polygon_is_the_polygon_also_in_pixels() -> None:
    corners = [(0.125, 0.25), (0.75, 0.25), (0.75, 0.5), (0.25, 0.75)]
    whole = polygon(corners).at(16, 32)
    assert torch.equal(parse_mask("polygon:" + " ".join(f"{x},{y}" for x, y in corners)).at(16, 32), whole)
    typed = "polygon:" + " ".join(f"{32 * x:g},{16 * y:g}" for x, y in corners) + "px"
    assert torch.equal(parse_mask(typed, size=(16, 32)).at(16, 32), whole)


def test_a_mask_for_a_generator_comes_in_any_form(tmp_path: Path) -> None:
    generator, values = ToyConv(), np.zeros((16, 16), np.uint8)
    values[:8] = 255
    Image.fromarray(values).save(tmp_path / "a.png")
    upper = box(0, 0, 1, 0.5)
    assert as_mask(upper, generator) is upper
    for form in ("box:0,0,16,8px", tmp_path / "a.png", str(tmp_path / "a.png"), values / 255, torch.tensor(values / 255)):
        assert torch.equal(as_mask(form, generator).at(16, 16), upper.at(16, 16))
    # the complement of a file by its whole path, which is none in the home folder
    assert torch.equal(parse_mask(f"~{tmp_path / 'a.png'}").at(16, 16), (~upper).at(16, 16))


def test_files_of_a_folder_get_their_whole_paths(tmp_path: Path) -> None:
    for name in ("a.png", "b c.png"):
        (tmp_path / name).touch()
    assert in_folder("a.png", tmp_path) == str(tmp_path / "a.png")
    assert in_folder("b c.png", tmp_path) == str(tmp_path / "b c.png")
    assert in_folder("box:0,0,1,0.5|none.png", tmp_path) == "box:0,0,1,0.5|none.png"
    text = in_folder("alpha:a.png|~'b c.png'", tmp_path)
    assert text == f"alpha:'{tmp_path / 'a.png'}'|~'{tmp_path / 'b c.png'}'"
    assert files_in(text) == [tmp_path / "a.png", tmp_path / "b c.png"]
    assert in_folder(text, tmp_path) == text


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("face", {"face"}),
        ("feather:0.02(face|~mouth) & (eyes)", {"face", "mouth", "eyes"}),
        ("face|box:0,0,1,1", None),
        ("at:0.5,0.5", None),
        ("'face'", None),
        ("nose.png", None),
    ],
)
def test_regions_that_a_mask_is_made_of(text: str, names: set[str] | None) -> None:
    assert regions_in(text) == names


def test_a_file_is_no_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("face").write_bytes(b"")
    assert regions_in("face") is None
    assert regions_in("face|mouth") is None


def test_flat_ellipses_are_refused_and_masks_say_what_they_are() -> None:
    for radii in ((0.0, 0.1), (0.1, 0.0)):
        with pytest.raises(SemanifoldError, match="is empty"):
            ellipse(0.5, 0.5, *radii)
    assert repr(ellipse(0.5, 0.5, 0.25, 0.125)) == "Mask('ellipse:0.5,0.5,0.25,0.125')"
