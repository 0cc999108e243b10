"""Opening picture files of strangers: bounded in pixels before anything is decoded, and turned upright."""

from __future__ import annotations

import logging
import os
import warnings

from PIL import Image, ImageOps

from semanifold.core.errors import SemanifoldError, shown
from semanifold.storage.files import opened

MOST_PIXELS = 50_000_000
"""Pixels of one picture: 7,000 x 7,000, which take 200 MB decoded."""
MOST_BYTES = 1 << 29
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "TGA", "JPEG2000")
"""Formats that Pillow decodes by itself; it hands others, such as EPS, to programs of the machine."""
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I", "F")

logging.getLogger("PIL").addHandler(logging.NullHandler())  # it prints what it finds odd in a file, besides raising


def open_picture(path: str | os.PathLike[str], what: str = "picture", *, most_pixels: int = MOST_PIXELS) -> Image.Image:
    """Return a decoded picture, upright as its EXIF record says; of an animation the first frame.

    Its mode is its own one of :data:`MODES` or ``I;16``; printers' and other colours become RGB.

    Args:
        path: the file.
        what: what it is expected to be, for the messages, such as ``"mask file"``.
        most_pixels: width times height that it may have.

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
                picture.load()
                upright = ImageOps.exif_transpose(picture)
                return upright if upright.mode in MODES or upright.mode.startswith("I;16") else upright.convert("RGB")
        except Image.DecompressionBombError as error:
            raise SemanifoldError(f"{name} has too many pixels; at most {most_pixels:,} are read, make it smaller.") from error
        except Exception as error:  # a decoder of strangers' bytes may raise anything
            raise SemanifoldError(
                f"{name} cannot be read as an image ({shown(str(error), 120)}); give a PNG or another common format."
            ) from error
    raise SemanifoldError(f"{name} has {width} x {height} pixels; at most {most_pixels:,} are read, make it smaller.")
