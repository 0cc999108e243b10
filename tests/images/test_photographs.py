"""Photographs of all kinds: what is put right, what is said of it, and what is refused."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from semanifold.core.errors import SemanifoldError
from semanifold.images.photographs import fitted, read_photograph
from semanifold.images.placements import Placement
from semanifold.storage import pictures
from semanifold.storage.pictures import FORMATS

DRAW = np.random.default_rng(0)
PIXELS = DRAW.integers(0, 256, (24, 36, 3), dtype=np.uint8)


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_plain_photograph_is_read_as_it_is_without_a_word(tmp_path: Path, said: list[str]) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(read_photograph(tmp_path / "a.png", remark=said.append)), PIXELS)
    grey = PIXELS[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(np.asarray(read_photograph(tmp_path / "grey.png", remark=said.append)), np.stack([grey] * 3, 2))
    palette = Image.fromarray(PIXELS).quantize(16)
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(
        np.asarray(read_photograph(tmp_path / "palette.png", remark=said.append)), np.asarray(palette.convert("RGB"))
    )
    assert said == []


def png_of_16_bits(values: np.ndarray) -> bytes:
    """A PNG whose colours ``[h, w, 3 or 4]`` have 16 bits, which Pillow does not write."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_become_8_and_it_is_said(channels: int, tmp_path: Path, said: list[str]) -> None:
    deep = np.dstack([PIXELS.astype(np.uint16) << 8 | 77, np.full((24, 36, channels - 3), 65535, np.uint16)])
    (tmp_path / "a.png").write_bytes(png_of_16_bits(deep))
    picture = np.asarray(read_photograph(tmp_path / "a.png", remark=said.append)).astype(int)
    assert np.abs(picture - PIXELS).max() <= 1
    (tmp_path / "a.ppm").write_bytes(b"P6 36 24 65535\n" + deep[..., :3].astype(">u2").tobytes())
    assert np.abs(np.asarray(read_photograph(tmp_path / "a.ppm", remark=said.append)).astype(int) - PIXELS).max() <= 1
    assert said == [f"{tmp_path / f'a.{form}'} has 16 bits a colour, which become 8." for form in ("png", "ppm")]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", r"is a HEIC photograph; make a PNG of it first, .* heif-convert .* pillow-heif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "is a HEIC photograph"),
        (b'<svg width="9"></svg>', r"is an SVG drawing, which has no pixels; .* rsvg-convert"),
        (b'<?xml version="1.0"?>\n<!-- a -->\n<svg xmlns="x"/>', "is an SVG drawing"),
        (b"\xff\x0a12345678", "is a JPEG XL picture; .*djxl"),
        (b"%PDF-1.7", "is a PDF document; .*pdftoppm"),
        (b"<?xml version='1.0'?><html/>", "cannot be read as an image; give a PNG"),
    ],
)
def test_pictures_of_other_programs_are_named_with_what_helps(head: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(head + b"\n" * 100)
    with pytest.raises(SemanifoldError, match=words):
        read_photograph(tmp_path / "a.dat")


def test_avif_is_read_where_pillow_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "AVIF" not in FORMATS:
        pytest.skip("this Pillow does not read AVIF")
    Image.fromarray(PIXELS).save(tmp_path / "a.avif", quality=100, subsampling="4:4:4")
    assert np.abs(np.asarray(read_photograph(tmp_path / "a.avif")).astype(int) - PIXELS).mean() < 8
    monkeypatch.setattr(pictures, "FORMATS", ("PNG",))
    with pytest.raises(SemanifoldError, match=r"an AVIF picture, which Pillow reads from version 11\.3 on"):
        read_photograph(tmp_path / "a.avif")


def test_it_is_turned_upright(tmp_path: Path, said: list[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(read_photograph(tmp_path / "a.png", remark=said.append)), np.rot90(PIXELS, -1))
    assert "turned upright" in said[0]


def test_what_is_transparent_becomes_white(tmp_path: Path, said: list[str]) -> None:
    clear = np.dstack([PIXELS, np.full((24, 36), 255, np.uint8)])
    clear[:12, :, 3] = 0
    Image.fromarray(clear, "RGBA").save(tmp_path / "a.png")
    picture = np.asarray(read_photograph(tmp_path / "a.png", remark=said.append))
    assert (picture[:12] == 255).all()
    assert np.array_equal(picture[12:], PIXELS[12:])
    assert "transparent" in said[0]
    Image.fromarray(PIXELS[..., 0]).save(tmp_path / "key.png", transparency=int(PIXELS[0, 0, 0]))
    assert (np.asarray(read_photograph(tmp_path / "key.png"))[0, 0] == 255).all()


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        (np.linspace(0, 65535, 24 * 36).reshape(24, 36).astype(np.uint16), "a.png", (0, 255)),
        (np.linspace(300, 700, 24 * 36).reshape(24, 36).astype(np.int32), "a.tif", (1, 3)),
        (np.linspace(0, 1, 24 * 36).reshape(24, 36).astype(np.float32), "a.tif", (0, 255)),
        (np.linspace(-3, 5, 24 * 36).reshape(24, 36).astype(np.float32), "a.tif", (0, 255)),
    ],
)
def test_more_than_8_bits_become_8(tmp_path: Path, said: list[str], values: np.ndarray, name: str, expected: tuple) -> None:
    Image.fromarray(values).save(tmp_path / name)
    picture = np.asarray(read_photograph(tmp_path / name, remark=said.append))
    assert (picture.min(), picture.max()) == expected
    assert "8 bits" in said[0]


