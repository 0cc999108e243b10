"""Picture files: those of strangers, bounded in pixels before anything is decoded and turned upright, and ours."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError, features

from semanifold.core.errors import SemanifoldError, shown
from semanifold.storage.files import opened, replacing
from semanifold.storage.marks import GENERATED, Source, jpeg_segment, png_text, seal

MOST_PIXELS = 50_000_000
"""Pixels of one picture: 7,000 x 7,000, which take 200 MB decoded."""
MOST_BYTES = 1 << 29
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "TGA", "JPEG2000")
FORMATS += ("AVIF",) if "avif" in features.modules and features.check("avif") else ()
"""Formats that Pillow decodes by itself; it hands others, such as EPS, to programs of the machine. AVIF since 11.3."""
OTHERS = (
    (
        rb"....ftyp(heic|heix|hevc|hevx|heim|heis|mif1|msf1)",
        "a HEIC photograph",
        "heif-convert of libheif, or the package pillow-heif",
    ),
    (rb"....ftyp(avif|avis)", "an AVIF picture, which Pillow reads from version 11.3 on", "ffmpeg or a newer Pillow"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture", "djxl of libjxl, or the package pillow-jxl-plugin"),
    (rb"%PDF-", "a PDF document", "pdftoppm -png of poppler"),
    (
        rb"(\xef\xbb\xbf)?\s*(<\?xml.*|<!.*)?<svg[\s>]",
        "an SVG drawing, which has no pixels",
        "rsvg-convert or inkscape, or the package cairosvg",
    ),
)
"""What the first bytes of other pictures look like, what they are, and what makes a PNG of them."""
HEAD = 2048
"""Bytes of a file that say which picture it is."""
ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held."""
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I", "F")

logging.getLogger("PIL").addHandler(logging.NullHandler())  # it prints what it finds odd in a file, besides raising


def open_picture(
    path: str | os.PathLike[str],
    what: str = "picture",
    *,
    most_pixels: int = MOST_PIXELS,
    remark: Callable[[str], object] = lambda _: None,
) -> Image.Image:
    """Return a decoded picture, upright as its EXIF record says; of an animation the first frame.

    Its mode is its own one of :data:`MODES` or ``I;16``; printers' and other colours become RGB.

    Args:
        path: the file.
        what: what it is expected to be, for the messages, such as ``"mask file"``.
        most_pixels: width times height that it may have.
        remark: is given a sentence for all that was put right.

    Raises:
        SemanifoldError: if there is no such file, it is a pipe or a device, no picture, damaged or too large.
    """
    name = shown(os.fspath(path), 200)
    with opened(path, what, MOST_BYTES) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures, which are refused below, and of odd metadata
        try:
            picture = Image.open(file, formats=FORMATS)
            width, height = picture.size
            if width * height <= most_pixels:
                deep = _is_deep(picture)
                picture.load()
                upright = ImageOps.exif_transpose(picture)
                if picture.getexif().get(ORIENTATION, 1) != 1:
                    remark(f"{name} is turned upright, as its EXIF record says.")
                if getattr(picture, "n_frames", 1) > 1:
                    remark(f"{name} holds several pictures; the first is taken.")
                if deep and upright.mode in ("RGB", "RGBA"):
                    remark(f"{name} has 16 bits a colour, which become 8.")
                if upright.mode in MODES or upright.mode.startswith("I;16"):
                    return upright
                remark(f"{name} has the colours {upright.mode}, which become RGB.")
                return upright.convert("RGB")
        except Image.DecompressionBombError as error:
            raise SemanifoldError(f"{name} has too many pixels; at most {most_pixels:,} are read, make it smaller.") from error
        except UnidentifiedImageError as error:
            raise SemanifoldError(_unknown(name, file)) from error
        except Exception as error:  # a decoder of strangers' bytes may raise anything
            raise SemanifoldError(
                f"{name} cannot be read as an image ({shown(str(error), 120)}); give a PNG or another common format."
            ) from error
    raise SemanifoldError(f"{name} has {width} x {height} pixels; at most {most_pixels:,} are read, make it smaller.")


def _is_deep(picture: Image.Image) -> bool:
    """Whether the colours of a picture that is not decoded yet have more than 8 bits, which Pillow drops."""
    deep = False
    for tile in getattr(picture, "tile", ()):
        words = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        most = words[1] if picture.format == "PPM" and len(words) > 1 else 0
        deep |= ";16" in str(words[0]) or (isinstance(most, int) and most > 255)
    return deep


def _unknown(name: str, file: BinaryIO) -> str:
    """Return what is said of a file that is no picture of these formats."""
    file.seek(0)
    head = file.read(HEAD)
    for mark, what, program in OTHERS:
        if re.match(mark, head, re.DOTALL):
            return f"{name} is {what}; make a PNG of it first, for instance with {program}."
    return f"{name} cannot be read as an image; give a PNG or another common format."


def picture_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return width and height of a picture file as its header says; a damaged one raises whatever Pillow does."""
    with opened(path, "picture", MOST_BYTES) as file, warnings.catch_warnings(action="ignore"):
        return Image.open(file, formats=FORMATS).size


def write_picture(
    picture: Image.Image,
    path: str | os.PathLike[str],
    *,
    jpeg: int | None = None,
    level: int = 4,
    source: Source | None = GENERATED,
) -> None:
    """Write a picture, whole or not at all; it says how it was made.

    Args:
        picture: the picture.
        path: the file, whatever its name ends in.
        jpeg: quality of a JPEG file, 1 to 95; PNG, without loss, when None.
        level: how much a PNG file is compressed, 0 to 9: 4 takes half the time of the usual 6 for 5 % more.
        source: how it was made, see :mod:`semanifold.storage.marks`; None says nothing.
    """
    with replacing(path) as part:
        if jpeg is None:
            picture.save(part, format="PNG", compress_level=level, pnginfo=png_text(source))
        else:
            picture.convert("RGB").save(part, format="JPEG", quality=jpeg, subsampling=0, extra=jpeg_segment(source))
        seal(part, "image/png" if jpeg is None else "image/jpeg", source)
