"""Painted masks in the forms in which people save them, and the files that are refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from semanifold.core.errors import SemanifoldError
from semanifold.images.masks import Mask, box, files_in, painted, parse_mask

INSIDE = np.zeros((10, 20), bool)
INSIDE[2:8, 4:12] = True
SHAPE = box(0.2, 0.2, 0.6, 0.8)


def saved(picture: Image.Image | np.ndarray, path: Path, **options: Any) -> Path:
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(path, **options)
    return path


def palette(colours: list[int]) -> Image.Image:
    picture = Image.fromarray(INSIDE.astype(np.uint8), mode="P")
    picture.putpalette(colours)
    return picture


def coloured(inside: tuple[int, ...], outside: tuple[int, ...] = (0, 0, 0)) -> np.ndarray:
    return np.where(INSIDE[..., None], np.array(inside, np.uint8), np.array(outside, np.uint8))


FORMS: dict[str, Any] = {
    "white on black": INSIDE.astype(np.uint8) * 255,
    "numbers 0 and 1": INSIDE.astype(np.uint8),
    "numbers 0 and 7": INSIDE.astype(np.uint8) * 7,
    "half white": INSIDE.astype(np.uint8) * 128,
    "one bit": Image.fromarray(INSIDE),
    "16 bits": INSIDE.astype(np.uint16) * 65535,
    "16 bits up to 255": INSIDE.astype(np.uint16) * 255,
    "16 bits, 0 and 1": INSIDE.astype(np.uint16),
    "indices of a grey palette": palette([0, 0, 0, 1, 1, 1]),
    "indices of a coloured palette": palette([0, 0, 0, 128, 0, 0]),
    "indices of a palette that shows nothing": palette([0, 0, 0, 0, 0, 0]),
    "red on black": coloured((255, 0, 0)),
    "dark orange on black": coloured((120, 60, 0)),
    "blue on black, opaque": coloured((0, 0, 255, 255), (0, 0, 0, 255)),
    "white on nothing": coloured((255, 255, 255, 255), (255, 255, 255, 0)),
    "black on nothing": coloured((0, 0, 0, 255), (255, 255, 255, 0)),
    "transparency of hidden black": coloured((255, 255, 255, 255), (0, 0, 0, 0)),
    "grey with transparency": Image.fromarray(coloured((9, 255), (9, 0)), mode="LA"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_as_the_same_mask(form: str, tmp_path: Path) -> None:
    assert torch.equal(painted(saved(FORMS[form], tmp_path / "m.png")).at(10, 20), SHAPE.at(10, 20).round())


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.uint16, np.float32, np.float64])
def test_arrays_of_nought_and_one(dtype: type) -> None:
    for values in (INSIDE.astype(dtype), INSIDE.astype(dtype)[None]):
        assert torch.equal(painted(values).at(10, 20), SHAPE.at(10, 20).round())
    if dtype is not np.uint16:
        assert torch.equal(painted(torch.from_numpy(INSIDE.astype(dtype))).at(10, 20), SHAPE.at(10, 20).round())


def test_fractions_are_taken_as_they_are(tmp_path: Path) -> None:
    soft = np.linspace(0, 0.6, 200, dtype=np.float32).reshape(10, 20)
    for mask in (painted(soft), painted(torch.from_numpy(soft).bfloat16().double()), painted(saved(soft, tmp_path / "m.tiff"))):
        assert torch.allclose(mask.at(10, 20)[0, 0], torch.from_numpy(soft), atol=2e-3)
    assert painted(soft / 255).at(10, 20).max() == 1


def test_shades_are_scaled_to_the_type_and_from_far_below_white_to_white(tmp_path: Path) -> None:
    ramp = np.arange(200, dtype=np.uint8).reshape(10, 20)
    assert painted(ramp).at(10, 20).max() == pytest.approx(199 / 255)
    assert painted(ramp // 2).at(10, 20).max() == 1
    assert painted(saved(ramp.astype(np.uint16) * 20, tmp_path / "m.png")).at(10, 20).max() == 1  # 12 bits


def test_jpeg_keeps_a_mask_in_white_or_red(tmp_path: Path) -> None:
    inside = np.kron(INSIDE, np.ones((8, 8), bool))
    for colour in ((255, 255, 255), (255, 0, 0), (0, 200, 0)):
        path = saved(np.where(inside[..., None], np.array(colour, np.uint8), np.uint8(0)), tmp_path / "m.jpg")
        assert (painted(path).at(80, 160) - SHAPE.at(80, 160)).abs().mean() < 0.06


def test_a_single_odd_pixel_does_not_make_transparency_the_mask(tmp_path: Path) -> None:
    picture = coloured((255, 255, 255, 255), (0, 0, 0, 255))
    picture[0, 0, 3] = 0
    assert torch.equal(painted(saved(picture, tmp_path / "m.png")).at(10, 20), SHAPE.at(10, 20).round())


def test_where_transparency_and_brightness_vary_a_word_decides(tmp_path: Path) -> None:
    picture = coloured((255, 255, 255, 255), (0, 0, 0, 255))
    picture[:, :10, 3] = 128
    path = str(saved(picture, tmp_path / "a (1).png"))
    with pytest.raises(SemanifoldError, match=r"Both the transparency and the brightness .* alpha:'.*' or light:'.*'\.$"):
        painted(path)
    for channel, expected in (("light", SHAPE.at(10, 20).round()), ("alpha", box(0.5, 0, 1, 1).at(10, 20) / 2 + 0.5)):
        mask = parse_mask(f"{channel}:'{path}'")
        assert torch.allclose(mask.at(10, 20), expected, atol=5e-3)
        assert torch.equal(parse_mask(f"~({mask}|box:0,0,.1,.1)").at(10, 20), (~(mask | box(0, 0, 0.1, 0.1))).at(10, 20))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_photo_that_says_how_it_was_held_is_turned_upright(orientation: int, tmp_path: Path) -> None:
    turns = {3: 2, 6: 1, 8: 3}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(np.rot90(INSIDE, turns).astype(np.uint8) * 255, tmp_path / "m.png", exif=exif)
    assert torch.equal(painted(path).at(10, 20), SHAPE.at(10, 20).round())


def few_shades(shade: int, pixels: int = 6) -> np.ndarray:
    """White and black, and so many of 10,000 pixels of another shade."""
    values = np.zeros((100, 100), np.uint8)
    values[:50] = 255
    values[-1, :pixels] = shade
    return values


@pytest.mark.parametrize("refused", [few_shades(1), few_shades(63), np.arange(47) * 3, np.array([0, 100, 150])])
def test_a_few_dark_shades_may_be_labels(refused: np.ndarray) -> None:
    with pytest.raises(SemanifoldError, match="could be labels"):
        painted(np.tile(refused.astype(np.uint8), (2, 1)))


@pytest.mark.parametrize(
    ("values", "lightest"),
    [
        (few_shades(1, pixels=5), 1),  # one pixel of 2,000, by accident
        (few_shades(64), 1),
        (np.array([[0, 1, 20_000, 80_000]]), 1),  # a quarter of white lies between
        (np.arange(48, dtype=np.uint8)[None] * 3, 1),
        (np.array([[0, 100, 191.25]]), 0.75),  # three quarters of 255 are nearly white
    ],
)
def test_more_shades_fewer_pixels_or_lighter_ones_are_no_labels(values: np.ndarray, lightest: float) -> None:
    assert painted(np.tile(values, (2, 1))).at(2 * len(values), values.shape[1]).max() == lightest


LABELS = np.zeros((40, 40), np.uint8)
LABELS[:20], LABELS[20:, :20] = 1, 15
BORDERED = np.where(np.eye(40, dtype=bool), np.uint8(255), LABELS)


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (LABELS, "only the values 0, 1, 15, which could be labels"),
        (LABELS.astype(np.uint16), "could be labels"),
        (BORDERED, "could be labels"),
        (coloured((255, 0, 0), (255, 255, 255)), "several colours"),
        (np.stack([LABELS * 15, (LABELS == 1) * np.uint8(255), LABELS * 0], -1), "several colours"),
    ],
)
def test_two_readings_are_a_question(picture: np.ndarray, says: str, tmp_path: Path) -> None:
    with pytest.raises(SemanifoldError, match=says):
        painted(saved(picture, tmp_path / "m.png"))


@pytest.mark.parametrize(
    "values",
    [
        np.full((4, 4), np.nan),
        -np.eye(4),
        np.zeros((4, 4, 3)),
        np.zeros(0),
        np.array([["a"]]),
        np.eye(3) * 1j,
        np.empty((2, 2), object),
    ],
)
def test_arrays_that_are_no_masks_are_refused(values: np.ndarray) -> None:
    with pytest.raises(SemanifoldError, match="painted mask"):
        painted(values)


@pytest.mark.parametrize("values", [torch.eye(4).to_sparse(), torch.ones(4, 4, device="meta"), torch.eye(4) * 1j])
def test_tensors_that_are_no_masks_are_refused(values: torch.Tensor) -> None:
    with pytest.raises(SemanifoldError, match="painted mask"):
        painted(values)


NAMES = ("mask (1).png", "mask & eyes.png", "mund~1.png", "a|b.png", "it's.png", "plain", "~.png", "a\"b'c.png", "box:0,0,1.png")


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_file_wins_over_the_grammar_and_reads_back(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    saved(FORMS["white on black"], tmp_path / name, format="PNG")
    mask = parse_mask(name)
    assert torch.equal(mask.at(10, 20), SHAPE.at(10, 20).round())
    joined = ~(mask | box(0, 0, 0.1, 0.1))
    assert torch.equal(parse_mask(str(joined)).at(10, 20), joined.at(10, 20))
    assert files_in(name) == files_in(str(joined)) == [Path(name)]


def test_a_file_in_the_home_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    saved(FORMS["white on black"], tmp_path / "m.png")
    mask = parse_mask("~/m.png")
    assert torch.equal(parse_mask("box:0,0,0.1,0.1|~/m.png").at(10, 20), (box(0, 0, 0.1, 0.1) | mask).at(10, 20))
    assert torch.equal(parse_mask(str(~mask)).at(10, 20), (~mask).at(10, 20))
    assert files_in("~/m.png") == [tmp_path / "m.png"]
    whole = str(tmp_path / "m.png")
    assert torch.equal(parse_mask("~" + whole).at(10, 20), (~mask).at(10, 20))  # all but a file
    for text, path in (("~/n.png", tmp_path / "n.png"), ("~ /n.png", "/n.png")):
        with pytest.raises(SemanifoldError, match=f"no mask file {path};"):
            parse_mask(text)


@pytest.mark.parametrize("text", ["mask (2).png", "mouth|mask (2).png", "mask & b.png|mouth"])
def test_a_name_that_the_grammar_takes_apart_is_put_in_quotes(text: str) -> None:
    def regions(name: str) -> Mask:
        if name != "mouth":
            raise SemanifoldError("There is no such region.")
        return box(0, 0, 1, 1)

    for known in (regions, None):
        with pytest.raises(SemanifoldError, match=r"must be in quotes, 'mask \(1\)\.png'"):
            parse_mask(text, known)


def test_pipes_bombs_and_damage_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    Image.new("1", (5_100, 5_100)).save(tmp_path / "bomb.png")
    (tmp_path / "cut.png").write_bytes(saved(FORMS["red on black"], tmp_path / "m.png").read_bytes()[:60])
    (tmp_path / "code.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    for name, says in (
        ("pipe.png", "a device or a pipe"),
        ("bomb.png", "5100 x 5100 pixels; at most 25,000,000"),
        ("cut.png", "cannot be read as an image"),
        ("code.png", "cannot be read as an image"),
        ("", "is a folder"),
    ):
        with pytest.raises(SemanifoldError, match=says):
            painted(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "~" * 2000 + "a",
            "(" * 2000 + "a",
            "a|" * 2000 + "a",
            "feather:1(" * 50 + "a" + ")" * 50,
            "~(" * 101 + "a" + ")" * 101,
        ),
        *("x" * 20_000, "a" * 300, "a" * 300 + ".png", "\0.png", "\0", "'" + "x" * 400 + "'", "'open", ""),
        "box:" + "9" * 5000 + ",0,1,1",
    ],
)
def test_texts_of_any_size_are_refused_in_a_short_sentence(text: str) -> None:
    with pytest.raises(SemanifoldError) as raised:
        parse_mask(text)
    assert len(str(raised.value)) < 500
    assert str(raised.value).isprintable()
    assert "mouth" not in str(raised.value)  # no generator with a mouth is there


def test_polygons_may_have_many_corners() -> None:
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    text = "polygon:" + " ".join(f"{0.5 + 0.3 * np.cos(a):.4f},{0.5 + 0.3 * np.sin(a):.4f}" for a in angles)
    assert parse_mask(text).area(64, 64) == pytest.approx(np.pi * 0.09, rel=0.01)


def test_nested_masks_up_to_the_limit_can_be_drawn() -> None:
    assert torch.equal(parse_mask("~(" * 50 + "box:0,0,0.5,1" + ")" * 50).at(8, 8), box(0, 0, 0.5, 1).at(8, 8))
    many = parse_mask("|".join(["box:0,0,0.5,1"] * 100))
    assert torch.equal(many.at(8, 8), box(0, 0, 0.5, 1).at(8, 8))