def test_printers_colours_and_profiles_become_srgb(tmp_path: Path, said: list[str]) -> None:
    even = Image.new("RGB", (16, 16), (200, 30, 60))
    even.convert("CMYK").save(tmp_path / "a.tif")
    assert np.abs(np.asarray(read_photograph(tmp_path / "a.tif", remark=said.append)).astype(int) - np.asarray(even)).max() < 3
    assert "CMYK" in said[0]
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    even.save(tmp_path / "srgb.png", icc_profile=srgb)
    even.save(tmp_path / "odd.png", icc_profile=b"nonsense")
    read = [read_photograph(tmp_path / name, remark=said.append) for name in ("srgb.png", "odd.png")]
    assert all(np.array_equal(np.asarray(picture), np.asarray(even)) for picture in read)
    assert said[1:] == [f"The colour profile of {tmp_path / 'odd.png'} cannot be read; its colours are taken for sRGB."]


def test_what_is_no_photograph_is_refused(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[:3]).save(tmp_path / "tiny.png")
    Image.fromarray(np.full((9, 9), np.nan, np.float32)).save(tmp_path / "nan.tif")
    (tmp_path / "text.png").write_text("no picture")
    Image.new("1", (8_000, 8_000)).save(tmp_path / "bomb.png")
    for name, words in (("tiny", "at least 8"), ("nan", "NaN"), ("text", "cannot be read"), ("bomb", "pixels"), ("none", "no")):
        file = next(tmp_path.glob(f"{name}.*"), tmp_path / "none.png")
        with pytest.raises(SemanifoldError, match=words):
            read_photograph(file)


def test_the_largest_part_in_the_middle_is_taken_at_the_generators_size(said: list[str]) -> None:
    photograph = Image.fromarray(PIXELS)
    picture, place = fitted(photograph, (3, 24, 24), remark=said.append)
    assert place.corners == (6.0, 0.0, 30.0, 24.0)
    assert place.size == (24.0, 24.0)
    expected = torch.from_numpy(PIXELS[:, 6:30].astype(np.float32)).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(picture[0], expected)
    assert "is cut to 24 x 24" in said[0]
    tall, place = fitted(photograph, (1, 48, 24), remark=said.append)
    assert tall.shape == (1, 1, 48, 24)
    assert place.corners == (12.0, 0.0, 24.0, 24.0)
    assert "enlarged 2 times" in said[-1]
    assert -1 <= float(tall.min()) < float(tall.max()) <= 1


def test_a_crop_is_taken_in_fractions(said: list[str]) -> None:
    photograph = Image.fromarray(PIXELS)
    picture, place = fitted(photograph, (3, 12, 12), (0.5, 0.25, 5 / 6, 0.75), remark=said.append)
    assert place.corners == pytest.approx((18, 6, 30, 18))
    torch.testing.assert_close(picture[0, 0], torch.from_numpy(PIXELS[6:18, 18:30, 0].astype(np.float32)) / 127.5 - 1)
    assert said == []
    fitted(photograph, (3, 12, 12), (0, 0, 1, 1), remark=said.append)
    assert "stretched" in said[0]
    for crop in ((0.5, 0, 0.5, 1), (-0.1, 0, 1, 1), (0, 0, 1), ("a", 0, 1, 1), (0, 0, float("nan"), 1), 3):
        with pytest.raises(SemanifoldError, match="A crop is"):
            fitted(photograph, (3, 12, 12), crop)  # type: ignore[arg-type]
    with pytest.raises(SemanifoldError, match="at least 8"):
        fitted(photograph, (3, 12, 12), (0, 0, 0.1, 0.1))
    with pytest.raises(SemanifoldError, match="1 or 3 channels"):
        fitted(photograph, (4, 12, 12))


def test_a_channel_of_transparency_that_hides_nothing_is_not_remarked(tmp_path: Path) -> None:
    said: list[str] = []
    Image.new("RGBA", (9, 9), (10, 20, 30, 255)).save(tmp_path / "opaque.png")
    assert read_photograph(tmp_path / "opaque.png", remark=said.append).getpixel((4, 4)) == (10, 20, 30)
    assert said == []


@pytest.mark.parametrize(("left", "words"), [(-0.1, []), (-4, ["fills the 20% that are missing"])])
def test_a_part_that_reaches_over_the_border_is_said(left: float, words: list[str], said: list[str]) -> None:
    place = Placement.box(left, 0, left + 20, 20)
    picture, _ = fitted(Image.new("RGB", (30, 20)), (3, 16, 16), place, name="me.png", remark=said.append)
    assert picture.shape == (1, 3, 16, 16)
    assert len(said) == len(words)
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))
