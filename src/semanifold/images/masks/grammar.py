"""The text form of masks, which people type and files keep.

The grammar of :func:`parse_mask`, from loose to tight::

    mouth|nose                        either          box:0.3,0.6,0.7,0.9      left, top, right, bottom
    mouth&box:0,0,0.5,1               both            ellipse:0.5,0.7,0.2,0.1  centre x, y, radius x, y
    ~eyes                             all but         polygon:0.1,0.1 0.9,0.1 0.5,0.8
    feather:0.02(mouth)               softened        painted.png              a picture, white inside
    (mouth|nose)&~eyes                grouped         'mask (1).png'           its name in quotes
    mouth                             a named region  alpha:painted.png        its transparency; light: its brightness
    at:0.5,0.7                        what belongs together at this point of a generator's picture, after its own features
    sam:0.5,0.7                       the thing at this point, after Segment Anything 2.1 (the extra ``sam``)

Coordinates are fractions of the picture, x to the right and y down; a last ``px`` (``box:300,680,730,790px``) says that the
numbers are pixels of the picture. A text that is the name of an existing file is that file, whatever else it could mean.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from semanifold.core.errors import SemanifoldError, of_type, shown
from semanifold.core.lazy import is_torch
from semanifold.images.masks.base import QUOTED, Mask, Regions, all_of, any_of, box, ellipse, polygon
from semanifold.images.masks.painting import Channel, painted, path_of
from semanifold.storage.files import is_file

if TYPE_CHECKING:
    from torch import Tensor

    from semanifold.core.latents import Latents
    from semanifold.generators.base import Generator

FEATURES, SAM = "at:", "sam:"
POINTS = {FEATURES: "features", SAM: "sam"}
"""Beginnings of the texts of clicks, and what answers them."""

LONGEST = 10_000
"""Letters of a text."""
DEEPEST = 100
"""Brackets and ``~`` inside one another."""
MOST_SHAPES = 100
MOST_FEATHERS = 8
CHANNELS = ("alpha", "light")
PICTURE = r"\.(png|jpe?g|webp|tiff?|bmp|gif|ppm|pgm|tga|jp2)\b"
TOKEN = re.compile(rf"\s*(?:(?P<home>~[\w.-]*/[^|&~()]*)|(?P<sign>[|&~()])|(?P<name>(?:alpha:|light:)?(?:{QUOTED}))|[^|&~()]+)")


def parse_mask(
    text: str,
    regions: Regions | Generator | None = None,
    code: Latents | int | None = None,
    *,
    size: tuple[int, int] | None = None,
) -> Mask:
    """Read a mask from its text form; the grammar is at the top of this module.

    Args:
        text: such as ``"mouth|~box:0.1,0.1,0.9,0.9"``.
        regions: finds the masks of names, and of ``at:`` and ``sam:`` by their text, with x and y from 0 to 1: a function, or a
            generator, whose regions belong to one picture; None for neither.
        code: the code, or the seed, of that picture; needed by names of a generator's regions, by ``at:`` and by ``sam:`` only.
        size: ``(height, width)`` of the picture, which ``px`` coordinates need; that of the generator's when None.

    Returns:
        The mask; its ``text`` reads back as the same one.

    Raises:
        SemanifoldError: saying where the text stops making sense.
    """
    if not isinstance(text, str):
        raise SemanifoldError(
            f"A mask is typed as a text, such as box:0.3,0.6,0.7,0.9, but this is of type {type(text).__name__}."
        )
    if len(text) > LONGEST:
        raise SemanifoldError(f"The mask '{shown(text)}' has {len(text):,} letters; at most {LONGEST:,} are read.")
    clicked: Callable[..., Mask] | None = None
    if is_torch(regions, "nn.Module"):
        generator = cast("Generator", regions)
        clicked = partial(generator.clicked, code=code)
        regions, size = generator.regions(code), size or generator.picture_shape[1:]
    elif regions is not None and not callable(regions):
        of_type(regions, (), "Regions are those of a generator, or a function")
    return _Parser(text, regions, size, clicked).whole()


def as_mask(
    mask: Mask | str | os.PathLike[str] | np.ndarray | Tensor, generator: Generator, code: Latents | int | None = None
) -> Mask:
    """Return a mask in any of its forms: itself, its text, the path of a painted one, its values.

    Args:
        mask: what was given.
        generator: whose pictures it lies on.
        code: the picture, for the names of regions.

    Raises:
        SemanifoldError: if it cannot be read.
    """
    if isinstance(mask, Mask):
        return mask
    if isinstance(mask, (os.PathLike, np.ndarray)) or is_torch(mask, "Tensor"):
        return painted(mask)
    return parse_mask(cast("str", mask), generator, code)


def files_in(text: str) -> list[Path]:
    """Return the existing files that the text of a mask names."""
    if existing(text):
        return [path_of(text)]
    names = [_unquoted(token.removeprefix("alpha:").removeprefix("light:")) for token in _tokens(text)]
    return [path_of(name) for name in names if existing(name)]


def regions_in(text: str) -> set[str] | None:
    """Return the names of the regions that a mask is made of; None if there are shapes, files or points among them."""
    words = {token for token in _tokens(text) if token not in tuple("|&~()") and not token.startswith("feather:")}
    return None if existing(text) or any(existing(word) or not word.isidentifier() for word in words) else words


def in_folder(text: str, folder: Path) -> str:
    """Return the text of a mask with absolute paths in place of those of files in a folder."""
    if is_file(folder / path_of(text)):
        return str(folder / path_of(text))

    def placed(match: re.Match[str]) -> str:
        token = match[0].strip()
        channel = next((f"{word}:" for word in CHANNELS if token.startswith(f"{word}:")), "")
        name = path_of(_unquoted(token.removeprefix(channel)))
        if match["sign"] is not None or name.is_absolute() or not is_file(folder / name):
            return match[0]
        quoted = str(folder / name).replace("'", "''")
        return f"{channel}'{quoted}'"

    return TOKEN.sub(placed, text)


def existing(name: str) -> bool:
    """Whether there is a file of this name; ``~/`` at its beginning is the home folder."""
    return is_file(path_of(name))


def _tokens(text: str) -> list[str]:
    """Take a text apart into signs, names in quotes, and what lies between them."""
    tokens, at = [], 0
    while match := TOKEN.match(text, at):
        token = match[0].strip()
        if match["home"] is not None and not existing(token) and existing(token[1:]):  # all but another file
            token, at = "~", match.start("home") + 1
        else:
            at = match.end()
        if token:
            tokens.append(token)
    return tokens


def _unquoted(token: str) -> str:
    """Return the name in a token that may be in quotes."""
    if not re.fullmatch(QUOTED, token):
        return token
    return token[1:-1].replace(2 * token[0], token[0])


class _Parser:
    """Recursive descent over ``| & ~ ( ) feather:x( )`` and the primitive shapes between them."""

    def __init__(
        self, text: str, regions: Regions | None, size: tuple[int, int] | None, clicked: Callable[..., Mask] | None
    ) -> None:
        self.text, self.regions, self.size, self.clicked = text, regions, size, clicked
        self.tokens = [text] if existing(text) else _tokens(text)
        self.tokens.reverse()
        self.depth = 0
        for most, what, pattern in ((MOST_SHAPES, "shapes", r"[^|&~()]"), (MOST_FEATHERS, "feathers", "feather:")):
            if (count := sum(bool(re.match(pattern, token)) for token in self.tokens)) > most:
                raise self.wrong(f"it has {count:,} {what}, and at most {most} can be joined")

    def whole(self) -> Mask:
        mask = self.either()
        if self.tokens:
            raise self.wrong(f"'{shown(self.tokens[-1], 40)}' is left over")
        return mask

    def either(self) -> Mask:
        return any_of(self.joined("|", self.both))

    def both(self) -> Mask:
        return all_of(self.joined("&", self.factor))

    def joined(self, sign: str, part: Callable[[], Mask]) -> list[Mask]:
        masks = [part()]
        while self.take(sign):
            masks.append(part())
        return masks

    def factor(self) -> Mask:
        if self.take("~"):
            return ~self.deeper(self.factor)
        if self.take("("):
            return self.group()
        if not self.tokens or self.tokens[-1] in ("|", "&", ")"):
            raise self.wrong(f"a shape or a name is missing before '{self.tokens[-1]}'" if self.tokens else "it ends too early")
        token = self.tokens.pop()
        if token.startswith("feather:") and not existing(token):
            if not self.take("("):
                raise self.wrong("a feather is written feather:0.02(mask)")
            return self.group().feather(self.numbers(token, 1)[0])
        return self.primitive(token)

    def group(self) -> Mask:
        mask = self.deeper(self.either)
        if not self.take(")"):
            raise self.wrong("a closing ) is missing")
        return mask

    def deeper(self, part: Callable[[], Mask]) -> Mask:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.wrong(f"it is nested more than {DEEPEST} levels deep")
        mask = part()
        self.depth -= 1
        return mask

    def primitive(self, token: str) -> Mask:
        if existing(token):
            return painted(token)
        kind, _, rest = token.partition(":")
        if kind in CHANNELS and rest:
            return painted(_unquoted(rest), channel=cast(Channel, kind))
        if kind == "box":
            shape = box(*self.numbers(token, 4))
        elif kind == "ellipse":
            shape = ellipse(*self.numbers(token, 4))
        elif kind == "polygon":
            values = self.numbers(token, None)
            shape = polygon(list(zip(values[::2], values[1::2])))
        elif f"{kind}:" in POINTS:
            shape = self.point(token)
        elif token[0] in "'\"":
            if not re.fullmatch(QUOTED, token):
                raise self.wrong("a closing quote is missing")
            return painted(_unquoted(token))
        elif re.search(r"\.\w{2,5}$", token):
            return painted(token)
        elif self.regions is not None:
            shape = self.region(self.regions, token)
        else:
            raise self.wrong(
                f"'{shown(token, 40)}' is neither a shape (box:, ellipse:, polygon:, at:, sam:) nor a file, and there are no "
                "named regions"
            )
        return Mask(token, shape.paint, shape.corners)

    def point(self, token: str) -> Mask:
        x, y = self.numbers(token, 2)
        kind = token[: token.index(":") + 1]
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise self.wrong(f"the point {x:g},{y:g} lies off the picture; x and y are from 0 to 1 (or end in px)")
        if self.clicked is not None:
            return self.clicked(x, y, by=POINTS[kind])
        if self.regions is None:
            raise self.wrong("what belongs together at a point is found by the generator of the picture, and none was given")
        return self.regions(f"{kind}{x:.9g},{y:.9g}")

    def region(self, regions: Regions, name: str) -> Mask:
        try:
            return regions(name)
        except SemanifoldError as error:
            if not re.search(PICTURE, self.text, re.IGNORECASE):
                raise
            raise self.wrong(f"'{shown(name, 40)}' is no region") from error

    def numbers(self, token: str, count: int | None) -> list[float]:
        kind, _, rest = token.partition(":")
        pixels = rest.endswith("px")
        try:
            values = [float(number) for number in re.split(r"[\s,]+", rest.removesuffix("px").strip())]
        except ValueError as error:
            raise self.wrong(f"{kind} needs numbers separated by commas, not '{shown(rest, 40)}'") from error
        if (
            (count is not None and len(values) != count)
            or len(values) % 2 * (count is None)
            or not all(map(math.isfinite, values))
        ):
            raise self.wrong(f"{kind} needs {count or 'pairs of'} numbers, not '{shown(rest, 40)}'")
        if pixels:
            if self.size is None:
                raise self.wrong("pixels need a picture; give fractions of it instead")
            values = [value / self.size[1 - i % 2] for i, value in enumerate(values)]
        return values

    def take(self, token: str) -> bool:
        if self.tokens and self.tokens[-1] == token:
            self.tokens.pop()
            return True
        return False

    def wrong(self, why: str) -> SemanifoldError:
        examples = (
            "mouth, ~eyes, mouth|nose, box:0.3,0.6,0.7,0.9" if self.regions else "box:0.3,0.6,0.7,0.9, ~ellipse:0.5,0.5,0.2,0.1"
        )
        if re.search(PICTURE, self.text, re.IGNORECASE):
            why += "; a file of this name is not there, or its name must be in quotes, 'mask (1).png'"
        return SemanifoldError(f"The mask '{shown(self.text)}' cannot be read: {why}; examples: {examples}.")
